//! The results of one project on the check-ins of a branch, as one variant: what is new in the last of them.

use super::inquiry::{Change, End};
use super::subject::{Seen, Subject};
use crate::domain::outcome::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// Results at one check-in.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub revision: String,
    pub end: End,
    /// The versions of its dependencies, by any name that is equal where they are.
    pub lock: String,
}

/// Subjects that changed, and since when at the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub change: Change,
    /// The place of the row in which they were seen last, as they were before.
    pub base: usize,
    pub subjects: Vec<Subject>,
}

impl End {
    /// What failed.
    pub fn failing(&self) -> Vec<Subject> {
        let candidates: Vec<Subject> = match self {
            End::NoImage => vec![Subject::Build],
            End::Run(Outcome::SetupFailed { .. }, _) => vec![Subject::Setup],
            End::Run(_, tests) => {
                let tests = tests.iter().flat_map(|tests| &tests.failed);
                tests
                    .map(|failure| Subject::Test(failure.test.clone()))
                    .chain([Subject::Suite])
                    .collect()
            }
        };
        let fails = |subject: &Subject| self.seen(subject) == Some(Seen::Fail);
        candidates.into_iter().filter(fails).collect()
    }
}

/// What is to be looked into after the last row: each subject against the nearest row before that says anything of it.
/// A stretch in which it could not be seen is no baseline, and neither is one in which something else was red. What failed
/// before and is `overdue` (known failures whose time is over) is against the last row in which it passed.
pub fn suspicions(rows: &[Row], overdue: &[Subject]) -> Vec<Suspicion> {
    let Some((now, before)) = rows.split_last() else {
        return Vec::new();
    };
    let mut found: BTreeMap<usize, Vec<Subject>> = BTreeMap::new();
    for subject in now.end.failing() {
        let base = match overdue.contains(&subject) {
            true => last_passed(before, &subject),
            false => last_seen(before, &subject).and_then(|(base, seen)| (seen == Seen::Pass).then_some(base)),
        };
        if let Some(base) = base {
            found.entry(base).or_default().push(subject);
        }
    }
    // it passed and now fails, and something that fails has no past: tests that can't be imported have other names
    if now
        .end
        .failing()
        .iter()
        .any(|subject| last_seen(before, subject).is_none())
        && now.end.seen(&Subject::Run) == Some(Seen::Fail)
        && let Some((base, Seen::Pass)) = last_seen(before, &Subject::Run)
    {
        found.entry(base).or_default().push(Subject::Run);
    }
    let broke = found.into_iter().map(|(base, subjects)| Suspicion {
        change: Change::Broke,
        base,
        subjects,
    });
    let mut found: BTreeMap<usize, Vec<Subject>> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for (base, row) in before.iter().enumerate().rev() {
        for subject in row.end.failing().into_iter().chain([Subject::Run]) {
            // since it failed last it passed, once or more often: what fails now and then takes its time to be mended
            if row.end.seen(&subject) == Some(Seen::Fail)
                && now.end.seen(&subject) == Some(Seen::Pass)
                && told.insert(subject.clone())
            {
                found.entry(base).or_default().push(subject);
            }
        }
    }
    let fixed = found.into_iter().map(|(base, subjects)| Suspicion {
        change: Change::Fixed,
        base,
        subjects,
    });
    broke.chain(fixed).collect()
}

