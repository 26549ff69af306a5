//! `pybots compare A B`: compares two revisions, as Markdown or JSON.

use crate::compare;
use crate::config::Settings;
use crate::store::logs::Objects;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub struct Compare {
    /// A revision, or a branch (its newest revision with results). `NAME:VARIANT` takes another variant than `default`.
    #[arg(value_name = "BASE[:VARIANT]")]
    base: String,
    /// The revision or branch to compare with the base.
    #[arg(value_name = "NOW[:VARIANT]")]
    now: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Compare {
    /// Runs the command. The exit code is 1 if a project is newly failing.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let compared = match compare::of(&store, &objects, &self.base, &self.now).await? {
            Ok(compared) => compared,
            Err(reason) => bail!(reason),
        };
        if self.json {
            crate::cli::output::json(&compared)?;
        } else {
            out!("{}", compared.markdown());
        }
        Ok(compared.exit_code())
    }
}
