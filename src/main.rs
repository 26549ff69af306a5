//! The `pybots` program.

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    pybots::cli::run(pybots::cli::Arguments::parse()).await
}
