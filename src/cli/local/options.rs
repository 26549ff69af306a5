//! The options of commands that build and run on this machine.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::day::Day;
use crate::domain::outcome::Outcome;
use clap::Args;
use std::str::FromStr;

/// The options shared by all commands that build and run on this machine.
#[derive(Args)]
pub struct RunOptions {
    /// The variant of CPython to build.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    pub variant: String,
    /// Take dependencies from the package index as it was on a day. `auto` takes today's; if the project installs at
    /// neither end with them, it takes those of the newer end's day.
    #[arg(long, default_value = "auto", value_name = "YYYY-MM-DD|auto")]
    pub as_of: AsOf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Show the logs of builds and runs.
    #[arg(long, short)]
    pub verbose: bool,
}

/// The value of `--as-of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Today's dependencies. If the project does not install with them, the dependencies of the newer revision's day.
    Auto,
    Day(Day),
}

impl AsOf {
    /// Returns the day for the first runs. `None` means today.
    pub fn first(self) -> Option<Day> {
        match self {
            AsOf::Auto => None,
            AsOf::Day(day) => Some(day),
        }
    }
}

impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(AsOf::Auto),
            day => day
                .parse()
                .map(AsOf::Day)
                .map_err(|problem| format!("{problem}, or `auto`")),
        }
    }
}

/// Returns whether an outcome means that the project was not installed, which may be due to its dependencies.
pub fn is_not_installed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::SetupFailed { .. } | Outcome::RecipeError { .. })
}
