//! Finds the subjects that changed in the newest entry of a history.

use super::change::Change;
use super::history::{HistoryEntry, RunEnd};
use super::subject::{Observation, Subject};
use super::test_count::{FewerTests, fewer_tests};
use std::collections::{BTreeMap, BTreeSet};

/// Subjects that changed between the same two entries of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub change: Change,
    /// The index of the baseline: the last entry before the change that has a result for the subjects.
    pub base: usize,
    pub subjects: Vec<Subject>,
}

/// Returns the changes that the newest entry of a history shows, to be confirmed.
///
/// - A subject broke if it fails in the newest entry and passed in its baseline. Entries in which it is untestable are
///   no baseline, and other failures in an entry do not matter.
/// - A subject is fixed if it passes in the newest entry and failed in any entry before.
/// - The run broke if it fails, passed in its baseline, and a failing subject has no earlier result. Then the number of
///   tests is not compared.
/// - An `overdue` subject, whose known failure has expired, is compared with the last entry in which it passed.
/// - The number of tests broke if the newest entry ran at most half as many as the last entry with such a number, by
///   the same recipe.
/// - The number of tests, or an error, is fixed if it is among the `broken` subjects, passes, and failed in any entry
///   before.
pub fn suspicions(history: &[HistoryEntry], overdue: &[Subject], broken: &[Subject]) -> Vec<Suspicion> {
    let Some((newest, before)) = history.split_last() else {
        return Vec::new();
    };
    let failing = newest.end.failing();
    let mut broke: BTreeMap<usize, Vec<Subject>> = BTreeMap::new();
    for subject in &failing {
        let base = match overdue.contains(subject) {
            true => last_pass(before, subject),
            false => last_result(before, subject).and_then(|(base, result)| is_pass(result).then_some(base)),
        };
        if let Some(base) = base {
            broke.entry(base).or_default().push(subject.clone());
        }
    }
    // The run passed before, and something that fails now has no earlier result: tests of a module that no longer
    // imports are reported under another name.
    if failing.iter().any(|subject| last_result(before, subject).is_none())
        && newest.end.observe(&Subject::Run) == Some(Observation::Fail)
        && let Some((base, Observation::Pass)) = last_result(before, &Subject::Run)
    {
        broke.entry(base).or_default().push(Subject::Run);
    } else if let Some(fewer) = fewer_tests(history).filter(FewerTests::is_fall) {
        broke
            .entry(fewer.base)
            .or_default()
            .push(Subject::TestCount(fewer.before / 2 + 1));
    }
    let is_named_by_regression = |subject: &&Subject| matches!(subject, Subject::TestCount(_) | Subject::Error(_));
    let broken = broken.iter().filter(is_named_by_regression);
    let mut fixed: BTreeMap<usize, Vec<Subject>> = BTreeMap::new();
    let mut compared = BTreeSet::new();
    for (base, entry) in before.iter().enumerate().rev() {
        for subject in entry
            .end
            .failing()
            .into_iter()
            .chain([Subject::Run])
            .chain(broken.clone().cloned())
        {
            // The last failure counts, however many passes follow it, because it takes many to show that a flaky
            // subject is fixed.
            if entry.end.observe(&subject) == Some(Observation::Fail)
                && !(subject == Subject::Suite && names_failures_now(entry, newest))
                && newest.end.observe(&subject) == Some(Observation::Pass)
                && compared.insert(subject.clone())
            {
                fixed.entry(base).or_default().push(subject);
            }
        }
    }
    let of = |change: Change, found: BTreeMap<usize, Vec<Subject>>| {
        found
            .into_iter()
            .map(move |(base, subjects)| Suspicion { change, base, subjects })
    };
    of(Change::Broke, broke).chain(of(Change::Fixed, fixed)).collect()
}