/// Of some subjects, those that fail in the last row that says anything of them, by the place of that row; each against
/// the last row in which it passed, whatever is between: what was failing now and then may have begun to fail for good.
pub fn still_failing(rows: &[Row], subjects: &[Subject]) -> BTreeMap<usize, Vec<Suspicion>> {
    let mut found: BTreeMap<(usize, usize), Vec<Subject>> = BTreeMap::new();
    for subject in subjects {
        if let (Some((last, Seen::Fail)), Some(base)) = (last_seen(rows, subject), last_passed(rows, subject)) {
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

/// Whether rows before the first one may say more: of what fails now, or is known to be broken and passes, none here does;
/// of what has `to_pass`, none passes.
pub fn is_short<'a>(rows: &[Row], broken: impl Iterator<Item = &'a Subject>, to_pass: &[Subject]) -> bool {
    let Some((now, before)) = rows.split_last() else {
        return false;
    };
    let mut fails = now.end.failing().into_iter();
    let mut passes = broken.filter(|one| now.end.seen(one) == Some(Seen::Pass));
    let failed = |subject: &Subject| before.iter().any(|row| row.end.seen(subject) == Some(Seen::Fail));
    let has_passed = |subject: &Subject| {
        last_seen(rows, subject).is_none_or(|(_, seen)| seen == Seen::Pass) || last_passed(rows, subject).is_some()
    };
    fails.any(|subject| last_seen(before, &subject).is_none())
        || passes.any(|subject| !failed(subject))
        || !to_pass.iter().all(has_passed)
}

fn last_passed(rows: &[Row], subject: &Subject) -> Option<usize> {
    rows.iter().rposition(|row| row.end.seen(subject) == Some(Seen::Pass))
}

/// The nearest row that says anything of a subject.
pub(super) fn last_seen(rows: &[Row], subject: &Subject) -> Option<(usize, Seen)> {
    let seen = |(place, row): (usize, &Row)| Some((place, row.end.seen(subject)?));
    let says = |(_, seen): &(usize, Seen)| matches!(seen, Seen::Pass | Seen::Fail);
    rows.iter().enumerate().rev().filter_map(seen).find(says)
}

/// An older baseline for what fails now and then on both sides: the row before may have passed by chance. Each is twice
/// as far back as the one before; None: there is none.
pub fn wider(rows: &[Row], base: usize, now: usize, subject: &Subject) -> Option<usize> {
    let before = now.saturating_sub(2 * (now - base).max(1));
    if base == 0 {
        return None;
    }
    let passed = |place: &usize| rows[*place].end.seen(subject) == Some(Seen::Pass);
    (0..=before).rev().find(passed).filter(|place| *place < base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::{Failure, Tests};

    fn ran(failed: &[&str], passed: &[&str]) -> End {
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
        End::Run(outcome, Some(tests))
    }

    fn setup_failed() -> End {
        let reason = "x".to_owned();
        End::Run(
            Outcome::SetupFailed {
                reason,
                exit_code: None,
            },
            None,
        )
    }

    fn rows(ends: Vec<End>) -> Vec<Row> {
        let row = |(place, end)| Row {
            revision: format!("r{place}"),
            end,
            lock: String::new(),
        };
        ends.into_iter().enumerate().map(row).collect()
    }

    fn found(ends: Vec<End>) -> Vec<(Change, usize, Vec<String>)> {
        let named = |suspicion: Suspicion| {
            let names = suspicion.subjects.iter().map(Subject::to_string).collect();
            (suspicion.change, suspicion.base, names)
        };
        suspicions(&rows(ends), &[]).into_iter().map(named).collect()
    }

    fn test(name: &str) -> Vec<String> {
        vec![format!("test {name}")]
    }

    #[test]
    fn each_subject_has_its_own_baseline() {
        let ends = vec![
            ran(&[], &["a", "b"]),
            ran(&["b"], &["a"]),
            setup_failed(),
            End::NoImage,
            ran(&["a", "b"], &[]),
        ];
        // `a` was seen last in row 1, `b` failed there already; the installation and the build are well again
        let expected = [
            (Change::Broke, 1, test("a")),
            (Change::Fixed, 2, vec!["the installation".to_owned()]),
            (Change::Fixed, 3, vec!["the build of CPython".to_owned()]),
        ];
        assert_eq!(found(ends), expected);
    }

    #[test]
    fn a_crash_in_a_red_suite_is_news() {
        let crash = End::Run(Outcome::Crashed { signal: 11 }, None);
        let expected = [(Change::Broke, 0, vec!["the suite".to_owned()])];
        assert_eq!(found(vec![ran(&["b"], &["a"]), crash.clone()]), expected);
        assert_eq!(found(vec![crash.clone(), crash]), []);
    }

    #[test]
    fn a_failure_under_a_new_name_is_the_runs() {
        let expected = [(Change::Broke, 0, vec!["the run".to_owned()])];
        assert_eq!(found(vec![ran(&[], &["a.x"]), ran(&["import of a"], &[])]), expected);
        // in a suite that was red it can't be told from what is new
        assert_eq!(found(vec![ran(&["b"], &["a.x"]), ran(&["b", "import of a"], &[])]), []);
    }

    #[test]
    fn the_machinery_raises_no_suspicion() {
        let infra = End::Run(Outcome::Infra { reason: "gone".into() }, None);
        assert_eq!(found(vec![ran(&[], &["a"]), infra.clone()]), []);
        let expected = [(Change::Broke, 0, test("a"))];
        assert_eq!(found(vec![ran(&[], &["a"]), infra, ran(&["a"], &[])]), expected);
        assert_eq!(found(vec![ran(&["a"], &[])]), []);
        assert_eq!(found(Vec::new()), []);
    }

    #[test]
    fn what_still_fails_is_asked_of_the_last_row_in_which_it_passed() {
        let infra = || End::Run(Outcome::Infra { reason: "gone".into() }, None);
        let (pass, fail) = (|| ran(&[], &["a"]), || ran(&["a"], &[]));
        for (ends, expected) in [
            (vec![pass(), fail(), pass(), fail(), infra(), fail()], Some((5, 2))),
            (vec![fail(), pass()], None),
            (vec![pass(), fail(), infra()], Some((1, 0))),
            (vec![pass(), fail(), setup_failed()], Some((1, 0))),
            (vec![fail(), fail()], None),
            (vec![], None),
        ] {
            let found = still_failing(&rows(ends.clone()), &[Subject::Test("a".into())]);
            let found = found.into_iter().next().map(|(last, found)| (last, found[0].base));
            assert_eq!(found, expected, "{ends:?}");
        }
    }

    #[test]
    fn what_is_mended_failed_last_however_long_ago() {
        let (pass, fail) = (|| ran(&[], &["a"]), || ran(&["a"], &[]));
        let expected = [(Change::Fixed, 1, [test("a"), vec!["the run".to_owned()]].concat())];
        assert_eq!(found(vec![fail(), fail(), pass(), pass(), pass()]), expected);
    }

    #[test]
    fn what_is_overdue_is_against_its_last_pass() {
        let ends = vec![ran(&[], &["a", "b"]), ran(&["a", "b"], &[]), ran(&["a", "b"], &[])];
        let overdue = [Subject::Test("a".into())];
        let rows = rows(ends);
        assert_eq!(suspicions(&rows, &[]), []);
        let found = suspicions(&rows, &overdue);
        assert_eq!((found.len(), found[0].base), (1, 0));
        assert_eq!(found[0].subjects, overdue);
        // two rows can't say when it passed
        assert!(!is_short(&rows, [].into_iter(), &overdue) && is_short(&rows[1..], [].into_iter(), &overdue));
        assert!(!is_short(&rows[1..], [].into_iter(), &[]));
    }

    #[test]
    fn older_baselines_are_farther_and_farther_back() {
        let rows = rows((0..20).map(|_| ran(&[], &["a"])).collect());
        let subject = Subject::Test("a".into());
        let mut base = 18;
        let mut tried = Vec::new();
        while let Some(older) = wider(&rows, base, 19, &subject) {
            tried.push(older);
            base = older;
        }
        assert_eq!(tried, [17, 15, 11, 3, 0]);
    }
}
