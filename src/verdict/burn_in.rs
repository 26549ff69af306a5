//! Burn-in: a project has to give the same results again and again before its owners get notices.

use super::flakiness::AttemptResult;
use std::collections::BTreeSet;
use std::mem::discriminant;

/// Counts how many of the newest repeated runs have attempts that agree, up to the first run whose attempts don't.
///
/// `runs` has the attempts at each run, the newest run first. `before` is the count without the newest run. As long as
/// no run disagrees, the result is at least `before`, because older runs than `runs` are not read.
pub fn agreeing<'a>(runs: impl IntoIterator<Item = &'a [AttemptResult]>, before: u32) -> u32 {
    let mut count = 0;
    for run in runs {
        match agree(run) {
            Some(true) => count += 1,
            Some(false) => return count,
            None => {}
        }
    }
    count.max(before)
}

/// Returns whether the valid attempts at a run agree: they have the same kind of outcome, and the same tests failed.
/// Returns `None` if fewer than two attempts are valid.
pub fn agree(run: &[AttemptResult]) -> Option<bool> {
    let mut valid = run.iter().filter(|attempt| attempt.outcome.is_valid());
    let end = |attempt: &'_ AttemptResult| discriminant(&attempt.outcome);
    let first = valid.next()?;
    let failed: BTreeSet<&String> = first.failed.iter().collect();
    let mut others = valid.peekable();
    others.peek()?;
    Some(others.all(|other| end(other) == end(first) && other.failed.iter().collect::<BTreeSet<_>>() == failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;

    fn attempt(failed: &[&str]) -> AttemptResult {
        AttemptResult {
            outcome: if failed.is_empty() {
                Outcome::Passed
            } else {
                Outcome::Failed { exit_code: 1 }
            },
            failed: failed.iter().map(|test| (*test).to_owned()).collect(),
        }
    }

    #[test]
    fn a_disagreement_ends_the_count() {
        let (pass, red) = (
            vec![attempt(&[]), attempt(&[])],
            vec![attempt(&["a", "b"]), attempt(&["b", "a"])],
        );
        let (mixed, once) = (vec![attempt(&["a"]), attempt(&["b"])], vec![attempt(&[])]);
        let count = |runs: &[&Vec<AttemptResult>], before| agreeing(runs.iter().map(|run| run.as_slice()), before);
        assert_eq!(count(&[], 0), 0);
        assert_eq!(count(&[&pass, &red, &once, &pass], 0), 3);
        assert_eq!(count(&[&pass, &mixed, &pass, &pass], 9), 1);
        assert_eq!(count(&[&mixed, &pass], 9), 0);
        // older runs are not read, but they agreed
        assert_eq!(count(&[&pass], 9), 9);
    }

    #[test]
    fn attempts_agree_if_they_end_alike_and_the_same_tests_fail() {
        let infra = AttemptResult {
            outcome: Outcome::Infra { reason: "x".into() },
            failed: Vec::new(),
        };
        let crash = AttemptResult {
            outcome: Outcome::Failed { exit_code: 1 },
            failed: Vec::new(),
        };
        assert_eq!(agree(&[]), None);
        assert_eq!(agree(&[attempt(&[]), infra.clone()]), None);
        assert_eq!(agree(&[infra, attempt(&["a"]), attempt(&["a"])]), Some(true));
        assert_eq!(agree(&[attempt(&["a"]), attempt(&["a", "b"])]), Some(false));
        assert_eq!(agree(&[attempt(&[]), crash]), Some(false));
    }
}
