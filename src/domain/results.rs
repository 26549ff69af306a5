//! What a suite says of each of its tests.

use serde::{Deserialize, Serialize};

/// The tests of one run, each under the name of its suite and its own. Sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tests {
    pub passed: Vec<String>,
    pub failed: Vec<Failure>,
    /// Those that say themselves why they do not run here, and those that are expected to fail.
    pub skipped: Vec<String>,
    /// There were more than are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    pub test: String,
    /// What it said first, one line.
    pub message: String,
}

impl Failure {
    pub fn of(test: &str, message: &str) -> Self {
        Self {
            test: test.to_owned(),
            message: message.to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestState {
    Passed,
    Failed,
    Skipped,
}

impl Tests {
    /// None: it was not run.
    pub fn state(&self, test: &str) -> Option<TestState> {
        // one that has failed once has failed: some runners report a test again as it is torn down
        if self.failed.iter().any(|failure| failure.test == test) {
            Some(TestState::Failed)
        } else if has(&self.passed, test) {
            Some(TestState::Passed)
        } else if has(&self.skipped, test) {
            Some(TestState::Skipped)
        } else {
            None
        }
    }

    pub fn total(&self) -> usize {
        self.passed.len() + self.failed.len() + self.skipped.len()
    }
}

fn has(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
}
