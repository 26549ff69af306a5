//! The history of a series, as the rules of verdicts read it.

use super::subject::{Observation, Subject, Untestable, count_run, observe};
use crate::domain::id::RevisionId;
use crate::domain::outcome::Outcome;
use crate::domain::results::Tests;

/// The result of a project at one revision of its series.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The id of the revision. In a bisection without a coordinator it is the hash.
    pub revision: RevisionId,
    /// The position of the revision on its branch; higher is newer. It is 0 if the entry belongs to no branch.
    pub seq: i64,
    /// The digest of the recipe by which the project was run.
    pub recipe: String,
    pub end: RunEnd,
    /// The lock that the run installed, or `None` if nothing was installed.
    pub lock: Option<String>,
}

impl HistoryEntry {
    /// Returns an entry outside of any branch: its `seq` is 0, and it has neither a recipe nor a lock.
    pub fn new(revision: RevisionId, end: RunEnd) -> Self {
        Self {
            revision,
            seq: 0,
            recipe: String::new(),
            end,
            lock: None,
        }
    }
}

/// How a run ended, or why there was none.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// CPython does not build at the revision, so there is no image to run on.
    NoImage,
    /// The outcome, and the results of the tests if there is a report of them.
    Run(Outcome, Option<Tests>),
}

impl RunEnd {
    /// Returns what the run shows about a subject. Returns `None` if the machinery failed or the run was cancelled,
    /// because another run can show it then.
    pub fn observe(&self, subject: &Subject) -> Option<Observation> {
        match (self, subject) {
            (RunEnd::NoImage, Subject::Build) => Some(Observation::Fail),
            (RunEnd::NoImage, _) => Some(Observation::Untestable(Untestable::NoImage)),
            (RunEnd::Run(outcome, tests), subject) => observe(subject, outcome, tests.as_ref()),
        }
    }

    /// Returns how many tests the run had. See [`count_run`].
    pub fn count_run(&self) -> Option<usize> {
        match self {
            RunEnd::NoImage => None,
            RunEnd::Run(outcome, tests) => count_run(outcome, tests.as_ref()),
        }
    }

    /// Returns the failed subjects: the build, or the installation, or else each failed test, and the suite if it broke
    /// off or failed without a failed test. The other kinds of subjects are never among them.
    pub fn failing(&self) -> Vec<Subject> {
        let candidates: Vec<Subject> = match self {
            RunEnd::NoImage => vec![Subject::Build],
            RunEnd::Run(Outcome::SetupFailed { .. }, _) => vec![Subject::Setup],
            RunEnd::Run(_, tests) => {
                let tests = tests.iter().flat_map(|tests| &tests.failed);
                tests
                    .map(|failure| Subject::Test(failure.test.clone()))
                    .chain([Subject::Suite])
                    .collect()
            }
        };
        let fails = |subject: &Subject| self.observe(subject) == Some(Observation::Fail);
        candidates.into_iter().filter(fails).collect()
    }
}
