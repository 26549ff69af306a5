//! A cell against its baseline: the nearest check-in before it on the branch that says anything of what it is about.

use super::cell::Cell;
use super::inquiry::Change;
use super::rows::{Row, last_seen, suspicions};
use super::subject::{Seen, Subject};

/// What a cell means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, and did before.
    Ok,
    /// These fail, and passed before; to be confirmed.
    Suspect {
        subjects: Vec<Subject>,
    },
    /// What fails failed before. `since`: the place of the row since which one of it fails at least; `or_before`: none of
    /// the rows before that one shows that it passed.
    StillFailing {
        since: usize,
        or_before: bool,
    },
    /// These failed at the baseline and pass; to be confirmed.
    Fixed {
        subjects: Vec<Subject>,
    },
    /// Runs on the same image disagree.
    Flaky,
    /// It passes, and there is nothing to compare it with.
    New,
    /// What fails has no past here; where it has a result elsewhere, these pass there.
    NewFailing {
        passes_elsewhere: Vec<Subject>,
    },
    /// What fails has no past here, and fails elsewhere too.
    AlwaysFailing,
    /// There is no image; that is one incident of the row, and says nothing of projects.
    ImageFailed,
    /// No attempt is valid.
    Unknown,
    Skipped,
    Pending,
}

/// The verdict about a cell. `rows`: what is known of the project on the branch, up to that cell; `elsewhere`: the newest
/// that is known of it on each other branch, to which is referred where there is nothing before.
pub fn verdict(cell: Cell, rows: &[Row], elsewhere: &[Row]) -> Verdict {
    match cell {
        Cell::Pending => Verdict::Pending,
        Cell::Skipped => Verdict::Skipped,
        Cell::Unknown => Verdict::Unknown,
        Cell::NoImage => Verdict::ImageFailed,
        Cell::Flaky => Verdict::Flaky,
        Cell::Pass => passing(rows),
        Cell::Fail => failing(rows, elsewhere),
    }
}

fn passing(rows: &[Row]) -> Verdict {
    let Some((now, before)) = rows.split_last() else {
        return Verdict::New;
    };
    let Some(base) = before.last() else {
        return Verdict::New;
    };
    let mended = |subject: &Subject| now.end.seen(subject) == Some(Seen::Pass);
    let subjects: Vec<Subject> = base.end.failing().into_iter().filter(mended).collect();
    match subjects.is_empty() {
        true => Verdict::Ok,
        false => Verdict::Fixed { subjects },
    }
}

fn failing(rows: &[Row], elsewhere: &[Row]) -> Verdict {
    let suspicions = suspicions(rows, &[]).into_iter();
    let broke = suspicions.filter(|suspicion| suspicion.change == Change::Broke);
    let subjects: Vec<Subject> = broke.flat_map(|suspicion| suspicion.subjects).collect();
    if !subjects.is_empty() {
        return Verdict::Suspect { subjects };
    }
    let (failing, before) = match rows.split_last() {
        Some((now, before)) => (now.end.failing(), before),
        None => (Vec::new(), rows),
    };
    if let Some((since, or_before)) = failing.iter().filter_map(|subject| fails_since(before, subject)).min() {
        return Verdict::StillFailing { since, or_before };
    }
    let seen = |subject: &Subject, as_seen: Seen| elsewhere.iter().any(|row| row.end.seen(subject) == Some(as_seen));
    let passes_elsewhere: Vec<Subject> = failing.iter().filter(|one| seen(one, Seen::Pass)).cloned().collect();
    match passes_elsewhere.is_empty() && failing.iter().any(|one| seen(one, Seen::Fail)) {
        true => Verdict::AlwaysFailing,
        false => Verdict::NewFailing { passes_elsewhere },
    }
}

/// The first row of those at the end that all fail, but for what says nothing; and whether none before it passed.
fn fails_since(rows: &[Row], subject: &Subject) -> Option<(usize, bool)> {
    let (last, _) = last_seen(rows, subject).filter(|(_, seen)| *seen == Seen::Fail)?;
    let passed = |row: &Row| row.end.seen(subject) == Some(Seen::Pass);
    let base = rows.iter().rposition(passed);
    let after = base.map_or(0, |place| place + 1);
    let fails = |place: &usize| rows[*place].end.seen(subject) == Some(Seen::Fail);
    (after..=last).find(fails).map(|since| (since, base.is_none()))
}

#[cfg(test)]
mod tests {
    use super::super::inquiry::End;
    use super::*;
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

    /// Of the tests a and b, these fail.
    fn row(failing: &[&str]) -> Row {
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
        of(End::Run(outcome, Some(tests)))
    }

    fn of(end: End) -> Row {
        Row {
            revision: String::new(),
            end,
            lock: String::new(),
        }
    }

    fn tests(names: &[&str]) -> Vec<Subject> {
        names.iter().map(|test| Subject::Test((*test).into())).collect()
    }

    #[test]
    fn as_the_table_says() {
        let [pass, a, b, both] = [row(&[]), row(&["a"]), row(&["b"]), row(&["a", "b"])];
        let crash = of(End::Run(Outcome::Crashed { signal: 11 }, None));
        let suspect = |names: &[&str]| Verdict::Suspect { subjects: tests(names) };
        let fixed = |names: &[&str]| Verdict::Fixed { subjects: tests(names) };
        let still = |since: usize, or_before: bool| Verdict::StillFailing { since, or_before };
        let table = [
            (vec![&pass, &pass], Verdict::Ok),
            (vec![&pass, &a], suspect(&["a"])),
            (vec![&pass, &a, &a], still(1, false)),
            (vec![&a, &a], still(0, true)),
            (vec![&both, &a], still(0, true)),
            // new in red
            (vec![&a, &both], suspect(&["b"])),
            (vec![&a, &b], suspect(&["b"])),
            (vec![&a, &pass], fixed(&["a"])),
            (vec![&a, &pass, &pass], Verdict::Ok),
            // what a crash hides is seen behind it
            (vec![&a, &crash, &a], still(0, true)),
            (vec![&crash, &a, &a], still(1, true)),
            (vec![&pass, &crash, &a], suspect(&["a"])),
            (vec![&pass], Verdict::New),
        ];
        for (rows, expected) in table {
            let rows: Vec<Row> = rows.into_iter().cloned().collect();
            let cell = match rows.last().unwrap().end.failing().is_empty() {
                true => Cell::Pass,
                false => Cell::Fail,
            };
            assert_eq!(verdict(cell, &rows, &[]), expected, "{rows:?}");
        }
    }

    #[test]
    fn what_has_no_past_is_referred_to_other_branches() {
        let [pass, a, both] = [row(&[]), row(&["a"]), row(&["a", "b"])];
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
    fn only_what_ran_gets_a_verdict_about_code() {
        let rows = [row(&[]), row(&["a"])];
        let words: Vec<Verdict> = ALL.iter().map(|cell| verdict(*cell, &rows, &[])).collect();
        let about_code = |verdict: &&Verdict| {
            matches!(
                verdict,
                Verdict::Suspect { .. } | Verdict::Fixed { .. } | Verdict::Ok | Verdict::StillFailing { .. }
            )
        };
        assert_eq!(words.iter().filter(about_code).count(), 2, "{words:?}");
    }
}
