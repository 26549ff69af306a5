//! `pybots reproduce INCIDENT`: reproduces a failure on a machine that has Docker.

use crate::config::{NetworkSettings, Settings};
use crate::reproduce::{self, Reproduction};
use crate::store::logs::Objects;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::process::Command;

#[derive(Args)]
pub struct Reproduce {
    /// Number of the incident.
    incident: i64,
    /// Print a script that builds the image first if the engine does not have it.
    #[arg(long)]
    script: bool,
    /// Run that script on this machine, with its network settings.
    #[arg(long, conflicts_with = "script")]
    run: bool,
}

impl Reproduce {
    /// With `--run`, the exit code is that of the suite.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let found = match reproduce::of(&store, &objects, self.incident).await? {
            Ok(found) => found,
            Err(reason) => bail!(reason),
        };
        if self.run {
            return run_script(&found, &settings.network).await;
        }
        match found.line().filter(|_| !self.script) {
            Some(line) => super::output::script(&format!("{line}\n")),
            None => super::output::script(&found.script()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The script takes CA bundle, index and proxies from its environment.
async fn run_script(reproduction: &Reproduction, network: &NetworkSettings) -> Result<ExitCode> {
    let ca = Some(&network.ca).filter(|ca| !ca.as_os_str().is_empty());
    let find = |ca: &PathBuf| {
        let found = std::fs::canonicalize(ca);
        found.with_context(|| format!("failed to find the CA bundle {}", ca.display()))
    };
    let ca = ca.map(find).transpose()?.map(|ca| ca.display().to_string());
    // a file, since the script may be too long for an argument
    let script = tempfile::NamedTempFile::new().context("failed to make a file for the script")?;
    std::fs::write(script.path(), reproduction.script()).context("failed to write the script")?;
    let mut shell = Command::new("sh");
    shell.envs(network.environment(ca.as_deref()));
    shell.arg(script.path()).stdin(std::process::Stdio::null());
    let status = shell.status().await.context("failed to start a shell")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(u8::MAX)))
}
