//! The two ends of a bisection, in the form in which the answer shows them.

use crate::cli::local::short;
use crate::domain::id::RevisionId;
use crate::domain::outcome::Outcome;
use crate::domain::text::plain;
use crate::verdict::{Cell, Change, End, HistoryEntry, NoDifference, RunEnd, Subject, suspicions};
use serde::Serialize;

/// One end, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndView {
    /// The revision that the search used.
    pub revision: String,
    /// The revision that the command named. It differs from `revision` if it could not show the change.
    pub asked: String,
    /// The name of the outcome of one run, or `no_image`. `None` if there is no run yet.
    pub outcome: Option<&'static str>,
    /// The first error of that run. `None` if it passed.
    pub error: Option<String>,
}

impl EndView {
    pub fn new(asked: &str, revision: &str, result: Option<&RunEnd>) -> Self {
        Self {
            revision: revision.to_owned(),
            asked: asked.to_owned(),
            outcome: result.map(|result| match result {
                RunEnd::NoImage => Cell::NoImage.name(),
                RunEnd::Run(outcome, _) => outcome.name(),
            }),
            error: result.and_then(first_error),
        }
    }

    /// Adds the last error of the log to the end's error, if no test failed in the run.
    pub fn with_log(mut self, result: &RunEnd, log: &str) -> Self {
        let no_test_failed =
            matches!(result, RunEnd::Run(_, tests) if tests.as_ref().is_none_or(|tests| tests.failed.is_empty()));
        if let (true, Some(error), Some(line)) = (no_test_failed, &mut self.error, last_error(log)) {
            *error = format!("{error}: {line}");
        }
        self
    }
}

/// Returns the last line of the project's output that mentions an error, or else the last line. Skips lines of Pybots.
fn last_error(log: &str) -> Option<String> {
    let own = || {
        let lines = log.lines().map(plain).rev();
        lines.filter(|line| !line.trim().is_empty() && !line.starts_with("[pybots]"))
    };
    own()
        .find(|line| line.to_ascii_lowercase().contains("error"))
        .or_else(|| own().next())
}

/// The good end and the bad end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    pub good: EndView,
    pub bad: EndView,
}

impl Ends {
    /// Builds the ends from the older one and the newer one.
    pub fn of(change: Change, old: EndView, new: EndView) -> Self {
        let (good, bad) = match change {
            Change::Broke => (old, new),
            Change::Fixed => (new, old),
        };
        Self { good, bad }
    }

    fn both(&self) -> [(&'static str, &EndView); 2] {
        [("good", &self.good), ("bad", &self.bad)]
    }

    /// Returns the good end and then the bad end as a list.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!([self.good, self.bad])
    }

    /// Returns a line for each end, with its revision, its outcome and its first error. Omits ends that are the
    /// revisions which the command named, unless `all` is set.
    pub fn text(&self, all: bool) -> String {
        let shown = self
            .both()
            .into_iter()
            .filter(|(_, end)| all || end.asked != end.revision);
        shown
            .map(|(name, end)| {
                let instead = match end.asked == end.revision {
                    true => String::new(),
                    false => format!(", the nearest usable revision to {}", short(&end.asked)),
                };
                let error = end
                    .error
                    .as_ref()
                    .map_or_else(String::new, |error| format!(": {error}"));
                let outcome = end.outcome.unwrap_or("no result yet");
                format!("{name}: {}{instead}: {outcome}{error}\n", short(&end.revision))
            })
            .collect()
    }
}

fn first_error(result: &RunEnd) -> Option<String> {
    let error = match result {
        RunEnd::NoImage => "CPython does not build".to_owned(),
        RunEnd::Run(Outcome::Passed, _) => return None,
        RunEnd::Run(outcome, tests) => match tests.as_ref().and_then(|tests| tests.failed.first()) {
            Some(failure) => format!("{}: {}", failure.test, failure.message),
            None => outcome.to_string(),
        },
    };
    Some(plain(&error))
}

