//! Builds and runs on this machine without a coordinator: `pybots try`, `pybots bisect`, `pybots try-patch`.

mod recipes;
mod runner;
mod runs;
mod supply;
mod terminal;

pub use recipes::{project, recipe};
pub use runner::LocalRunner;
pub use runs::{Runs, short};

use crate::domain::DEFAULT_VARIANT;
use clap::Args;

/// The options shared by all commands that build and run on this machine.
#[derive(Args)]
pub struct RunOptions {
    /// The variant of CPython to build.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    pub variant: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Show the logs of builds and runs.
    #[arg(long, short)]
    pub verbose: bool,
}
