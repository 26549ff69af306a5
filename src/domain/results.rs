//! The result of each test of a suite.

mod fit;

use crate::domain::text::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The tests of one run by result. A name is `SUITE: TEST`. Each list is sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tests {
    pub passed: Vec<String>,
    pub failed: Vec<Failure>,
    /// Tests that were skipped, and tests that are expected to fail.
    pub skipped: Vec<String>,
    /// Whether the run had more tests than are stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Whether a suite ended before it had reported all its tests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// How many passed tests a reader left out of `passed` to save memory.
    #[serde(skip)]
    pub left_out: usize,
}

/// Counts of [`Tests`], and the first failures, as pages show them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Whether these are not all tests that ran: a suite broke off, or the results were cut.
    #[serde(default)]
    pub partial: bool,
    /// The first failures, at most 100.
    pub failures: Vec<Failure>,
}

/// The most failures in a summary, and the most characters of each of their texts.
const NAMED: usize = 100;
const CHARACTERS: usize = 400;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    pub test: String,
    /// The first line of its error.
    pub message: String,
}

impl Failure {
    pub fn of(test: &str, message: &str) -> Self {
        Self {
            test: test.to_owned(),
            message: message.to_owned(),
        }
    }

    /// Returns a copy with texts of bounded length: a host may send anything.
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
    /// Returns the result of a test, or `None` if no list has it.
    pub fn state(&self, test: &str) -> Option<TestState> {
        // a failure wins: some runners report a test a second time when they tear it down
        if self.failure(test).is_some() {
            Some(TestState::Failed)
        } else if has(&self.passed, test) {
            Some(TestState::Passed)
        } else if has(&self.skipped, test) {
            Some(TestState::Skipped)
        } else {
            None
        }
    }

    /// Returns the failure of a test, or `None` if it did not fail.
    pub fn failure(&self, test: &str) -> Option<&Failure> {
        let place = self.failed.binary_search_by(|failure| failure.test.as_str().cmp(test));
        self.failed.get(place.ok()?)
    }

    /// Adds the tests of another suite.
    pub fn extend(&mut self, other: Tests) {
        self.passed.extend(other.passed);
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
        self.cut |= other.cut;
        self.incomplete |= other.incomplete;
        *self = std::mem::take(self).sorted();
    }

    /// Returns the tests with shortened texts that pages and terminals can show safely, whatever a host has sent.
    pub fn plain(mut self) -> Self {
        let names = self.passed.iter_mut().chain(&mut self.skipped);
        names.for_each(|name| *name = plain(name));
        for failure in &mut self.failed {
            failure.test = plain(&failure.test);
            failure.message = plain(&failure.message);
        }
        self
    }

    /// Sorts each list, which [`Tests::state`] requires.
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
            partial: self.incomplete || self.cut,
            failures: self.failed.iter().take(NAMED).map(Failure::cut).collect(),
        }
    }

    /// Returns how many tests passed or failed. A skipped test did not run.
    pub fn count_run(&self) -> usize {
        self.passed.len() + self.left_out + self.failed.len()
    }

    /// Drops the passed tests that are not in `names`, and counts them in `left_out`. Drops all skipped tests.
    pub fn keep_only(&mut self, names: &BTreeSet<String>) {
        let all = self.passed.len();
        self.passed.retain(|test| names.contains(test));
        self.left_out += all - self.passed.len();
        self.skipped = Vec::new();
    }

    pub fn total(&self) -> usize {
        self.passed.len() + self.failed.len() + self.skipped.len()
    }
}

fn has(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|entry| entry.as_str().cmp(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_several_suites_are_merged() {
        let mut tests = Tests {
            passed: vec!["b: x".into()],
            ..Tests::default()
        };
        tests.extend(Tests {
            passed: vec!["a: x".into()],
            failed: vec![Failure::of("a: y", "boom")],
            skipped: vec!["a: z".into()],
            cut: true,
            incomplete: true,
            ..Tests::default()
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
        assert!(tests.cut && tests.incomplete);
        tests.keep_only(&BTreeSet::from(["b: x".to_owned()]));
        assert_eq!((tests.passed.len(), tests.left_out, tests.count_run()), (1, 1, 3));
    }
}
