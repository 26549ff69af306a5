//! The two ends of a bisection: whether they can show a change, and the reason if there is no change to search for.

use super::history::RunEnd;
use crate::domain::outcome::Outcome;
use std::collections::BTreeSet;

/// An end of a bisection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Good,
    Bad,
}

impl End {
    /// Returns whether a result can be this end. The good end has to run, because it has to pass. The bad end may be a
    /// failed build or installation, unless the search is for tests.
    pub fn accepts(self, result: &RunEnd, has_tests: bool) -> bool {
        let is_strict = self == End::Good || has_tests;
        match result {
            RunEnd::NoImage | RunEnd::Run(Outcome::SetupFailed { .. }, _) => !is_strict,
            RunEnd::Run(outcome, _) => outcome.is_valid(),
        }
    }
}

/// Why the two ends of a bisection show no change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDifference {
    NoImages,
    NoGoodImage,
    SetupFails,
    GoodSetupFails,
    /// A run was skipped, or the machinery or the recipe failed it. Or CPython does not build at the bad end, and the
    /// good end shows nothing.
    NoResult,
    BothPass,
    FailAlike,
    /// The good end fails and the bad one passes.
    Swapped,
    /// Everything that fails at the bad end fails at the good end too, or has no result there.
    NothingNew,
}

impl NoDifference {
    /// Returns the reason why two ends have nothing to search for.
    pub fn of(good: &RunEnd, bad: &RunEnd) -> Self {
        use Outcome::{Passed, SetupFailed};
        let (good_outcome, bad_outcome) = match (good, bad) {
            (RunEnd::NoImage, RunEnd::NoImage) => return Self::NoImages,
            (RunEnd::NoImage, RunEnd::Run(..)) => return Self::NoGoodImage,
            // a build that broke is a difference, unless the good end shows nothing
            (RunEnd::Run(..), RunEnd::NoImage) => return Self::NoResult,
            (RunEnd::Run(good, _), RunEnd::Run(bad, _)) => (good, bad),
        };
        let failing = |end: &RunEnd| -> BTreeSet<_> { end.failing().into_iter().collect() };
        match (good_outcome, bad_outcome) {
            (good, bad) if !good.is_valid() || !bad.is_valid() => Self::NoResult,
            (SetupFailed { .. }, SetupFailed { .. }) => Self::SetupFails,
            (SetupFailed { .. }, _) => Self::GoodSetupFails,
            (Passed, Passed) => Self::BothPass,
            (_, Passed) => Self::Swapped,
            _ if failing(good) == failing(bad) => Self::FailAlike,
            _ => Self::NothingNew,
        }
    }

    /// Returns the reason in words, with advice about the next try.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoImages => "CPython builds at neither end, nor near them; try another `--good` and `--bad`",
            Self::NoGoodImage => "CPython does not build at the good end, nor near it; try another `--good`",
            Self::SetupFails => {
                "the setup fails at both ends; try an older `--good`, or look at its log with `pybots try`"
            }
            Self::GoodSetupFails => "the setup fails at the good end, and near it; try another `--good`",
            Self::NoResult => "one end has no result; try another `--good` or `--bad`",
            Self::BothPass => {
                "both ends pass; try another `--bad`, or name a test that fails in some runs only with `--test NAME`"
            }
            Self::FailAlike => {
                "both ends fail alike; try an older `--good`, or name a test that fails in some runs only with `--test NAME`"
            }
            Self::Swapped => "the good end fails and the bad one passes; swap `--good` and `--bad` to find the fix",
            Self::NothingNew => {
                "nothing that fails at the bad end passes at the good one; name the test with `--test NAME`, or try another `--good`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::{Failure, Tests};

    fn ran(failed: &[&str], passed: &[&str]) -> RunEnd {
        let outcome = match failed.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed { exit_code: 1 },
        };
        let tests = Tests {
            passed: passed.iter().map(|name| (*name).to_owned()).collect(),
            failed: failed.iter().map(|name| Failure::of(name, "x")).collect(),
            ..Tests::default()
        };
        RunEnd::Run(outcome, Some(tests))
    }

    fn setup_failed() -> RunEnd {
        let reason = "no compiler".to_owned();
        RunEnd::Run(
            Outcome::SetupFailed {
                reason,
                exit_code: None,
            },
            None,
        )
    }

    fn skipped() -> RunEnd {
        RunEnd::Run(Outcome::Skipped { reason: "old".into() }, None)
    }

    #[test]
    fn each_pair_of_ends_has_its_reason() {
        let (pass, fail) = (ran(&[], &["a", "b"]), ran(&["a"], &["b"]));
        let crash = RunEnd::Run(Outcome::Crashed { signal: 11 }, None);
        use NoDifference::*;
        for (good, bad, reason) in [
            (RunEnd::NoImage, RunEnd::NoImage, NoImages),
            (RunEnd::NoImage, fail.clone(), NoGoodImage),
            (RunEnd::NoImage, skipped(), NoGoodImage),
            (skipped(), RunEnd::NoImage, NoResult),
            (setup_failed(), setup_failed(), SetupFails),
            (setup_failed(), fail.clone(), GoodSetupFails),
            (setup_failed(), pass.clone(), GoodSetupFails),
            (skipped(), fail.clone(), NoResult),
            (pass.clone(), skipped(), NoResult),
            (pass.clone(), pass.clone(), BothPass),
            (fail.clone(), fail.clone(), FailAlike),
            (crash.clone(), crash, FailAlike),
            (fail.clone(), pass, Swapped),
            (ran(&["a", "b"], &[]), fail, NothingNew),
        ] {
            assert_eq!(NoDifference::of(&good, &bad), reason, "{good:?} {bad:?}");
        }
    }

    #[test]
    fn an_end_has_to_show_what_is_searched_for() {
        let infra = RunEnd::Run(Outcome::Infra { reason: "gone".into() }, None);
        // the good end; the bad one; the bad one in a search for tests
        for (result, expected) in [
            (ran(&[], &["a"]), [true, true, true]),
            (ran(&["a"], &[]), [true, true, true]),
            (RunEnd::NoImage, [false, true, false]),
            (setup_failed(), [false, true, false]),
            (skipped(), [false, false, false]),
            (infra, [false, false, false]),
        ] {
            let found = [
                End::Good.accepts(&result, false),
                End::Bad.accepts(&result, false),
                End::Bad.accepts(&result, true),
            ];
            assert_eq!(found, expected, "{result:?}");
        }
    }
}