/// Returns the `subjects` whose last result is a failure, by the index of that entry. Leaves out subjects that never
/// passed.
///
/// The baseline is the last entry in which the subject passed, even if it failed in between: a flaky subject may have
/// started to fail permanently.
pub fn still_failing(history: &[HistoryEntry], subjects: &[Subject]) -> BTreeMap<usize, Vec<Suspicion>> {
    let mut found: BTreeMap<(usize, usize), Vec<Subject>> = BTreeMap::new();
    for subject in subjects {
        if let (Some((last, Observation::Fail)), Some(base)) =
            (last_result(history, subject), last_pass(history, subject))
        {
            found.entry((last, base)).or_default().push(subject.clone());
        }
    }
    let mut suspicions: BTreeMap<usize, Vec<Suspicion>> = BTreeMap::new();
    for ((last, base), subjects) in found {
        suspicions.entry(last).or_default().push(Suspicion {
            change: Change::Broke,
            base,
            subjects,
        });
    }
    suspicions
}

/// Returns whether a suite that failed without a report still fails, but has a report now. Then its failure is not
/// fixed; it only has names.
fn names_failures_now(before: &HistoryEntry, newest: &HistoryEntry) -> bool {
    matches!(before.end, RunEnd::Run(_, None)) && newest.end.observe(&Subject::Run) == Some(Observation::Fail)
}

/// Returns whether older entries could add to [`suspicions`]. They could if the history does not show
///
/// - an earlier result of a subject that fails in the newest entry,
/// - the failure of a `broken` subject that passes in the newest entry, or
/// - a pass of a subject in `to_pass` whose last result is a failure.
pub fn needs_older_entries<'a>(
    history: &[HistoryEntry],
    broken: impl Iterator<Item = &'a Subject>,
    to_pass: &[Subject],
) -> bool {
    let Some((newest, before)) = history.split_last() else {
        return false;
    };
    let mut fails = newest.end.failing().into_iter();
    let mut passes = broken.filter(|one| newest.end.observe(one) == Some(Observation::Pass));
    let has_failed = |subject: &Subject| {
        before
            .iter()
            .any(|entry| entry.end.observe(subject) == Some(Observation::Fail))
    };
    let has_passed = |subject: &Subject| {
        last_result(history, subject).is_none_or(|(_, result)| is_pass(result)) || last_pass(history, subject).is_some()
    };
    fails.any(|subject| last_result(before, &subject).is_none())
        || passes.any(|subject| !has_failed(subject))
        || !to_pass.iter().all(has_passed)
}

fn is_pass(observation: Observation) -> bool {
    observation == Observation::Pass
}

fn last_pass(history: &[HistoryEntry], subject: &Subject) -> Option<usize> {
    history
        .iter()
        .rposition(|entry| entry.end.observe(subject) == Some(Observation::Pass))
}

/// Returns the last entry in which a subject passed or failed, by index, and which of the two.
pub(super) fn last_result(history: &[HistoryEntry], subject: &Subject) -> Option<(usize, Observation)> {
    let observed = |(index, entry): (usize, &HistoryEntry)| Some((index, entry.end.observe(subject)?));
    let is_result = |(_, result): &(usize, Observation)| matches!(result, Observation::Pass | Observation::Fail);
    history.iter().enumerate().rev().filter_map(observed).find(is_result)
}

