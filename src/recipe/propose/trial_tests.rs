use super::super::faults::tests::{FAILED, proposal, survey, tests};
use super::super::propose;
use super::*;
use crate::domain::suite::Source;

#[test]
fn a_trial_has_a_result() {
    let survey = survey();
    let proposal = proposal(&survey);
    let red = [("tests: a", "boom"), ("tests: b", "boom")];
    let result = |outcome: &Outcome, tests: Option<&Tests>| {
        let observed = Observed {
            outcome,
            tests,
            phase: "test tests",
            log: "[pybots] phase test tests\nE   ImportError: x\nexit 1\n",
        };
        trial_result(&proposal, &observed)
    };
    for (outcome, tests, is_usable, sentence) in [
        (Outcome::Passed, Some(tests(2, &[])), true, "green: 2 tests pass"),
        (
            Outcome::Passed,
            None,
            true,
            "green: the suite passes; it reports no single tests",
        ),
        (
            Outcome::Passed,
            Some(tests(0, &[])),
            false,
            "failed: no test ran, and 0 are skipped",
        ),
        (
            FAILED,
            Some(tests(3, &red)),
            true,
            "red: 2 of 5 tests fail: tests: a, tests: b",
        ),
        (
            FAILED,
            Some(tests(0, &red[..1])),
            false,
            "failed: no test passes, exit code 1: tests: a: boom",
        ),
        (
            FAILED,
            Some(Tests {
                incomplete: true,
                ..tests(3, &red)
            }),
            false,
            "failed: the suite broke off after 5 tests, exit code 1",
        ),
        (
            FAILED,
            Some(tests(
                3,
                &[("tests: a", "ModuleNotFoundError: No module named 'yaml'"), red[1]],
            )),
            true,
            "red: 2 of 5 tests fail: tests: a, tests: b; 1 of them for want of a package, a program or the network",
        ),
        (
            FAILED,
            None,
            false,
            "failed: no test passes, exit code 1: E ImportError: x",
        ),
        (
            Outcome::OutOfMemory,
            Some(tests(3, &[])),
            false,
            "failed: out of memory after 3 tests",
        ),
    ] {
        let found = result(&outcome, tests.as_ref());
        assert_eq!((found.is_usable(), found.sentence().as_str()), (is_usable, sentence));
    }
    let none = Survey::default();
    let bare = propose(&none, "demo", Source::of_git("https://example.org/demo", "1")).0;
    let observed = Observed {
        outcome: &Outcome::Passed,
        tests: None,
        phase: "test tests",
        log: "",
    };
    assert_eq!(trial_result(&bare, &observed), TrialResult::NoTests);
}
