//! The rules that lead from attempts to a culprit.
//!
//! All of them are pure functions: results go in, and the next reruns or an answer come out. They keep no state, so
//! neither the order in which results arrive nor a restart changes an answer.
//!
//! ```text
//! outcome -> cell -> verdict against the baseline -> confirm at both ends -> search -> culprit
//! ```

/// The state of a cell, from all its attempts.
mod cell;

/// The subjects that pass or fail, and the observation of each by one run.
mod subject;

/// The two directions of a change: from passing to failing, or back.
mod change;

/// The entries of a series that the rules compare.
mod history;

/// The subjects that changed in the newest entry.
mod suspicion;

/// How many tests a run had, compared with the run before.
mod test_count;

/// The verdict: a cell compared with its baseline.
mod baseline;

/// The meaning of all cells of a row together.
mod row_health;

/// The difference between the locks of two runs.
mod locks;

/// The differences between two runs besides CPython.
mod conditions;

/// The results of reruns, counted.
mod samples;

/// The answers of investigations.
mod answer;

/// One subject on one range of history.
mod case;

/// The probability that chance explains a difference.
mod stats;

/// Reruns of both ends, before anyone is notified.
mod confirm;

/// The search for the revision that caused the change.
mod search;

/// The order of the rules: hint, confirm and search.
mod next;

/// Several subjects that share their reruns.
mod investigation;

/// The places where the builds of a branch changed.
mod builds;

/// The two ends of a bisection.
mod ends;

/// The comparison of two revisions.
mod compare;

/// The lines that one log has and another does not.
mod logs;

/// The rule by which results of a new host count.
mod first_results;

/// The flakiness of a suite.
mod flakiness;

/// Burn-in: how many repeated results agreed in a row.
mod burn_in;

#[cfg(test)]
mod property_tests;

pub use answer::{Answer, NotCpython, RangeReason};
pub use baseline::{Verdict, verdict};
pub use builds::{BuildChange, BuildState, build_changes};
pub use burn_in::{agree, agreeing};
pub use case::{Case, IndexProbe, NextAction};
pub use cell::{Cell, cell};
pub use change::Change;
pub use compare::{Difference, ProjectComparison, ProjectResult, compare};
pub use conditions::{RunConditions, VersionChange, describe_changes, differing_conditions, version_changes};
pub use ends::{End, NoDifference};
pub use first_results::{FirstResult, FirstResultStep};
pub use flakiness::{AttemptResult, Flakiness, TestFlakiness, flakiness};
pub use history::{HistoryEntry, RunEnd};
pub use investigation::{Finding, Investigation, InvestigationProgress, ProbeRequest, ProbeResult};
pub use locks::{LockDifference, lock_difference};
pub use logs::{LogDifference, first_error, log_difference, may_wander, signature};
pub use next::next;
pub use row_health::{RowCell, RowHealth, row_health};
pub use samples::{LockSide, Sample, Samples};
pub use search::rounds_bound;
pub use stats::fisher;
pub use subject::{Observation, Subject, Untestable, observe, reports};
pub use suspicion::{Suspicion, needs_older_entries, older_baseline, still_failing, suspicions};
pub use test_count::{FewerTests, fewer_tests, is_fall};
