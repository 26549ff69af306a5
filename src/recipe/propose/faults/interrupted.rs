//! Tests that did not finish: they hung, crashed, ended the suite or ran out of memory.

use super::Faults;
use crate::domain::results::Failure;
use crate::recipe::propose::command::Command;
use crate::recipe::propose::write;

/// The beginning of a failure's message if the suite ended during its test (`host::run::suite::judge`).
const NO_END: &str = "it did not end: ";

/// Returns whether the suite ended during the test of this failure.
pub fn is_of_no_end(failure: &Failure) -> bool {
    failure.message.starts_with(NO_END)
}

impl Faults<'_> {
    /// Deselects the test during which the suite ended, because it hides all tests after it.
    pub(super) fn interrupted(&mut self) {
        let failed = self.observed.tests.map(|tests| tests.failed.as_slice());
        for failure in failed
            .unwrap_or_default()
            .iter()
            .filter(|failure| is_of_no_end(failure))
        {
            let reason = format!("the suite ended with it: {}", write::line(&failure.message));
            self.leave_out(&failure.test, reason);
        }
    }

    /// Deselects a test, if its file is found. Only pytest can do this, so it also runs the tests of unittest from then
    /// on.
    pub(super) fn leave_out(&mut self, test: &str, reason: String) {
        self.run_by_pytest("unittest can't leave out single tests");
        let Some((file, address)) = address(&self.survey.files, test) else {
            return;
        };
        let Some(pytest) = self.proposal.suite.as_mut().and_then(Command::pytest) else {
            return;
        };
        if pytest.leave_out(&address, &file, &reason) {
            self.say(format!("without {}", write::line(&address)), reason);
        }
    }
}

/// Returns the file of a test, and its address for pytest: `tests: tests.test_a.Class.test_x[1]` is
/// `tests/test_a.py::Class::test_x[1]`. Returns `None` if no test file has that name.
fn address(files: &[String], test: &str) -> Option<(String, String)> {
    let test = test.split_once(": ").map_or(test, |(_, test)| test);
    let (dotted, case) = match test.split_once('[') {
        Some((dotted, case)) => (dotted, Some(case)),
        None => (test, None),
    };
    let matching = files.iter().filter_map(|file| {
        let module = file.strip_suffix(".py")?.replace('/', ".");
        let rest = dotted.strip_prefix(&module)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| (file, rest.trim_start_matches('.').to_owned()))
    });
    let (file, rest) = matching.max_by_key(|(file, _)| file.len())?;
    if rest.is_empty() {
        return Some((file.clone(), file.clone()));
    }
    // if a shell or a terminal could not take the case, the address names the whole test
    let case = case.filter(|case| case.len() < 80 && case.chars().all(|c| c.is_ascii_graphic() && c != '\''));
    let case = case.map(|case| format!("[{case}")).unwrap_or_default();
    Some((file.clone(), format!("{file}::{}{case}", rest.replace('.', "::"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Outcome, Timeout};
    use crate::domain::results::Tests;
    use crate::domain::suite::Source;
    use crate::recipe::propose::{Observed, Survey, corrected, propose, trial_result};
    use serde_json::json;

    fn survey() -> Survey {
        serde_json::from_value(json!({
            "name": "demo",
            "build": { "installs": true },
            "places": [{ "path": "tests", "files": 1, "runners": { "pytest": 1 } }],
            "files": ["tests/test_a.py"],
        }))
        .unwrap()
    }

    #[test]
    fn a_test_with_which_its_suite_ended_is_left_out() {
        let survey = survey();
        let (proposal, _) = propose(
            &survey,
            "demo",
            Source::of_git("https://example.org/demo", "0123456789"),
        );
        for outcome in [
            Outcome::TimedOut {
                which: Timeout::Silence,
            },
            Outcome::Crashed { signal: 11 },
            Outcome::OutOfMemory,
            Outcome::NO_COMPLETE_REPORT,
        ] {
            let message = format!("{NO_END}{outcome}");
            let tests = Tests {
                passed: vec!["tests: tests.test_a.test_x".to_owned()],
                failed: vec![Failure::of("tests: tests.test_a.C.test_wait[1]", &message)],
                incomplete: true,
                ..Tests::default()
            };
            let observed = Observed {
                outcome: &outcome,
                tests: Some(&tests),
                phase: "test tests",
                log: "",
            };
            let (after, _) = corrected(&proposal, &survey, &observed).unwrap();
            let text = after.text(&[]);
            assert!(text.contains("--deselect 'tests/test_a.py::C::test_wait[1]'"), "{text}");
            assert!(text.contains(&format!("the suite ended with it: {message}")), "{text}");
        }
    }

    #[test]
    fn pytest_leaves_out_tests_of_unittest() {
        let survey: Survey = serde_json::from_value(json!({
            "name": "demo",
            "build": { "installs": true },
            "places": [{ "path": "tests", "files": 1, "runners": { "unittest": 1 } }],
            "files": ["tests/test_a.py"],
        }))
        .unwrap();
        let (proposal, _) = propose(
            &survey,
            "demo",
            Source::of_git("https://example.org/demo", "0123456789"),
        );
        let outcome = Outcome::Failed { exit_code: 1 };
        let trial = |test: &str| {
            let tests = Tests {
                failed: vec![Failure::of(test, "socket.gaierror: name resolution")],
                ..Tests::default()
            };
            let observed = Observed {
                outcome: &outcome,
                tests: Some(&tests),
                phase: "test tests",
                log: "",
            };
            corrected(&proposal, &survey, &observed).unwrap().0.text(&[])
        };
        let text = trial("tests: tests.test_a.C.test_x");
        assert!(
            text.contains("pytest -q --deselect tests/test_a.py::C::test_x tests\""),
            "{text}"
        );
        assert!(text.contains("requires = [\"pytest\"]"), "{text}");
        // unittest had another name for the test, so only the next trial finds it
        let text = trial("tests: test_a.C.test_x");
        assert!(text.contains("run = \"python -m pytest -q tests\""), "{text}");
    }

    #[test]
    fn a_trial_that_did_not_end_says_how_far_it_came() {
        let survey = survey();
        let (proposal, _) = propose(
            &survey,
            "demo",
            Source::of_git("https://example.org/demo", "0123456789"),
        );
        let total = Outcome::TimedOut { which: Timeout::Total };
        let tests = Tests {
            passed: vec!["tests: tests.test_a.test_x".to_owned()],
            incomplete: true,
            ..Tests::default()
        };
        let mut observed = Observed {
            outcome: &total,
            tests: Some(&tests),
            phase: "test tests",
            log: "",
        };
        assert_eq!(
            corrected(&proposal, &survey, &observed).map(|(_, reasons)| reasons),
            None
        );
        let sentence = trial_result(&proposal, &observed).sentence();
        assert_eq!(sentence, format!("failed: {total} after 1 tests"));
        let silence = Outcome::TimedOut {
            which: Timeout::Silence,
        };
        let interrupted = Tests {
            failed: vec![Failure::of("tests: tests.test_a.test_wait", "it did not end: x")],
            ..tests.clone()
        };
        observed.outcome = &silence;
        observed.tests = Some(&interrupted);
        let sentence = trial_result(&proposal, &observed).sentence();
        assert_eq!(
            sentence,
            format!("failed: {silence} with tests: tests.test_a.test_wait")
        );
    }
}
