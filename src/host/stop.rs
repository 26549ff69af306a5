//! The reasons for which a job stops before its end.

use crate::domain::outcome::Outcome;
use crate::runtime::RuntimeError;

/// Why a job did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The host or its engine failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("{0:#}")]
    Machinery(#[from] anyhow::Error),
    /// The outcome of the job is decided.
    #[error("{0}")]
    Ended(Outcome),
}

impl Stop {
    pub fn outcome(self) -> Outcome {
        match self {
            Stop::Ended(outcome) => outcome,
            other => Outcome::Infra {
                reason: other.to_string(),
            },
        }
    }

    /// Ends an image job: the image can't be built, or does not match its sources and its profile.
    pub fn image_failed(reason: String, exit_code: Option<i64>) -> Self {
        Stop::Ended(Outcome::SetupFailed { reason, exit_code })
    }
}
