//! How often a suite contradicts itself: the same image, the same versions, and another result.

use crate::domain::outcome::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;

/// One attempt, by its outcome and the tests that failed in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub outcome: Outcome,
    pub failed: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Runs that were done more than once.
    pub repeated: usize,
    /// Those of them that did not end alike each time.
    pub mixed: usize,
    /// Tests that failed in some attempts at a run and not in others, the noisiest first.
    pub tests: Vec<TestNoise>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestNoise {
    pub test: String,
    /// Runs in which it did.
    pub mixed: usize,
    /// Attempts at these runs, and those of them in which it failed.
    pub attempts: usize,
    pub failed: usize,
}

/// From the attempts at each run, in any order.
pub fn noise(runs: &[Vec<Told>]) -> Noise {
    let mut noise = Noise::default();
    let mut tests: BTreeMap<&str, TestNoise> = BTreeMap::new();
    for run in runs {
        let valid: Vec<&Told> = run.iter().filter(|told| told.outcome.is_valid()).collect();
        if valid.len() < 2 {
            continue;
        }
        noise.repeated += 1;
        let mut failed: BTreeMap<&str, usize> = BTreeMap::new();
        for test in valid.iter().flat_map(|told| &told.failed) {
            *failed.entry(test).or_default() += 1;
        }
        let passes = valid.iter().filter(|told| told.outcome == Outcome::Passed).count();
        let mixed = failed.into_iter().filter(|(_, times)| *times < valid.len());
        let mixed: Vec<(&str, usize)> = mixed.collect();
        if !mixed.is_empty() || (passes > 0 && passes < valid.len()) {
            noise.mixed += 1;
        }
        for (test, times) in mixed {
            let known = tests.entry(test).or_insert_with(|| TestNoise {
                test: test.to_owned(),
                mixed: 0,
                attempts: 0,
                failed: 0,
            });
            known.mixed += 1;
            known.attempts += valid.len();
            known.failed += times;
        }
    }
    noise.tests = tests.into_values().collect();
    noise.tests.sort_by(|a, b| (b.mixed, &a.test).cmp(&(a.mixed, &b.test)));
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_contradicts_itself_is_noise() {
        let told = |failed: &[&str]| Told {
            outcome: if failed.is_empty() {
                Outcome::Passed
            } else {
                Outcome::Failed { exit_code: 1 }
            },
            failed: failed.iter().map(|test| (*test).to_owned()).collect(),
        };
        let infra = Told {
            outcome: Outcome::Infra { reason: "x".into() },
            failed: Vec::new(),
        };
        let runs = [
            vec![told(&["a"]), told(&["a"])],
            vec![told(&["a", "b"]), told(&["a"]), told(&["a"])],
            vec![told(&["b"]), told(&[])],
            vec![told(&["b"]), infra],
            vec![told(&[]), told(&[])],
        ];
        let noise = noise(&runs);
        assert_eq!((noise.repeated, noise.mixed), (4, 2));
        let expected = TestNoise {
            test: "b".into(),
            mixed: 2,
            attempts: 5,
            failed: 2,
        };
        assert_eq!(noise.tests, [expected]);
    }
}
