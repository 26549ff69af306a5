//! How an attempt ended, and who has to act on it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The immutable end of one attempt. A retry adds another attempt and never changes this one. There is one exception:
/// if a host was given up as lost and reports later, its report replaces that outcome (`Queue::finish`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    /// A test command ended with a non-zero exit code, or with 0 before its report was complete.
    Failed {
        exit_code: i64,
    },
    /// A signal that the test command caused itself (`SIGSEGV`, `SIGABRT`, ...) ended it.
    Crashed {
        signal: i64,
    },
    TimedOut {
        which: Timeout,
    },
    OutOfMemory,
    /// CPython, the project or its dependencies do not build or install. This is evidence about CPython.
    SetupFailed {
        reason: String,
        exit_code: Option<i64>,
    },
    /// The recipe asks for something that does not exist.
    RecipeError {
        reason: String,
    },
    /// The machinery failed. This is no evidence about the project, and the job is tried again.
    Infra {
        reason: String,
    },
    Cancelled,
    Skipped {
        reason: String,
    },
}

/// The time limit that a phase exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeout {
    /// The phase took longer than its limit.
    Total,
    /// The phase went too long without output, CPU time or I/O.
    Silence,
}

/// The people who have to act on an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    Nobody,
    /// CPython or the project. Verdicts judge only these outcomes.
    Code,
    RecipeOwner,
    Operator,
}

impl Outcome {
    /// The outcome of a suite that exits with 0 although its report says that it broke off.
    pub const NO_COMPLETE_REPORT: Outcome = Outcome::Failed { exit_code: 0 };

    /// Returns the name in the database and in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed { .. } => "failed",
            Outcome::Crashed { .. } => "crashed",
            Outcome::TimedOut { .. } => "timed_out",
            Outcome::OutOfMemory => "out_of_memory",
            Outcome::SetupFailed { .. } => "setup_failed",
            Outcome::RecipeError { .. } => "recipe_error",
            Outcome::Infra { .. } => "infra",
            Outcome::Cancelled => "cancelled",
            Outcome::Skipped { .. } => "skipped",
        }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Outcome::Passed | Outcome::Cancelled | Outcome::Skipped { .. } => Blame::Nobody,
            Outcome::Failed { .. }
            | Outcome::Crashed { .. }
            | Outcome::TimedOut { .. }
            | Outcome::OutOfMemory
            | Outcome::SetupFailed { .. } => Blame::Code,
            Outcome::RecipeError { .. } => Blame::RecipeOwner,
            Outcome::Infra { .. } => Blame::Operator,
        }
    }

    /// Returns whether code caused the outcome, so that it counts as evidence.
    pub fn is_valid(&self) -> bool {
        *self == Outcome::Passed || self.blame() == Blame::Code
    }

    /// Returns whether the outcome blames or clears the code or the recipe. Otherwise another attempt has to do so.
    pub fn is_result(&self) -> bool {
        self.is_valid() || self.blame() == Blame::RecipeOwner
    }

    /// Returns the exit code to show, in the shell's convention (128 + signal). Returns `None` if no command ended.
    pub fn exit_code(&self) -> Option<i64> {
        match self {
            Outcome::Passed => Some(0),
            Outcome::Failed { exit_code } => Some(*exit_code),
            Outcome::Crashed { signal } => Some(signal.saturating_add(128)),
            Outcome::SetupFailed { exit_code, .. } => *exit_code,
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed => f.write_str("passed"),
            Outcome::Failed { exit_code: 0 } => f.write_str("failed: the suite ended before its report"),
            Outcome::Failed { exit_code } => write!(f, "failed (exit code {exit_code})"),
            Outcome::Crashed { signal } => write!(f, "crashed ({})", signal_name(*signal)),
            Outcome::TimedOut { which: Timeout::Total } => f.write_str("timed out (total)"),
            Outcome::TimedOut {
                which: Timeout::Silence,
            } => f.write_str("timed out (silence)"),
            Outcome::OutOfMemory => f.write_str("out of memory"),
            Outcome::SetupFailed { reason, .. } => write!(f, "setup failed: {reason}"),
            Outcome::RecipeError { reason } => write!(f, "recipe error: {reason}"),
            Outcome::Infra { reason } => write!(f, "infrastructure: {reason}"),
            Outcome::Cancelled => f.write_str("cancelled"),
            Outcome::Skipped { reason } => write!(f, "skipped: {reason}"),
        }
    }
}

/// Signals that end a broken process, by their Linux numbers (`signal(7)`).
const FATAL: &[(i64, &str)] = &[
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (31, "SIGSYS"),
];

pub fn signal_name(signal: i64) -> String {
    FATAL
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

/// Returns the outcome of a test command from the container's exit code. Engines and shells report a process that a
/// signal ended as 128 + signal. Other codes above 128 are the command's own.
pub fn of_test_exit(exit_code: i64) -> Outcome {
    match exit_code {
        0 => Outcome::Passed,
        code if FATAL.iter().any(|(signal, _)| code == 128 + signal) => Outcome::Crashed { signal: code - 128 },
        exit_code => Outcome::Failed { exit_code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_map_to_outcomes() {
        assert_eq!(of_test_exit(0), Outcome::Passed);
        assert_eq!(of_test_exit(1), Outcome::Failed { exit_code: 1 });
        assert_eq!(of_test_exit(139), Outcome::Crashed { signal: 11 });
        assert_eq!(of_test_exit(134).to_string(), "crashed (SIGABRT)");
        let broke_off = Outcome::NO_COMPLETE_REPORT;
        assert_eq!(broke_off.to_string(), "failed: the suite ended before its report");
        // 128 + 64 is no signal that ends a broken process
        assert_eq!(of_test_exit(192), Outcome::Failed { exit_code: 192 });
    }

    #[test]
    fn every_outcome_keeps_its_stored_name_both_ways() {
        let all = [
            Outcome::Passed,
            Outcome::Failed { exit_code: 2 },
            Outcome::Crashed { signal: 11 },
            Outcome::TimedOut {
                which: Timeout::Silence,
            },
            Outcome::OutOfMemory,
            Outcome::SetupFailed {
                reason: "r".into(),
                exit_code: Some(1),
            },
            Outcome::RecipeError { reason: "r".into() },
            Outcome::Infra { reason: "r".into() },
            Outcome::Cancelled,
            Outcome::Skipped { reason: "r".into() },
        ];
        for outcome in all {
            let json = serde_json::to_value(&outcome).unwrap();
            assert_eq!(json["outcome"], outcome.name());
            assert_eq!(serde_json::from_value::<Outcome>(json).unwrap(), outcome);
        }
    }

    #[test]
    fn the_machinery_never_blames_code() {
        let infra = Outcome::Infra {
            reason: "engine gone".into(),
        };
        assert_eq!(infra.blame(), Blame::Operator);
        assert_eq!(infra.exit_code(), None);
    }

    #[test]
    fn an_error_of_the_recipe_is_a_result_and_no_evidence() {
        let recipe = Outcome::RecipeError { reason: "r".into() };
        assert_eq!((recipe.is_result(), recipe.is_valid()), (true, false));
        for outcome in [
            Outcome::Cancelled,
            Outcome::Infra { reason: "r".into() },
            Outcome::Skipped { reason: "r".into() },
        ] {
            assert!(!outcome.is_result(), "{outcome}");
        }
    }
}
