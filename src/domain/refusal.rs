//! Refusals of a person's request. Services return a refusal as the error, commands print it, and the server turns it
//! into a status.

use serde::{Deserialize, Serialize};

/// Why a request of a person is refused. Each variant calls for a reaction of its own, and its message names that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request has content that can't be used.
    #[error("{0}")]
    Invalid(String),
    /// A recipe has problems, each with its place.
    #[error("the recipe can't be registered: {}", listed(.0))]
    Problems(Vec<Located>),
    /// The person has to log in first.
    #[error("{0}")]
    NotLoggedIn(String),
    /// The account or the token lacks the permission.
    #[error("{0}")]
    NotAllowed(String),
    /// There is nothing with this name.
    #[error("{0}")]
    NotFound(String),
    /// The request does not fit the present state.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else changed the object since the person read it.
    #[error("{0}")]
    Stale(String),
}

impl Refusal {
    /// Returns the refusal that an error is about, or `None` if it is about something else.
    pub fn of(error: &anyhow::Error) -> Option<&Self> {
        error.downcast_ref()
    }
}

/// One problem of a text, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
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
