//! The verdict: a cell compared with its baseline, the nearest earlier entry of the series that has a result for the
//! same subject.

use super::cell::Cell;
use super::change::Change;
use super::history::HistoryEntry;
use super::subject::{Observation, Subject};
use super::suspicion::{last_result, suspicions};

/// The verdict about a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The cell passes, and no subject that failed in the entry before passes now.
    Ok,
    /// These subjects fail and passed before. The change is not confirmed yet.
    Suspect {
        subjects: Vec<Subject>,
    },
    /// No failing subject passed in its baseline, and at least one of them failed there.
    StillFailing {
        /// The index of the oldest entry since which one of the subjects has failed.
        since: usize,
        /// Whether the subject may have failed even longer, because no entry before `since` shows a pass.
        or_before: bool,
    },
    /// These subjects failed in the entry before and pass now. The change is not confirmed yet.
    Fixed {
        subjects: Vec<Subject>,
    },
    /// Attempts on the same image disagree.
    Flaky,
    /// The cell passes, and there is no baseline.
    New,
    /// The cell fails, and there is no baseline.
    NewFailing {
        /// The failing subjects that pass on another branch.
        passes_elsewhere: Vec<Subject>,
    },
    /// The cell fails, and there is no baseline. One of the failing subjects fails on another branch too, and none of
    /// them passes there.
    AlwaysFailing,
    /// There is no image. This is one incident of the row, and no verdict about projects.
    ImageFailed,
    /// No attempt is valid.
    Unknown,
    Skipped,
    Pending,
}

/// Returns the verdict about a cell.
///
/// `history` is the series up to the cell, which is its last entry. `elsewhere` holds the newest entry of the project on
/// each other branch, for cells without a baseline.
pub fn verdict(cell: Cell, history: &[HistoryEntry], elsewhere: &[HistoryEntry]) -> Verdict {
    match cell {
        Cell::Pending => Verdict::Pending,
        Cell::Skipped => Verdict::Skipped,
        Cell::Unknown => Verdict::Unknown,
        Cell::NoImage => Verdict::ImageFailed,
        Cell::Flaky => Verdict::Flaky,
        Cell::Pass => passing(history),
        Cell::Fail => failing(history, elsewhere),
    }
}

fn passing(history: &[HistoryEntry]) -> Verdict {
    let Some((newest, before)) = history.split_last() else {
        return Verdict::New;
    };
    let Some(base) = before.last() else {
        return Verdict::New;
    };
    let passes = |subject: &Subject| newest.end.observe(subject) == Some(Observation::Pass);
    let subjects: Vec<Subject> = base.end.failing().into_iter().filter(passes).collect();
    match subjects.is_empty() {
        true => Verdict::Ok,
        false => Verdict::Fixed { subjects },
    }
}

fn failing(history: &[HistoryEntry], elsewhere: &[HistoryEntry]) -> Verdict {
    let suspicions = suspicions(history, &[], &[]).into_iter();
    let broke = suspicions.filter(|suspicion| suspicion.change == Change::Broke);
    let subjects: Vec<Subject> = broke.flat_map(|suspicion| suspicion.subjects).collect();
    if !subjects.is_empty() {
        return Verdict::Suspect { subjects };
    }
    let (failing, before) = match history.split_last() {
        Some((newest, before)) => (newest.end.failing(), before),
        None => (Vec::new(), history),
    };
    if let Some((since, or_before)) = failing.iter().filter_map(|subject| fails_since(before, subject)).min() {
        return Verdict::StillFailing { since, or_before };
    }
    let is_elsewhere = |subject: &Subject, observation: Observation| {
        elsewhere
            .iter()
            .any(|entry| entry.end.observe(subject) == Some(observation))
    };
    let passes = |subject: &&Subject| is_elsewhere(subject, Observation::Pass);
    let passes_elsewhere: Vec<Subject> = failing.iter().filter(passes).cloned().collect();
    match passes_elsewhere.is_empty() && failing.iter().any(|one| is_elsewhere(one, Observation::Fail)) {
        true => Verdict::AlwaysFailing,
        false => Verdict::NewFailing { passes_elsewhere },
    }
}

/// Returns the index of the entry since which a subject has failed without a pass, and whether no entry before shows a
/// pass. Returns `None` if its last result is no failure.
fn fails_since(history: &[HistoryEntry], subject: &Subject) -> Option<(usize, bool)> {
    let (last, _) = last_result(history, subject).filter(|(_, result)| *result == Observation::Fail)?;
    let passed = |entry: &HistoryEntry| entry.end.observe(subject) == Some(Observation::Pass);
    let base = history.iter().rposition(passed);
    let after = base.map_or(0, |index| index + 1);
    let fails = |index: &usize| history[*index].end.observe(subject) == Some(Observation::Fail);
    (after..=last).find(fails).map(|since| (since, base.is_none()))
}

