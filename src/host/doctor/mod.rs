//! `pybots host doctor`: looks whether a machine can work, and says what to mend. It changes nothing.

mod coordinator;
mod engine;
mod index;
mod machine;

pub use coordinator::Answer;

use crate::config::Settings;
use serde::Serialize;
use std::fmt;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// It works, though not as it might.
    Warn,
    /// It does not work before this is mended.
    Fail,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub state: State,
    pub says: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            says: says.into(),
            remedy: None,
        }
    }

    fn warn(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Warn,
            says: says.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub fn fail(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Fail,
            says: says.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// What was handed over at enrolment, as far as it was.
#[derive(Clone, Debug, Default)]
pub struct Enrolment {
    pub server: Option<String>,
    pub token: Option<String>,
}

/// All checks, in the order in which one depends on the other.
pub async fn examine(settings: &Settings, enrolment: &Enrolment) -> Vec<Finding> {
    let (mut findings, engine) = engine::examine(settings).await;
    findings.extend(machine::disk(settings, engine.as_ref().map(|engine| &engine.is)));
    findings.extend(machine::say(settings, engine.as_ref().map(|engine| &engine.is)));
    findings.extend(coordinator::examine(enrolment).await);
    if let Some(engine) = engine {
        findings.push(index::examine(settings, engine).await);
    }
    findings
}
