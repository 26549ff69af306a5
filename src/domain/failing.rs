//! Finds out since when a test fails, from the tests that failed in each result of a series. This is a pure rule.

use std::collections::BTreeSet;
use std::sync::Arc;

/// What a result says about the tests that fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FailingTests {
    /// There is no result, or it ended before any test did.
    #[default]
    Unknown,
    /// These tests failed. Unless the list is complete, others may have failed too.
    Listed {
        names: Arc<BTreeSet<String>>,
        is_complete: bool,
    },
}

/// What a result says about one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestResult {
    Failed,
    /// The test passed or was skipped, or the suite does not have it.
    DidNotFail,
    Unknown,
}

impl FailingTests {
    pub fn of(&self, test: &str) -> TestResult {
        match self {
            FailingTests::Listed { names, .. } if names.contains(test) => TestResult::Failed,
            FailingTests::Listed { is_complete: true, .. } => TestResult::DidNotFail,
            FailingTests::Listed { is_complete: false, .. } | FailingTests::Unknown => TestResult::Unknown,
        }
    }
}

/// Consecutive results in which a test failed, up to the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    /// The index of the oldest of them.
    pub first: usize,
    /// The index of the result before, in which the test did not fail. `None` if no such result is among those given, so
    /// that the test may fail for longer.
    pub before: Option<usize>,
}

/// Finds the streak of a test in results, newest first. Results that say nothing about the test neither end nor begin it.
/// Returns `None` if the newest result that says something is no failure.
pub fn streak<'a>(results: impl IntoIterator<Item = &'a FailingTests>, test: &str) -> Option<Streak> {
    let mut first = None;
    for (at, result) in results.into_iter().enumerate() {
        match result.of(test) {
            TestResult::Failed => first = Some(at),
            TestResult::DidNotFail => {
                let before = Some(at);
                return first.map(|first| Streak { first, before });
            }
            TestResult::Unknown => {}
        }
    }
    first.map(|first| Streak { first, before: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str], is_complete: bool) -> FailingTests {
        FailingTests::Listed {
            names: Arc::new(names.iter().map(|name| (*name).to_owned()).collect()),
            is_complete,
        }
    }

    #[test]
    fn a_streak_goes_back_to_the_first_failure_after_a_pass() {
        let unknown = FailingTests::Unknown;
        let results = [
            unknown.clone(),
            listed(&["a", "b"], true),
            unknown,
            listed(&["a"], true),
            listed(&["c"], true),
            listed(&["a"], true),
        ];
        let streak = |test| streak(&results, test);
        let between = |first, before| Some(Streak { first, before });
        assert_eq!(streak("a"), between(3, Some(4)));
        assert_eq!(streak("b"), between(1, Some(3)));
        assert_eq!(streak("c"), None);
        assert_eq!(streak("nosuch"), None);
    }

    #[test]
    fn a_streak_without_a_pass_may_be_longer() {
        let results = [listed(&["a"], true), listed(&["a"], true)];
        let whole = Streak { first: 1, before: None };
        assert_eq!(streak(&results, "a"), Some(whole));
        // a list that was cut does not say that the test passed
        let results = [listed(&["a"], true), listed(&["b"], false), listed(&["a"], true)];
        assert_eq!(streak(&results, "a").map(|streak| streak.first), Some(2));
        assert_eq!(results[1].of("a"), TestResult::Unknown);
    }
}