#[cfg(test)]
mod tests {
    use super::super::history::RunEnd;
    use super::*;
    use crate::domain::id::RevisionId;
    use crate::domain::outcome::Outcome;
    use crate::domain::results::{Failure, Tests};

    const ALL: [Cell; 7] = [
        Cell::Pass,
        Cell::Fail,
        Cell::Flaky,
        Cell::Unknown,
        Cell::NoImage,
        Cell::Skipped,
        Cell::Pending,
    ];

    /// Returns an entry with the tests `a` and `b`, of which these fail.
    fn entry(failing: &[&str]) -> HistoryEntry {
        let mut tests = Tests::default();
        for test in ["a", "b"] {
            match failing.contains(&test) {
                true => tests.failed.push(Failure::of(test, "boom")),
                false => tests.passed.push(test.to_owned()),
            }
        }
        let outcome = match failing.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed { exit_code: 1 },
        };
        of(RunEnd::Run(outcome, Some(tests)))
    }

    fn of(end: RunEnd) -> HistoryEntry {
        HistoryEntry::new(RevisionId::default(), end)
    }

    fn tests(names: &[&str]) -> Vec<Subject> {
        names.iter().map(|test| Subject::Test((*test).into())).collect()
    }

    #[test]
    fn a_cell_is_compared_with_its_baseline() {
        let [pass, a, b, both] = [entry(&[]), entry(&["a"]), entry(&["b"]), entry(&["a", "b"])];
        let crash = of(RunEnd::Run(Outcome::Crashed { signal: 11 }, None));
        let suspect = |names: &[&str]| Verdict::Suspect { subjects: tests(names) };
        let fixed = |names: &[&str]| Verdict::Fixed { subjects: tests(names) };
        let still = |since: usize, or_before: bool| Verdict::StillFailing { since, or_before };
        let table = [
            (vec![&pass, &pass], Verdict::Ok),
            (vec![&pass, &a], suspect(&["a"])),
            (vec![&pass, &a, &a], still(1, false)),
            (vec![&a, &a], still(0, true)),
            (vec![&both, &a], still(0, true)),
            // A new failure in a suite that failed before.
            (vec![&a, &both], suspect(&["b"])),
            (vec![&a, &b], suspect(&["b"])),
            (vec![&a, &pass], fixed(&["a"])),
            (vec![&a, &pass, &pass], Verdict::Ok),
            // An entry that a crash hides is no baseline: an older one is.
            (vec![&a, &crash, &a], still(0, true)),
            (vec![&crash, &a, &a], still(1, true)),
            (vec![&pass, &crash, &a], suspect(&["a"])),
            (vec![&pass], Verdict::New),
        ];
        for (entries, expected) in table {
            let history: Vec<HistoryEntry> = entries.into_iter().cloned().collect();
            let cell = match history.last().unwrap().end.failing().is_empty() {
                true => Cell::Pass,
                false => Cell::Fail,
            };
            assert_eq!(verdict(cell, &history, &[]), expected, "{history:?}");
        }
    }

    #[test]
    fn a_failure_without_a_baseline_is_compared_with_other_branches() {
        let [pass, a, both] = [entry(&[]), entry(&["a"]), entry(&["a", "b"])];
        let new = |names: &[&str]| Verdict::NewFailing {
            passes_elsewhere: tests(names),
        };
        let now = [a.clone()];
        assert_eq!(verdict(Cell::Fail, &now, &[]), new(&[]));
        assert_eq!(verdict(Cell::Fail, &now, &[pass.clone(), a.clone()]), new(&["a"]));
        assert_eq!(
            verdict(Cell::Fail, &now, &[both.clone(), a.clone()]),
            Verdict::AlwaysFailing
        );
        assert_eq!(verdict(Cell::Fail, &[both], &[a]), new(&["b"]));
    }

    #[test]
    fn only_decided_cells_get_a_verdict_about_code() {
        let history = [entry(&[]), entry(&["a"])];
        let verdicts: Vec<Verdict> = ALL.iter().map(|cell| verdict(*cell, &history, &[])).collect();
        let about_code = |verdict: &&Verdict| {
            matches!(
                verdict,
                Verdict::Suspect { .. } | Verdict::Fixed { .. } | Verdict::Ok | Verdict::StillFailing { .. }
            )
        };
        assert_eq!(verdicts.iter().filter(about_code).count(), 2, "{verdicts:?}");
    }
}
