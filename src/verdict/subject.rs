//! What passes or fails at a check-in.

use crate::domain::outcome::{Blame, Outcome};
use crate::domain::results::{TestState, Tests};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a verdict is about. A project may have two breaks at a time, in different tests: each is looked into for
/// itself, on the same runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", content = "test", rename_all = "snake_case")]
pub enum Subject {
    /// That CPython can be built.
    Build,
    /// That the project and what it needs can be installed.
    Setup,
    /// That each suite comes to its end and says which tests failed: it does not where it crashes or hangs, or where
    /// nothing tells its tests apart.
    Suite,
    Test(String),
    /// That the run passes: where what fails has no name that was there before, as that of a module that can't be
    /// imported any more.
    Run,
}

impl Subject {
    /// Its name, if it is a test.
    pub fn test(&self) -> Option<&str> {
        match self {
            Subject::Test(test) => Some(test),
            Subject::Build | Subject::Setup | Subject::Suite | Subject::Run => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Build => f.write_str("the build of CPython"),
            Subject::Setup => f.write_str("the installation"),
            Subject::Suite => f.write_str("the suite"),
            Subject::Test(test) => write!(f, "test {test}"),
            Subject::Run => f.write_str("the run"),
        }
    }
}

/// What one run says of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    Pass,
    Fail,
    /// It says nothing, and would say nothing if it was repeated.
    Missing(Missing),
}

/// Why there is nothing to see at a check-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    NoImage,
    NotInstalled,
    /// Its suite ended without having come to it, or it is skipped there, or there is no such test.
    NotRun,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missing::NoImage => "CPython can't be built there",
            Missing::NotInstalled => "the project can't be installed there",
            Missing::NotRun => "the test is not run there",
        })
    }
}

/// What the end of a run says of a subject. None: nothing, and it is to be repeated (the machinery failed, or it
/// was cancelled).
pub fn seen(subject: &Subject, outcome: &Outcome, tests: Option<&Tests>) -> Option<Seen> {
    let setup = matches!(outcome, Outcome::SetupFailed { .. });
    match outcome.blame() {
        Blame::Operator => return None,
        Blame::RecipeOwner => return Some(Seen::Missing(Missing::NotRun)),
        Blame::Nobody if *outcome == Outcome::Cancelled => return None,
        Blame::Nobody if *outcome != Outcome::Passed => return Some(Seen::Missing(Missing::NotRun)),
        Blame::Nobody | Blame::Code => {}
    }
    let told = tests.is_some_and(|tests| !tests.failed.is_empty());
    Some(match subject {
        Subject::Build => Seen::Pass,
        Subject::Setup if setup => Seen::Fail,
        Subject::Setup => Seen::Pass,
        _ if setup => Seen::Missing(Missing::NotInstalled),
        Subject::Suite | Subject::Run if *outcome == Outcome::Passed => Seen::Pass,
        Subject::Run => Seen::Fail,
        Subject::Suite if matches!(outcome, Outcome::Failed { .. }) && told => Seen::Pass,
        Subject::Suite => Seen::Fail,
        Subject::Test(test) => match tests.and_then(|tests| tests.state(test)) {
            Some(TestState::Passed) => Seen::Pass,
            Some(TestState::Failed) => Seen::Fail,
            Some(TestState::Skipped) | None => Seen::Missing(Missing::NotRun),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::Failure;

    #[test]
    fn each_end_says_what_it_can() {
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
        let missing = |why| Some(Seen::Missing(why));
        let (pass, fail) = (Some(Seen::Pass), Some(Seen::Fail));
        let not_run = missing(Missing::NotRun);
        let table = [
            (Subject::Build, &setup, pass),
            (Subject::Setup, &setup, fail),
            (Subject::Setup, &crashed, pass),
            (Subject::Suite, &setup, missing(Missing::NotInstalled)),
            (test("a"), &setup, missing(Missing::NotInstalled)),
            (Subject::Run, &setup, missing(Missing::NotInstalled)),
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
        ];
        for (subject, outcome, expected) in table {
            assert_eq!(seen(&subject, outcome, Some(&tests)), expected, "{subject} {outcome}");
        }
        assert_eq!(seen(&test("a"), &Outcome::Passed, None), not_run);
        assert_eq!(seen(&Subject::Suite, &failed, None), fail);
    }
}
