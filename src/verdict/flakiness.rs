//! How often a suite gives different results on the same image with the same lock.

use crate::domain::outcome::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;

/// The outcome of one attempt, and the tests that failed in it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptResult {
    pub outcome: Outcome,
    pub failed: Vec<String>,
}

/// The flakiness of a suite.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Flakiness {
    /// The number of runs that have several valid attempts.
    pub repeated: usize,
    /// The number of these runs whose attempts disagree.
    pub mixed: usize,
    /// Tests that failed in some attempts at a run and not in others, and first the tests that did so in most runs.
    pub tests: Vec<TestFlakiness>,
}

/// The flakiness of one test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestFlakiness {
    pub test: String,
    /// The number of runs whose attempts disagree about the test.
    pub mixed: usize,
    /// The number of valid attempts at these runs.
    pub attempts: usize,
    /// The number of these attempts in which the test failed.
    pub failed: usize,
}

/// Computes the flakiness of a suite from the attempts at each run, which may be in any order.
pub fn flakiness(runs: &[Vec<AttemptResult>]) -> Flakiness {
    let mut flakiness = Flakiness::default();
    let mut tests: BTreeMap<&str, TestFlakiness> = BTreeMap::new();
    for run in runs {
        let valid: Vec<&AttemptResult> = run.iter().filter(|attempt| attempt.outcome.is_valid()).collect();
        if valid.len() < 2 {
            continue;
        }
        flakiness.repeated += 1;
        let mut failed: BTreeMap<&str, usize> = BTreeMap::new();
        for test in valid.iter().flat_map(|attempt| &attempt.failed) {
            *failed.entry(test).or_default() += 1;
        }
        let passes = valid
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Passed)
            .count();
        let mixed = failed.into_iter().filter(|(_, times)| *times < valid.len());
        let mixed: Vec<(&str, usize)> = mixed.collect();
        if !mixed.is_empty() || (passes > 0 && passes < valid.len()) {
            flakiness.mixed += 1;
        }
        for (test, times) in mixed {
            let entry = tests.entry(test).or_insert_with(|| TestFlakiness {
                test: test.to_owned(),
                mixed: 0,
                attempts: 0,
                failed: 0,
            });
            entry.mixed += 1;
            entry.attempts += valid.len();
            entry.failed += times;
        }
    }
    flakiness.tests = tests.into_values().collect();
    flakiness
        .tests
        .sort_by(|a, b| (b.mixed, &a.test).cmp(&(a.mixed, &b.test)));
    flakiness
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disagreeing_attempts_are_flaky() {
        let attempt = |failed: &[&str]| AttemptResult {
            outcome: if failed.is_empty() {
                Outcome::Passed
            } else {
                Outcome::Failed { exit_code: 1 }
            },
            failed: failed.iter().map(|test| (*test).to_owned()).collect(),
        };
        let infra = AttemptResult {
            outcome: Outcome::Infra { reason: "x".into() },
            failed: Vec::new(),
        };
        let runs = [
            vec![attempt(&["a"]), attempt(&["a"])],
            vec![attempt(&["a", "b"]), attempt(&["a"]), attempt(&["a"])],
            vec![attempt(&["b"]), attempt(&[])],
            vec![attempt(&["b"]), infra],
            vec![attempt(&[]), attempt(&[])],
        ];
        let flakiness = flakiness(&runs);
        assert_eq!((flakiness.repeated, flakiness.mixed), (4, 2));
        let expected = TestFlakiness {
            test: "b".into(),
            mixed: 2,
            attempts: 5,
            failed: 2,
        };
        assert_eq!(flakiness.tests, [expected]);
    }
}
