//! What the API sends and takes. The command line reads the same types, and the OpenAPI document is made of them.

mod hosts;

pub use hosts::{HostBody, HostView};

use crate::access::Actor;
use crate::domain::access::{Permission, Role};
use crate::domain::recipe_version::ProjectMove;
use crate::domain::refusal::Located;
use crate::domain::time::Timestamp;
use crate::store::accounts::Account;
use crate::store::audit::AuditEntry;
use crate::store::submissions::{RecipeVersion, Registration};
use crate::store::tokens::AccessToken;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Reads a whole number, which JSON may also write as `9.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let of_float = || {
        number
            .as_f64()
            .filter(|float| float.fract() == 0.0 && float.abs() < 9e15)
    };
    let whole = number.as_i64().or_else(|| of_float().map(|float| float as i64));
    whole
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number} is no whole number")))
}

/// One part of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What `after` is to be for the next part. Absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An error, as RFC 9457 describes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// `about:blank`: the status says what kind it is.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// What happened, and what to do.
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

/// Who makes the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MeView {
    pub account: String,
    pub mail: String,
    pub roles: Vec<String>,
    /// What the request may do: what the token carries and a role grants.
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

/// A recipe that is submitted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBody {
    /// The text of the recipe, TOML; at most 128 KiB.
    #[schema(max_length = 131072)]
    pub text: String,
    /// The number of the newest version that you have seen; 0 for a new project. Answered with 412 if there is another by now.
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
    /// The digest that runs name.
    pub digest: String,
    /// `trial`, `waiting`, `approved`, `refused` or `superseded`.
    pub state: String,
    pub submitted_by: String,
    #[schema(value_type = i64)]
    pub submitted_at: Timestamp,
    /// The run that tries it. Its page is `/run/ID`, and its log `/api/v1/logs/ID`.
    pub trial_run: Option<String>,
    /// How the trial ended, or why there is none.
    pub trial: String,
    pub decided_by: Option<String>,
    #[schema(value_type = Option<i64>)]
    pub decided_at: Option<Timestamp>,
    pub reason: String,
    /// The text of the recipe; only where one version is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl From<RecipeVersion> for VersionView {
    fn from(version: RecipeVersion) -> Self {
        Self {
            project: version.project,
            number: version.number,
            digest: version.digest,
            state: version.state.name().to_owned(),
            submitted_by: version.submitted_by,
            submitted_at: version.submitted_at,
            trial_run: version.trial_run_id.map(|run| run.into_string()),
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
    /// `proposed`, `active`, `paused` or `retired`.
    pub state: String,
    pub reason: String,
    /// The number of the version in force.
    pub version: Option<i64>,
    /// The number of the newest version; only where one project is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
    /// Repeated results that agreed in a row, up to the newest one; only where one project is asked for. Its burn-in ends once
    /// there are as many as `verdicts.burn_in` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreeing: Option<i64>,
}

impl RegistrationView {
    pub fn new(registration: Registration, owner: Option<String>) -> Self {
        Self {
            project: registration.project,
            owner,
            state: registration.state.name().to_owned(),
            reason: registration.reason,
            version: registration.version,
            newest: None,
            agreeing: None,
        }
    }
}

/// What a maintainer decides about a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum VersionDecision {
    /// It is in force from now on.
    Approve {
        #[serde(default)]
        reason: String,
        /// Whether to approve it although its trial has not ended.
        #[serde(default)]
        without_trial: bool,
    },
    /// It is not to be used.
    Refuse {
        #[schema(min_length = 1)]
        reason: String,
    },
}

/// What is done with a project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectMoveBody {
    #[schema(value_type = ProjectMove)]
    pub action: String,
    #[serde(default)]
    pub reason: String,
}

/// To whom a project is handed over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverBody {
    /// The name of the account.
    pub to: String,
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

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    pub name: String,
    pub mail: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            mail: account.mail,
            roles: account.roles.list(),
            disabled: account.disabled,
            created_at: account.created_at,
        }
    }
}

/// An account to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountBody {
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub name: String,
    #[serde(default)]
    pub mail: String,
    #[serde(default)]
    #[schema(value_type = Vec<Role>)]
    pub roles: Vec<String>,
}

/// What changes of an account. What is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChangeBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Role>>)]
    pub roles: Option<Vec<String>>,
    /// A disabled account loses its tokens and sessions for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// An access token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub permissions: Vec<String>,
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    #[schema(value_type = i64)]
    pub expires_at: Timestamp,
    /// To the minute.
    #[schema(value_type = Option<i64>)]
    pub used_at: Option<Timestamp>,
    #[schema(value_type = Option<i64>)]
    pub revoked_at: Option<Timestamp>,
    /// The secret, this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl From<AccessToken> for TokenView {
    fn from(token: AccessToken) -> Self {
        Self {
            id: token.id.into_string(),
            name: token.name,
            permissions: token.permissions.list(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            used_at: token.used_at,
            revoked_at: token.revoked_at,
            secret: None,
        }
    }
}

/// A token to issue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// What it is for.
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// The account that gets it. Your own unless you manage accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What it may do. Absent: all that you and the account may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Permission>>)]
    pub permissions: Option<Vec<String>>,
    /// Days until it expires: 1 to 366, 90 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 366)]
    pub days: Option<i64>,
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
