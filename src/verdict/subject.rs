//! The subjects that pass or fail at a revision.

use super::logs::signature;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::results::{Failure, TestState, Tests};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A part of a result that passes or fails, such as a test or a suite. Each subject gets an answer of its own, because
/// two tests of a project may break independently.
///
/// The database stores subjects as JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", content = "test", rename_all = "snake_case")]
pub enum Subject {
    /// CPython builds.
    Build,
    /// CPython imports this module of its own.
    Import(String),
    /// The project and its dependencies install.
    Setup,
    /// Each suite runs to its end and reports which tests failed. A suite that crashes or hangs does not. Neither does
    /// one that fails without a report of its tests.
    Suite,
    Test(String),
    /// The whole run passes. This is the subject when the failing tests have no earlier results: for example, a module
    /// that no longer imports fails under a name of its own.
    Run,
    /// The suites run at least this many tests: more than half as many as before. A test that is skipped does not run.
    TestCount(usize),
    /// No test reports an error with this signature. This is the subject when the same error shows in another test from
    /// revision to revision. A leak does so, because the warning about it shows in whichever test runs then.
    Error(String),
}

impl Subject {
    /// Returns the name of the test, or `None` if the subject is not a test.
    pub fn test(&self) -> Option<&str> {
        match self {
            Subject::Test(test) => Some(test),
            _ => None,
        }
    }
}

impl Subject {
    /// Returns whether an answer about this subject is also one about the other. The number of tests is one subject,
    /// whatever number is enough.
    pub fn is_same(&self, other: &Subject) -> bool {
        self == other || matches!((self, other), (Subject::TestCount(_), Subject::TestCount(_)))
    }

    /// Returns the value of this subject, or of a subject that [is the same](Self::is_same).
    pub fn find_in<'a, T>(&self, values: &'a BTreeMap<Subject, T>) -> Option<&'a T> {
        match self {
            Subject::TestCount(_) => {
                let mut counts = values.range(Subject::TestCount(0)..=Subject::TestCount(usize::MAX));
                counts.next().map(|(_, value)| value)
            }
            subject => values.get(subject),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Build => f.write_str("the build of CPython"),
            Subject::Import(module) => write!(f, "the import of {module}"),
            Subject::Setup => f.write_str("the installation"),
            Subject::Suite => f.write_str("the suite"),
            Subject::Test(test) => write!(f, "test {test}"),
            Subject::Run => f.write_str("the run"),
            Subject::TestCount(least) => write!(f, "the number of tests (at least {least})"),
            Subject::Error(signature) => write!(f, "the error \"{signature}\", in one test or another"),
        }
    }
}

/// The result of one run for a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observation {
    Pass,
    Fail,
    /// The subject neither passes nor fails, and a rerun would not change that.
    Untestable(Untestable),
}

/// Why a subject can't be tested at a revision, ordered from the farthest from a result to the closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untestable {
    NoImage,
    NotInstalled,
    /// The suite ended before it reached the test, skipped it, or has no such test. Or the whole run was skipped, or
    /// its recipe is wrong.
    NotRun,
}

impl fmt::Display for Untestable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Untestable::NoImage => "CPython does not build there",
            Untestable::NotInstalled => "the project does not install there",
            Untestable::NotRun => "the test does not run there",
        })
    }
}

/// Returns what an attempt shows about a subject. Returns `None` if the machinery failed or the attempt was cancelled,
/// because another attempt can show it then. A skipped attempt or an error of the recipe makes every subject
/// untestable.
pub fn observe(subject: &Subject, outcome: &Outcome, tests: Option<&Tests>) -> Option<Observation> {
    let setup_failed = matches!(outcome, Outcome::SetupFailed { .. });
    match outcome.blame() {
        Blame::Operator => return None,
        Blame::RecipeOwner => return Some(Observation::Untestable(Untestable::NotRun)),
        Blame::Nobody if *outcome == Outcome::Cancelled => return None,
        Blame::Nobody if *outcome != Outcome::Passed => return Some(Observation::Untestable(Untestable::NotRun)),
        Blame::Nobody | Blame::Code => {}
    }
    let breaks_off = tests.is_some_and(|tests| tests.incomplete);
    let names_failures = tests.is_some_and(|tests| !tests.failed.is_empty());
    Some(match subject {
        Subject::Build | Subject::Import(_) => Observation::Pass,
        Subject::Setup if setup_failed => Observation::Fail,
        Subject::Setup => Observation::Pass,
        _ if setup_failed => Observation::Untestable(Untestable::NotInstalled),
        Subject::Suite | Subject::Run if *outcome == Outcome::Passed => Observation::Pass,
        Subject::Run => Observation::Fail,
        Subject::Suite if matches!(outcome, Outcome::Failed { .. }) && names_failures && !breaks_off => {
            Observation::Pass
        }
        Subject::Suite => Observation::Fail,
        Subject::Test(test) => match tests.and_then(|tests| tests.state(test)) {
            Some(TestState::Passed) => Observation::Pass,
            Some(TestState::Failed) => Observation::Fail,
            Some(TestState::Skipped) | None => Observation::Untestable(Untestable::NotRun),
        },
        Subject::TestCount(least) => match count_run(outcome, tests) {
            Some(count) if count >= *least => Observation::Pass,
            Some(_) => Observation::Fail,
            None => Observation::Untestable(Untestable::NotRun),
        },
        Subject::Error(error) => match tests {
            Some(tests) if tests.failed.iter().any(|failure| reports(failure, error)) => Observation::Fail,
            _ if count_run(outcome, tests).is_some_and(|count| count > 0) => Observation::Pass,
            _ => Observation::Untestable(Untestable::NotRun),
        },
    })
}

