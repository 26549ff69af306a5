//! What a suite says of each of its tests.

use crate::domain::text::plain;
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

/// The same in short, as pages show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// The first of those that failed.
    pub failures: Vec<Failure>,
}

/// Failures that a summary names, and characters of each.
const NAMED: usize = 100;
const CHARACTERS: usize = 400;

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

    /// It comes from another machine, and may be anything.
    fn cut(&self) -> Self {
        let cut = |text: &str| text.chars().take(CHARACTERS).collect();
        Self {
            test: cut(&self.test),
            message: cut(&self.message),
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
        let failed = self.failed.binary_search_by(|failure| failure.test.as_str().cmp(test));
        if failed.is_ok() {
            Some(TestState::Failed)
        } else if has(&self.passed, test) {
            Some(TestState::Passed)
        } else if has(&self.skipped, test) {
            Some(TestState::Skipped)
        } else {
            None
        }
    }

    /// Adds the tests of another suite.
    pub fn extend(&mut self, other: Tests) {
        self.passed.extend(other.passed);
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
        self.cut |= other.cut;
        *self = std::mem::take(self).sorted();
    }

    /// As pages and terminals may show it, whatever a host has sent.
    pub fn plain(mut self) -> Self {
        let names = self.passed.iter_mut().chain(&mut self.skipped);
        names.for_each(|name| *name = plain(name));
        for failure in &mut self.failed {
            failure.test = plain(&failure.test);
            failure.message = plain(&failure.message);
        }
        self
    }

    /// Puts what comes from elsewhere in order.
    pub fn sorted(mut self) -> Self {
        self.passed.sort();
        self.failed.sort();
        self.skipped.sort();
        self
    }

    pub fn summary(&self) -> Summary {
        Summary {
            passed: self.passed.len(),
            failed: self.failed.len(),
            skipped: self.skipped.len(),
            failures: self.failed.iter().take(NAMED).map(Failure::cut).collect(),
        }
    }

    pub fn total(&self) -> usize {
        self.passed.len() + self.failed.len() + self.skipped.len()
    }
}

fn has(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_put_together() {
        let mut tests = Tests {
            passed: vec!["b: x".into()],
            ..Tests::default()
        };
        tests.extend(Tests {
            passed: vec!["a: x".into()],
            failed: vec![Failure::of("a: y", "boom")],
            skipped: vec!["a: z".into()],
            cut: true,
        });
        let states = ["a: x", "b: x", "a: y", "a: z", "c"].map(|test| tests.state(test));
        let (passed, failed, skipped) = (
            Some(TestState::Passed),
            Some(TestState::Failed),
            Some(TestState::Skipped),
        );
        assert_eq!(states, [passed, passed, failed, skipped, None]);
        let summary = tests.summary();
        assert_eq!((summary.passed, summary.failed, summary.skipped), (2, 1, 1));
        assert!(tests.cut);
    }
}
