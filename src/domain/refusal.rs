//! Why a request of a person is refused. Services return it as the error, commands print it, and the server turns it into a status.

use serde::{Deserialize, Serialize};

/// Each variant is one reaction: who reads it must do something else next. Its message says what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was sent can't be used.
    #[error("{0}")]
    Invalid(String),
    /// A recipe has problems, each with its place.
    #[error("the recipe can't be registered: {}", listed(.0))]
    Problems(Vec<Located>),
    /// The person has to log in first.
    #[error("{0}")]
    NotLoggedIn(String),
    /// The account or the token has not the right.
    #[error("{0}")]
    NotAllowed(String),
    /// There is nothing with this name.
    #[error("{0}")]
    NotFound(String),
    /// It does not fit to the present state.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else changed it since the person read it.
    #[error("{0}")]
    Stale(String),
}

impl Refusal {
    /// The refusal that an error is about, if it is one.
    pub fn of(error: &anyhow::Error) -> Option<&Self> {
        error.downcast_ref()
    }
}

/// One problem of a text, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

fn listed(problems: &[Located]) -> String {
    let one = |problem: &Located| {
        let help = problem
            .help
            .as_deref()
            .map(|help| format!("; {help}"))
            .unwrap_or_default();
        format!("\n{}:{}: {}{help}", problem.line, problem.column, problem.message)
    };
    problems.iter().map(one).collect()
}
