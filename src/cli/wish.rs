//! `pybots cancel` and `pybots again`.

use crate::clock::now_ms;
use crate::config::Settings;
use crate::queue::{Queue, Wished};
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub struct Jobs {
    /// Ids of runs or images, as the pages and `pybots results --json` show them.
    #[arg(required = true, value_name = "RUN")]
    ids: Vec<String>,
}

impl Jobs {
    pub async fn cancel(&self, settings: &Settings) -> Result<ExitCode> {
        self.each(settings, false).await
    }

    pub async fn again(&self, settings: &Settings) -> Result<ExitCode> {
        self.each(settings, true).await
    }

    async fn each(&self, settings: &Settings, again: bool) -> Result<ExitCode> {
        let queue = Queue::new(crate::cli::store(settings).await?);
        let mut code = ExitCode::SUCCESS;
        for id in &self.ids {
            let wished = if again {
                queue.again(id, now_ms()).await?
            } else {
                queue.cancel(id, now_ms()).await?
            };
            let Some(wished) = wished else {
                eprintln!("error: there is no job of {id:?}; `pybots results --json` lists the runs");
                code = ExitCode::FAILURE;
                continue;
            };
            let said = match (wished, again) {
                (Wished::Done, false) => "is cancelled",
                (Wished::Told, false) => "is in work; its host ends it within seconds",
                (Wished::Needless, false) => "has ended already",
                (Wished::Done, true) => "is queued again",
                (Wished::Told, true) => "is in work; its host ends it within seconds, and it begins again",
                (Wished::Needless, true) => "is queued already",
            };
            outln!("{id} {said}");
        }
        Ok(code)
    }
}