/// Returns whether a failure reports an error with this signature.
pub fn reports(failure: &Failure, error: &str) -> bool {
    // a run may have thousands of failures, and a signature takes many patterns, which leave the beginning of a name as
    // it is
    let kind = |text: &str| text.split(|c: char| !c.is_ascii_alphabetic()).next().map(str::len);
    let is_kind = |length: usize| failure.message.trim_start().get(..length) == error.get(..length);
    kind(error).is_some_and(is_kind) && signature(&failure.message).is_some_and(|signature| signature == error)
}

/// Returns how many tests a run had, or `None` if the run does not show it: a suite broke off, its results were cut, or
/// it failed without a report. A run that passes without a report had none.
pub fn count_run(outcome: &Outcome, tests: Option<&Tests>) -> Option<usize> {
    match (outcome, tests) {
        (_, Some(tests)) if tests.incomplete || tests.cut => None,
        (Outcome::Passed | Outcome::Failed { .. }, Some(tests)) => Some(tests.count_run()),
        (Outcome::Passed, None) => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_and_report_decide_what_a_subject_shows() {
        let setup = Outcome::SetupFailed {
            reason: "x".into(),
            exit_code: Some(1),
        };
        let infra = Outcome::Infra { reason: "x".into() };
        let recipe = Outcome::RecipeError { reason: "x".into() };
        let skipped = Outcome::Skipped { reason: "x".into() };
        let failed = Outcome::Failed { exit_code: 1 };
        let crashed = Outcome::Crashed { signal: 11 };
        let tests = Tests {
            passed: vec!["a".into()],
            failed: vec![Failure::of("b", "boom")],
            skipped: vec!["s".into()],
            ..Tests::default()
        };
        let test = |name: &str| Subject::Test(name.into());
        let untestable = |reason| Some(Observation::Untestable(reason));
        let (pass, fail) = (Some(Observation::Pass), Some(Observation::Fail));
        let not_run = untestable(Untestable::NotRun);
        let table = [
            (Subject::Build, &setup, pass),
            (Subject::Setup, &setup, fail),
            (Subject::Setup, &crashed, pass),
            (Subject::Suite, &setup, untestable(Untestable::NotInstalled)),
            (test("a"), &setup, untestable(Untestable::NotInstalled)),
            (Subject::Run, &setup, untestable(Untestable::NotInstalled)),
            (Subject::Run, &failed, fail),
            (Subject::Run, &Outcome::Passed, pass),
            (Subject::Run, &infra, None),
            (Subject::Suite, &Outcome::Passed, pass),
            (Subject::Suite, &Outcome::OutOfMemory, fail),
            (Subject::Suite, &crashed, fail),
            (Subject::Suite, &failed, pass),
            (test("a"), &failed, pass),
            (test("b"), &failed, fail),
            (test("s"), &failed, not_run),
            (test("unknown"), &failed, not_run),
            (Subject::Suite, &infra, None),
            (Subject::Setup, &infra, None),
            (test("a"), &infra, None),
            (test("a"), &Outcome::Cancelled, None),
            (Subject::Suite, &recipe, not_run),
            (Subject::Suite, &skipped, not_run),
            (Subject::TestCount(2), &failed, pass),
            (Subject::TestCount(3), &failed, fail),
            (Subject::TestCount(3), &crashed, not_run),
            (Subject::Error("boom".into()), &failed, fail),
            (Subject::Error("bang".into()), &failed, pass),
            (Subject::Error("bang".into()), &crashed, not_run),
        ];
        for (subject, outcome, expected) in table {
            assert_eq!(
                observe(&subject, outcome, Some(&tests)),
                expected,
                "{subject} {outcome}"
            );
        }
        assert_eq!(observe(&test("a"), &Outcome::Passed, None), not_run);
        assert_eq!(observe(&Subject::Suite, &failed, None), fail);
    }
}
