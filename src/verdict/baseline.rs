//! A cell against its baseline: the nearest check-in before it on the branch whose cell is decided.

use super::cell::Cell;
use super::subject::Subject;
use serde::Serialize;
use std::collections::BTreeSet;

/// What is known of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub cell: Cell,
    /// What fails in it, without known failures. Where nothing tells the tests apart, [`Subject::Suite`].
    pub failing: BTreeSet<Subject>,
    /// First error of what failed, normalised.
    pub signature: Option<String>,
}

/// What a cell means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "subjects", rename_all = "snake_case")]
pub enum Verdict {
    /// It passes, and did before.
    Ok,
    /// These fail, and did not before; to be confirmed.
    Suspect(BTreeSet<Subject>),
    /// What fails failed before.
    StillFailing,
    /// These failed before, and nothing of that now; to be confirmed.
    Fixed(BTreeSet<Subject>),
    /// Runs on the same image disagree.
    Flaky,
    /// There is nothing to compare it with, and it passes.
    New,
    /// There is nothing to compare it with, and these fail: a reference run on a release will tell.
    NewFailing(BTreeSet<Subject>),
    /// There is no image; that is one incident of the row, and says nothing of projects.
    ImageFailed,
    /// No attempt is valid.
    Unknown,
    Skipped,
    Pending,
}

/// The verdict about a cell. `base` is decided (passes, fails or is flaky), or it is none.
pub fn verdict(base: Option<&Standing>, now: &Standing) -> Verdict {
    let base = base.filter(|base| matches!(base.cell, Cell::Pass | Cell::Fail | Cell::Flaky));
    match (now.cell, base) {
        (Cell::Pending, _) => Verdict::Pending,
        (Cell::Skipped, _) => Verdict::Skipped,
        (Cell::Unknown, _) => Verdict::Unknown,
        (Cell::NoImage, _) => Verdict::ImageFailed,
        (Cell::Flaky, _) => Verdict::Flaky,
        (Cell::Pass, None) => Verdict::New,
        (Cell::Fail, None) => Verdict::NewFailing(now.failing.clone()),
        (Cell::Pass, Some(base)) if base.failing.is_empty() => Verdict::Ok,
        (Cell::Pass, Some(base)) => Verdict::Fixed(base.failing.clone()),
        (Cell::Fail, Some(base)) => {
            let new: BTreeSet<Subject> = now.failing.difference(&base.failing).cloned().collect();
            // the same suite, but for another reason
            let other = base.signature.is_some() && now.signature.is_some() && base.signature != now.signature;
            match (new.is_empty(), other) {
                (false, _) => Verdict::Suspect(new),
                (true, true) if now.failing.contains(&Subject::Suite) => {
                    Verdict::Suspect(BTreeSet::from([Subject::Suite]))
                }
                (true, _) => Verdict::StillFailing,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Cell; 7] = [
        Cell::Pass,
        Cell::Fail,
        Cell::Flaky,
        Cell::Unknown,
        Cell::NoImage,
        Cell::Skipped,
        Cell::Pending,
    ];

    fn standing(cell: Cell, failing: &[&str]) -> Standing {
        Standing {
            cell,
            failing: failing.iter().map(|test| Subject::Test((*test).into())).collect(),
            signature: None,
        }
    }

    fn tests(names: &[&str]) -> BTreeSet<Subject> {
        standing(Cell::Fail, names).failing
    }

    #[test]
    fn as_the_table_says() {
        let pass = standing(Cell::Pass, &[]);
        let fail = |names: &[&str]| standing(Cell::Fail, names);
        let table = [
            (Some(pass.clone()), pass.clone(), Verdict::Ok),
            (Some(pass.clone()), fail(&["a"]), Verdict::Suspect(tests(&["a"]))),
            (Some(fail(&["a"])), fail(&["a"]), Verdict::StillFailing),
            (Some(fail(&["a", "b"])), fail(&["a"]), Verdict::StillFailing),
            // new in red
            (Some(fail(&["a"])), fail(&["a", "b"]), Verdict::Suspect(tests(&["b"]))),
            (Some(fail(&["a"])), fail(&["b"]), Verdict::Suspect(tests(&["b"]))),
            (Some(fail(&["a"])), pass.clone(), Verdict::Fixed(tests(&["a"]))),
            (None, pass.clone(), Verdict::New),
            (None, fail(&["a"]), Verdict::NewFailing(tests(&["a"]))),
            // a test that fails now and then was no baseline to pass
            (Some(standing(Cell::Flaky, &["a"])), fail(&["a"]), Verdict::StillFailing),
            (
                Some(standing(Cell::Flaky, &["a"])),
                fail(&["b"]),
                Verdict::Suspect(tests(&["b"])),
            ),
        ];
        for (base, now, expected) in table {
            assert_eq!(verdict(base.as_ref(), &now), expected, "{base:?} -> {now:?}");
        }
    }

    #[test]
    fn the_same_suite_for_another_reason_is_suspect() {
        let red = |signature: Option<&str>| Standing {
            cell: Cell::Fail,
            failing: BTreeSet::from([Subject::Suite]),
            signature: signature.map(str::to_owned),
        };
        let suspect = Verdict::Suspect(BTreeSet::from([Subject::Suite]));
        let (one, other) = (red(Some("NameError: x")), red(Some("TypeError: y")));
        assert_eq!(verdict(Some(&one), &other), suspect);
        assert_eq!(verdict(Some(&one), &one), Verdict::StillFailing);
        assert_eq!(verdict(Some(&red(None)), &other), Verdict::StillFailing);
    }

    #[test]
    fn only_what_ran_gets_a_verdict_about_code() {
        for base in ALL {
            for now in [Cell::Unknown, Cell::NoImage, Cell::Skipped, Cell::Pending] {
                let found = verdict(Some(&standing(base, &["a"])), &standing(now, &[]));
                assert!(
                    !matches!(found, Verdict::Suspect(_) | Verdict::Fixed(_) | Verdict::Ok),
                    "{base:?} -> {now:?}: {found:?}"
                );
            }
            // what is undecided is no baseline
            if matches!(base, Cell::Unknown | Cell::NoImage | Cell::Skipped | Cell::Pending) {
                let found = verdict(Some(&standing(base, &[])), &standing(Cell::Fail, &["a"]));
                assert_eq!(found, Verdict::NewFailing(tests(&["a"])));
            }
        }
    }
}
