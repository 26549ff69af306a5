//! `pybots cancel` and `pybots rerun`: requests about jobs.

use super::server::ServerOption;
use crate::config::Settings;
use crate::decisions::JobMove;
use crate::domain::refusal::Refusal;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub struct Jobs {
    /// Ids of runs or images, as the pages and `pybots results --json` show them.
    #[arg(required = true, value_name = "RUN")]
    ids: Vec<String>,
    #[command(flatten)]
    server: ServerOption,
}

impl Jobs {
    /// Makes a request about each job. The exit code is 1 if an id belongs to no job.
    pub async fn request(&self, settings: &Settings, request: JobMove) -> Result<ExitCode> {
        let client = self.server.client(settings, None).await?;
        let mut all_found = true;
        for id in &self.ids {
            match client.move_job(id, request).await {
                Ok(done) => outln!("{}", done.effect),
                Err(error) if matches!(Refusal::of(&error), Some(Refusal::NotFound(_))) => {
                    errln!("error: {error}; `pybots results --json` lists the runs");
                    all_found = false;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(if all_found {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