/// Returns an older baseline for a subject that is flaky at both ends, because it may have passed by chance in the
/// present baseline. Each older baseline is at least twice as far back. Returns `None` if no such entry passed.
pub fn older_baseline(history: &[HistoryEntry], base: usize, now: usize, subject: &Subject) -> Option<usize> {
    let before = now.saturating_sub(2 * (now - base).max(1));
    if base == 0 {
        return None;
    }
    let passed = |index: &usize| history[*index].end.observe(subject) == Some(Observation::Pass);
    (0..=before).rev().find(passed).filter(|index| *index < base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;
    use crate::domain::results::{Failure, Tests};

    fn ran(failed: &[&str], passed: &[&str]) -> RunEnd {
        let tests = Tests {
            failed: failed.iter().map(|test| Failure::of(test, "boom")).collect(),
            passed: passed.iter().map(|test| (*test).to_owned()).collect(),
            ..Tests::default()
        };
        let outcome = if failed.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed { exit_code: 1 }
        };
        RunEnd::Run(outcome, Some(tests))
    }

    fn setup_failed() -> RunEnd {
        let reason = "x".to_owned();
        RunEnd::Run(
            Outcome::SetupFailed {
                reason,
                exit_code: None,
            },
            None,
        )
    }

    fn history(ends: Vec<RunEnd>) -> Vec<HistoryEntry> {
        let entry = |(index, end)| HistoryEntry::new(format!("r{index}").into(), end);
        ends.into_iter().enumerate().map(entry).collect()
    }

    fn found(ends: Vec<RunEnd>) -> Vec<(Change, usize, Vec<String>)> {
        let named = |suspicion: Suspicion| {
            let names = suspicion.subjects.iter().map(Subject::to_string).collect();
            (suspicion.change, suspicion.base, names)
        };
        suspicions(&history(ends), &[], &[]).into_iter().map(named).collect()
    }

    fn test(name: &str) -> Vec<String> {
        vec![format!("test {name}")]
    }

    #[test]
    fn a_failing_suite_that_gets_a_report_is_not_fixed() {
        let silent = RunEnd::Run(Outcome::Failed { exit_code: 1 }, None);
        assert_eq!(found(vec![silent.clone(), ran(&["a"], &["b"])]), []);
        let fixed = found(vec![silent, ran(&[], &["a", "b"])]);
        let subjects = vec!["the suite".to_owned(), "the run".to_owned()];
        assert_eq!(fixed, [(Change::Fixed, 0, subjects)]);
    }

    #[test]
    fn a_pass_with_half_the_tests_is_suspected_once_and_its_fix_too() {
        let (all, half, none) = (ran(&[], &["a", "b", "c", "d"]), ran(&[], &["a", "b"]), ran(&[], &[]));
        let count = || vec!["the number of tests (at least 3)".to_owned()];
        assert_eq!(found(vec![all.clone(), half.clone()]), [(Change::Broke, 0, count())]);
        // a run without a report had no test
        let silent = RunEnd::Run(Outcome::Passed, None);
        assert_eq!(found(vec![all.clone(), silent.clone()]), [(Change::Broke, 0, count())]);
        assert_eq!(found(vec![all.clone(), none.clone()]), [(Change::Broke, 0, count())]);
        assert_eq!(found(vec![all.clone(), half.clone(), half.clone()]), []);
        // a module that no longer imports, in a suite that failed before
        let (red, hidden) = (ran(&["x"], &["a", "b", "c"]), ran(&["x", "module"], &[]));
        assert_eq!(found(vec![red, hidden]), [(Change::Broke, 0, count())]);
        assert_eq!(found(vec![all.clone(), ran(&[], &["a", "b", "c"])]), []);
        assert_eq!(found(vec![silent.clone(), silent]), []);
        // runs that do not say how many tests they had are no baseline and no fall
        let crashed = || RunEnd::Run(Outcome::Crashed { signal: 11 }, None);
        assert_eq!(
            found(vec![all.clone(), crashed(), half.clone()])[0],
            (Change::Broke, 0, count())
        );
        let unknown = Tests {
            cut: true,
            ..Tests::default()
        };
        assert_eq!(
            found(vec![all.clone(), RunEnd::Run(Outcome::Passed, Some(unknown))]),
            []
        );

        let broken = [Subject::TestCount(3)];
        let fixed = suspicions(&history(vec![all.clone(), half.clone(), all.clone()]), &[], &broken);
        assert_eq!(
            fixed,
            [Suspicion {
                change: Change::Fixed,
                base: 1,
                subjects: broken.to_vec()
            }]
        );
        // the owner chose other tests
        let mut chosen = history(vec![all, half]);
        chosen[1].recipe = "another".to_owned();
        assert_eq!(suspicions(&chosen, &[], &[]), []);
    }

    #[test]
    fn each_subject_has_its_own_baseline() {
        let ends = vec![
            ran(&[], &["a", "b"]),
            ran(&["b"], &["a"]),
            setup_failed(),
            RunEnd::NoImage,
            ran(&["a", "b"], &[]),
        ];
        // The last result of `a` is in entry 1, where `b` failed already. The installation and the build are fixed.
        let expected = [
            (Change::Broke, 1, test("a")),
            (Change::Fixed, 2, vec!["the installation".to_owned()]),
            (Change::Fixed, 3, vec!["the build of CPython".to_owned()]),
        ];
        assert_eq!(found(ends), expected);
    }

    #[test]
    fn a_crash_of_a_failing_suite_is_a_suspicion() {
        let crash = RunEnd::Run(Outcome::Crashed { signal: 11 }, None);
        let expected = [(Change::Broke, 0, vec!["the suite".to_owned()])];
        assert_eq!(found(vec![ran(&["b"], &["a"]), crash.clone()]), expected);
        assert_eq!(found(vec![crash.clone(), crash]), []);
    }

    #[test]
    fn a_failure_under_a_new_name_is_a_failure_of_the_run() {
        let expected = [(Change::Broke, 0, vec!["the run".to_owned()])];
        assert_eq!(found(vec![ran(&[], &["a.x"]), ran(&["import of a"], &[])]), expected);
        // If the suite failed before, it can't be separated from a new failing test.
        assert_eq!(found(vec![ran(&["b"], &["a.x"]), ran(&["b", "import of a"], &[])]), []);
    }

    #[test]
    fn failures_of_the_machinery_raise_no_suspicion() {
        let infra = RunEnd::Run(Outcome::Infra { reason: "gone".into() }, None);
        assert_eq!(found(vec![ran(&[], &["a"]), infra.clone()]), []);
        let expected = [(Change::Broke, 0, test("a"))];
        assert_eq!(found(vec![ran(&[], &["a"]), infra, ran(&["a"], &[])]), expected);
        assert_eq!(found(vec![ran(&["a"], &[])]), []);
        assert_eq!(found(Vec::new()), []);
    }

    #[test]
    fn a_subject_that_still_fails_is_compared_with_its_last_pass() {
        let infra = || RunEnd::Run(Outcome::Infra { reason: "gone".into() }, None);
        let (pass, fail) = (|| ran(&[], &["a"]), || ran(&["a"], &[]));
        for (ends, expected) in [
            (vec![pass(), fail(), pass(), fail(), infra(), fail()], Some((5, 2))),
            (vec![fail(), pass()], None),
            (vec![pass(), fail(), infra()], Some((1, 0))),
            (vec![pass(), fail(), setup_failed()], Some((1, 0))),
            (vec![fail(), fail()], None),
            (vec![], None),
        ] {
            let found = still_failing(&history(ends.clone()), &[Subject::Test("a".into())]);
            let found = found.into_iter().next().map(|(last, found)| (last, found[0].base));
            assert_eq!(found, expected, "{ends:?}");
        }
    }

    #[test]
    fn a_fix_is_compared_with_the_last_failure_however_long_ago() {
        let (pass, fail) = (|| ran(&[], &["a"]), || ran(&["a"], &[]));
        let expected = [(Change::Fixed, 1, [test("a"), vec!["the run".to_owned()]].concat())];
        assert_eq!(found(vec![fail(), fail(), pass(), pass(), pass()]), expected);
    }

    #[test]
    fn an_expired_known_failure_is_compared_with_the_last_pass() {
        let ends = vec![ran(&[], &["a", "b"]), ran(&["a", "b"], &[]), ran(&["a", "b"], &[])];
        let overdue = [Subject::Test("a".into())];
        let history = history(ends);
        assert_eq!(suspicions(&history, &[], &[]), []);
        let found = suspicions(&history, &overdue, &[]);
        assert_eq!((found.len(), found[0].base), (1, 0));
        assert_eq!(found[0].subjects, overdue);
        // The last two entries do not show when it passed.
        assert!(
            !needs_older_entries(&history, [].into_iter(), &overdue)
                && needs_older_entries(&history[1..], [].into_iter(), &overdue)
        );
        assert!(!needs_older_entries(&history[1..], [].into_iter(), &[]));
    }

    #[test]
    fn each_older_baseline_is_twice_as_far_back() {
        let history = history((0..20).map(|_| ran(&[], &["a"])).collect());
        let subject = Subject::Test("a".into());
        let mut base = 18;
        let mut tried = Vec::new();
        while let Some(older) = older_baseline(&history, base, 19, &subject) {
            tried.push(older);
            base = older;
        }
        assert_eq!(tried, [17, 15, 11, 3, 0]);
    }
}
