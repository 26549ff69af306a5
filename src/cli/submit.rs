//! `pybots submit FILE`: submits a recipe to a coordinator, and shows its trial.

use super::logs::follow;
use super::server::ServerOption;
use super::waiting::WAIT;
use crate::api::v1::types::VersionView;
use crate::client::Client;
use crate::domain::limits::Seconds;
use crate::domain::recipe_version::VersionState;
use crate::recipe::{MORE_PROBLEMS, check};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The time between two calls that check the state of a version.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct Submit {
    /// The recipe file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    server: ServerOption,
    /// Number of the version that you have edited; 0 for a new project. The submission is refused if there is a newer
    /// version.
    #[arg(long, value_name = "NUMBER")]
    base: Option<i64>,
    /// Do not wait for the trial.
    #[arg(long)]
    no_wait: bool,
    /// Wait no longer than this for the trial. The trial goes on after that.
    #[arg(long, value_name = "TIME", default_value = WAIT, conflicts_with = "no_wait")]
    wait: Seconds,
}

impl Submit {
    /// Submits the recipe, and prints the log of its trial as it grows. The exit code is 1 if the recipe has problems,
    /// in which case nothing is submitted, or if its trial does not pass. A refusal by the coordinator is an error.
    pub async fn run(&self) -> Result<ExitCode> {
        let shown = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).with_context(|| format!("{shown} can't be read"))?;
        let checked = check(&shown, &text);
        if checked.recipe.is_none() {
            let colour = super::output::has_colours(&std::io::stderr());
            for problem in &checked.problems {
                errln!("{}", problem.draw(colour));
            }
            if checked.has_more {
                errln!("{}", MORE_PROBLEMS.trim_end());
            }
            errln!("nothing was submitted");
            return Ok(ExitCode::FAILURE);
        }
        let (server, client) = self.server.remote()?;
        let version = client.submit(&text, self.base).await?;
        let VersionView { project, number, .. } = &version;
        outln!("{project}: version {number} is submitted");
        outln!("{}/recipe/{project}/{number}", server.trim_end_matches('/'));
        if self.no_wait {
            return Ok(ExitCode::SUCCESS);
        }
        let tried = wait(&server, &client, version, self.wait).await?;
        outln!(
            "{}: version {} is {}; its trial: {}",
            tried.project,
            tried.number,
            tried.state,
            tried.trial
        );
        Ok(match tried.has_passed() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// Waits until the trial of a version has ended. Fails after `limit`.
async fn wait(server: &str, client: &Client, version: VersionView, limit: Seconds) -> Result<VersionView> {
    let tried = tried(server, client, version);
    match tokio::time::timeout(Duration::from_secs(limit.0), tried).await {
        Ok(tried) => tried,
        Err(_) => {
            bail!(
                "waited {limit}, and the trial has not ended; it goes on, and the page of the version shows its result"
            )
        }
    }
}

/// Waits until the trial of a version has ended.
async fn tried(server: &str, client: &Client, version: VersionView) -> Result<VersionView> {
    let (project, number) = (version.project.clone(), version.number);
    let mut now = version;
    if now.state == VersionState::Trial {
        errln!("waiting for its trial; you can stop this command, for the trial goes on");
    }
    let (mut has_log, mut reason) = (false, String::new());
    while now.state == VersionState::Trial {
        if let Some(run) = now.trial_run.as_deref().filter(|_| !has_log) {
            // an error is ignored: a host may not have begun yet, and the trial does not need the log
            has_log = follow(server, run).await.is_ok();
        }
        tokio::time::sleep(LOOK).await;
        now = client.version(&project, number).await?;
        // the number of queued jobs after the semicolon changes all the time
        let why = now.trial.split(';').next().unwrap_or_default();
        if now.state == VersionState::Trial && !why.is_empty() && why != reason {
            errln!("{}", now.trial);
            reason = why.to_owned();
        }
    }
    Ok(now)
}
