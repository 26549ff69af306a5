//! The views of incidents that pages, JSON and the command line share.

use crate::domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// An incident with its regressions and notes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentView {
    pub number: i64,
    /// `confirmed`, `culprit_found`, `reported`, `fixed_on`, `waived` or `closed`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// The branches on which it is fixed, if it is not fixed on all.
    pub fixed_on: Vec<String>,
    /// One line: which projects broke, and by which revision.
    pub title: String,
    /// Whether only projects in probation support the incident: no maintainer agrees, and no other project reports the
    /// same.
    pub unconfirmed_by_others: bool,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    pub opened_at: Timestamp,
    /// Milliseconds since 1970, UTC; `null` while it is open.
    #[schema(value_type = Option<i64>, required = true)]
    pub closed_at: Option<Timestamp>,
    /// The culprit on each branch. Empty as long as it is only narrowed down to a range.
    pub culprits: Vec<RevisionView>,
    pub projects: Vec<String>,
    pub regressions: Vec<RegressionView>,
    /// `cpython` or `projects`.
    #[schema(value_type = Option<String>, required = true)]
    pub assigned_to: Option<&'static str>,
    /// The address of the report.
    #[schema(required = true)]
    pub reported_as: Option<String>,
    #[schema(required = true)]
    pub waiver: Option<WaiverView>,
    /// The number of the earlier incident of which this one is a recurrence.
    #[schema(required = true)]
    pub recurrence_of: Option<i64>,
    /// Oldest first.
    pub history: Vec<NoteView>,
}

/// The regression of an incident in one project on one branch as one variant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RegressionView {
    pub branch: String,
    pub project: String,
    pub variant: String,
    /// The names of tests, and descriptions of other subjects: at most 200, and then how many more there are.
    pub tests: Vec<String>,
    /// How many subjects fail.
    pub tests_count: usize,
    /// The revision before the change.
    pub good: RevisionView,
    /// The culprit, or the end of the range.
    pub bad: RevisionView,
    /// Whether `bad` is the culprit.
    pub exact: bool,
    /// Whether only projects in probation support the claim about `bad`. The view then names no author.
    pub unconfirmed_by_others: bool,
    /// Why the answer is a range and not a culprit.
    #[schema(required = true)]
    pub reason: Option<String>,
    /// The fraction of runs that fail, from 0 to 1; `null` if all do.
    #[schema(required = true)]
    pub rate: Option<f64>,
    /// The first line of the log that says what failed.
    #[schema(required = true)]
    pub error: Option<String>,
    /// Lines that the log of `bad` has and the log of `good` lacks.
    pub difference: Vec<String>,
    /// Conditions besides CPython that differed between the two attempts.
    pub conditions: Vec<String>,
    /// What the probes showed at each revision of the searched range, oldest first.
    pub probed: Vec<ProbedView>,
    /// The ids of the attempts that were compared.
    #[schema(required = true)]
    pub good_attempt: Option<String>,
    #[schema(required = true)]
    pub bad_attempt: Option<String>,
    #[schema(required = true)]
    pub fixed_by: Option<RevisionView>,
    /// The event that fixed it, if no revision did.
    #[schema(required = true)]
    pub fixed_as: Option<String>,
    /// The number of rounds of the search.
    pub rounds: i64,
}

/// What the probes of an investigation showed at one revision.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProbedView {
    /// The hash.
    pub revision: String,
    /// The name that people use: `r45321` for Subversion, else the hash.
    pub name: String,
    /// The id of the run to which the probes belong.
    pub run: String,
    /// How many probes passed and failed the tests of the regression.
    pub passed: u32,
    pub failed: u32,
}

/// A revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevisionView {
    pub branch: String,
    /// The hash.
    pub revision: String,
    /// The name that people use: `r45321` for Subversion, else the hash.
    pub name: String,
    /// The author. `None` if only projects in probation support the claim.
    #[schema(required = true)]
    pub author: Option<String>,
    pub subject: String,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    pub committed_at: Timestamp,
    /// The address of its page in the repository's web interface.
    #[schema(required = true)]
    pub link: Option<String>,
}

/// The decision to accept an incident until a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WaiverView {
    pub who: String,
    pub why: String,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    pub until: Timestamp,
}

/// An entry in the history of an incident.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NoteView {
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    pub who: String,
    pub what: String,
}

/// An investigation that is open or was answered recently.
#[derive(Clone, Debug, Serialize)]
pub struct InvestigationView {
    pub project: String,
    pub branch: String,
    pub variant: String,
    /// `broke` or `fixed`.
    pub change: &'static str,
    pub tests: Vec<String>,
    /// `open` or `answered`.
    pub state: &'static str,
    /// A sentence for each finding. Empty while it is open.
    pub answers: Vec<String>,
    /// Why the next rerun waits. `None` if none is queued.
    pub waiting: Option<String>,
    pub rounds: i64,
    pub opened_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}
