//! The bodies of requests and responses. The command line uses the same types, and the OpenAPI document is generated
//! from them.

mod accounts;
mod hosts;
mod queue;
mod whole;

pub use accounts::{AccountBody, AccountChangeBody, AccountView, IdentityView, TokenBody, TokenView};
pub use hosts::{HostBody, HostView};
pub use queue::{QueueView, RunningJobView, TestedRevisionView, WaitingJobsView};

use crate::access::Actor;
use crate::domain::outcome::Outcome;
use crate::domain::recipe_version::{HandOverAnswer, ProjectMove, ProjectState, VersionState};
use crate::domain::refusal::Located;
use crate::domain::time::Timestamp;
use crate::store::audit::AuditEntry;
use crate::store::submissions::{RecipeVersion, Registration};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use whole::whole;

/// One part of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The value of `after` for the next part. Absent in the last part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An error, as RFC 9457 describes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: the status gives the kind of error.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// The error, and what to do about it.
    pub detail: String,
    /// The problems of a recipe that can't be registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<RecipeProblem>)]
    pub problems: Vec<Located>,
}

/// One problem of a recipe.
#[derive(Serialize, ToSchema)]
pub struct RecipeProblem {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
    pub help: Option<String>,
}

/// The caller: its account, roles and permissions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MeView {
    pub account: String,
    pub mail: String,
    pub roles: Vec<String>,
    /// The permissions of the request: each is carried by the token and granted by a role.
    pub permissions: Vec<String>,
}

impl From<&Actor> for MeView {
    fn from(actor: &Actor) -> Self {
        let carried = actor.permissions.0.iter();
        let usable = carried.filter(|permission| actor.reach(**permission).is_some());
        Self {
            account: actor.name.clone(),
            mail: actor.mail.clone(),
            roles: actor.roles.list(),
            permissions: usable.map(ToString::to_string).collect(),
        }
    }
}

/// A recipe to submit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBody {
    /// The text of the recipe as TOML; at most 128 KiB.
    #[schema(max_length = 131072)]
    pub text: String,
    /// The number of the newest version that you have seen; 0 for a new project. The response is 412 if there is a
    /// newer version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schema(minimum = 0)]
    pub base: Option<i64>,
}

/// A version of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    pub project: String,
    /// Counted from 1 in each project.
    pub number: i64,
    /// The digest by which runs name the version.
    pub digest: String,
    pub state: VersionState,
    pub submitted_by: String,
    #[schema(value_type = i64)]
    pub submitted_at: Timestamp,
    /// The id of the trial run. Its page is `/run/ID`, and its log `/api/v1/logs/ID`.
    pub trial_run: Option<String>,
    /// Whether the trial has ended, and passed.
    #[serde(default)]
    pub trial_passed: bool,
    /// How the trial ended, or why there is none. In the response for a single version also why it waits.
    pub trial: String,
    pub decided_by: Option<String>,
    #[schema(value_type = Option<i64>)]
    pub decided_at: Option<Timestamp>,
    pub reason: String,
    /// The text of the recipe. Only in the response for a single version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl VersionView {
    /// Returns whether the trial has ended, and passed. A coordinator of an earlier version says so by the note alone.
    pub fn has_passed(&self) -> bool {
        self.trial_passed || self.trial == Outcome::Passed.to_string()
    }
}

impl From<RecipeVersion> for VersionView {
    fn from(version: RecipeVersion) -> Self {
        let trial_passed = version.trial_passed();
        Self {
            project: version.project,
            number: version.number,
            digest: version.digest,
            state: version.state,
            submitted_by: version.submitted_by,
            submitted_at: version.submitted_at,
            trial_run: version.trial_run_id.map(|run| run.into_string()),
            trial_passed,
            trial: version.trial_note,
            decided_by: version.decided_by,
            decided_at: version.decided_at,
            reason: version.reason,
            text: None,
        }
    }
}

/// A project whose recipe was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegistrationView {
    pub project: String,
    /// The account that owns it.
    pub owner: Option<String>,
    /// The account to which the owner hands the project over, until that account accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_owner: Option<String>,
    pub state: ProjectState,
    pub reason: String,
    /// The number of the version in force.
    pub version: Option<i64>,
    /// The number of the newest version. Only in the response for a single project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
    /// The number of repeated results that agreed in a row, up to the newest one. The burn-in ends once it reaches
    /// `verdicts.burn_in`. Only in the response for a single project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreeing: Option<i64>,
}

impl RegistrationView {
    /// Builds the view. `owner` and `next_owner` are names of accounts.
    pub fn new(registration: Registration, owner: Option<String>, next_owner: Option<String>) -> Self {
        Self {
            project: registration.project,
            owner,
            next_owner,
            state: registration.state,
            reason: registration.reason,
            version: registration.version,
            newest: None,
            agreeing: None,
        }
    }
}

/// The decision of a maintainer about a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum VersionDecision {
    /// Put the version in force.
    Approve {
        #[serde(default)]
        reason: String,
        /// Whether to approve the version although its trial has not ended.
        #[serde(default)]
        without_trial: bool,
    },
    /// Refuse the version.
    Refuse {
        #[schema(min_length = 1)]
        reason: String,
    },
}

/// A change of a project's state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectMoveBody {
    #[schema(value_type = ProjectMove)]
    pub action: String,
    #[serde(default)]
    pub reason: String,
}

/// The receiver of a project that is handed over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverBody {
    /// The name of the receiving account.
    pub to: String,
}

/// An answer to a hand-over: accept it or withdraw it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverAnswerBody {
    #[schema(value_type = HandOverAnswer)]
    pub action: String,
}

/// The difference of two versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    pub project: String,
    pub from: i64,
    pub to: i64,
    /// A unified diff; empty if the texts are equal.
    pub diff: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    pub id: String,
    #[schema(value_type = i64)]
    pub at: Timestamp,
    pub account: String,
    /// The id of the access token; empty for a change on the coordinator's machine.
    pub token: String,
    pub address: String,
    pub action: String,
    pub subject: String,
    #[schema(value_type = Option<Object>, required = true)]
    pub before: serde_json::Value,
    #[schema(value_type = Option<Object>, required = true)]
    pub after: serde_json::Value,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
        Self {
            before: json(&entry.before),
            after: json(&entry.after),
            id: entry.id,
            at: entry.at,
            account: entry.account,
            token: entry.token,
            address: entry.address,
            action: entry.action,
            subject: entry.subject,
        }
    }
}

/// The effect of a request, as a sentence.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Effect {
    pub effect: String,
}
