//! The diagnoses of the doctor.

use serde::Serialize;
use std::fmt;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// The checked part works, but could work better.
    Warn,
    /// The checked part does not work until this is fixed.
    Fail,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Fail => "fail",
        })
    }
}

/// The result of one check, with a remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub check: &'static str,
    pub state: Severity,
    pub says: String,
    /// The action that fixes the problem, if there is one.
    pub remedy: Option<String>,
}

impl Diagnosis {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            state: Severity::Ok,
            says: says.into(),
            remedy: None,
        }
    }

    pub(super) fn warn(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            state: Severity::Warn,
            says: says.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub fn fail(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            state: Severity::Fail,
            says: says.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// The server and the token of an enrolment. Either may be missing on a host that is not enrolled yet.
#[derive(Clone, Debug, Default)]
pub struct Enrolment {
    pub server: Option<String>,
    pub token: Option<String>,
}
