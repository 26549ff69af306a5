//! `pybots compare A B`: two check-ins side by side, as Markdown or JSON.

use crate::compare;
use crate::config::Settings;
use crate::store::logs::Objects;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub struct Compare {
    /// A branch (its newest check-in with results) or a check-in; `NAME:VARIANT` for another variant than the default.
    #[arg(value_name = "BASE[:VARIANT]")]
    base: String,
    /// What is compared with it.
    #[arg(value_name = "NOW[:VARIANT]")]
    now: String,
    /// For programs.
    #[arg(long)]
    json: bool,
}

impl Compare {
    /// Exit code 0: nothing fails newly; 1: something does.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let compared = match compare::of(&store, &objects, &self.base, &self.now).await? {
            Ok(compared) => compared,
            Err(reason) => bail!(reason),
        };
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&compared)?);
        } else {
            out!("{}", compared.markdown());
        }
        Ok(compared.exit_code())
    }
}