/// Returns which end the older revision is, and which the newer one is.
pub fn roles(change: Change) -> (End, End) {
    match change {
        Change::Broke => (End::Good, End::Bad),
        Change::Fixed => (End::Bad, End::Good),
    }
}

pub fn no_difference(change: Change, old: &RunEnd, new: &RunEnd) -> NoDifference {
    match change {
        Change::Broke => NoDifference::of(old, new),
        Change::Fixed => NoDifference::of(new, old),
    }
}

/// Returns the subjects to search for: the named tests, or everything that differs between the two ends.
pub fn subjects(tests: &[String], change: Change, old: &RunEnd, new: &RunEnd) -> Vec<Subject> {
    if !tests.is_empty() {
        return tests.iter().cloned().map(Subject::Test).collect();
    }
    let rows = [old, new].map(|end| HistoryEntry::new(RevisionId::default(), end.clone()));
    let of_change = suspicions(&rows, &[], &[])
        .into_iter()
        .filter(|suspicion| suspicion.change == change);
    of_change.flat_map(|suspicion| suspicion.subjects).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::{Failure, Tests};

    #[test]
    fn ends_are_named_with_outcome_and_first_error() {
        let tests = Tests {
            failed: vec![Failure::of("t: a", "boom"), Failure::of("t: b", "bang")],
            ..Tests::default()
        };
        let failed = RunEnd::Run(Outcome::Failed { exit_code: 1 }, Some(tests));
        let passed = RunEnd::Run(Outcome::Passed, None);
        let old = EndView::new("0000000000ff", "1111111111ff", Some(&failed));
        let new = EndView::new("2222222222ff", "2222222222ff", Some(&passed));
        // a search for the fix: the good end is the newer one
        let ends = Ends::of(Change::Fixed, old, new);
        let bad = "bad: 1111111111, the nearest usable revision to 0000000000: failed: t: a: boom\n";
        assert_eq!(ends.text(false), bad);
        assert_eq!(ends.text(true), format!("good: 2222222222: passed\n{bad}"));
        assert_eq!(
            ends.json(),
            serde_json::json!([
                {"revision": "2222222222ff", "asked": "2222222222ff", "outcome": "passed", "error": null},
                {"revision": "1111111111ff", "asked": "0000000000ff", "outcome": "failed", "error": "t: a: boom"},
            ])
        );
        let none = EndView::new("a", "a", Some(&RunEnd::NoImage));
        assert_eq!(
            (none.outcome, none.error.as_deref()),
            (Some("no_image"), Some("CPython does not build"))
        );
        assert_eq!(EndView::new("a", "a", None).outcome, None);
    }

    #[test]
    fn an_end_without_a_failed_test_shows_the_last_error_of_its_log() {
        let error = |end: &RunEnd, log: &str| EndView::new("a", "a", Some(end)).with_log(end, log).error;
        let usage = RunEnd::Run(Outcome::Failed { exit_code: 4 }, None);
        let log = "[pybots] phase test\nERROR: usage: pytest [options]\npytest: error: no such option: -x9\n  inifile: None\n\n[pybots] outcome: error\n";
        assert_eq!(
            error(&usage, log).unwrap(),
            "failed (exit code 4): pytest: error: no such option: -x9"
        );
        assert_eq!(error(&usage, "one\ntwo\n").unwrap(), "failed (exit code 4): two");
        assert_eq!(error(&usage, "").unwrap(), "failed (exit code 4)");
        let tests = Tests {
            failed: vec![Failure::of("t: a", "boom")],
            ..Tests::default()
        };
        let failed = RunEnd::Run(Outcome::Failed { exit_code: 1 }, Some(tests));
        assert_eq!(error(&failed, log).unwrap(), "t: a: boom");
        assert_eq!(error(&RunEnd::Run(Outcome::Passed, None), log), None);
    }
}
