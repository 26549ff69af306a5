//! `pybots cancel` and `pybots rerun`: what a maintainer requests of jobs.

use crate::clock::now;
use crate::config::Settings;
use crate::queue::{Queue, Requested};
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
    /// Cancels each job. The exit code is 1 if one of the ids names no job.
    pub async fn cancel(&self, settings: &Settings) -> Result<ExitCode> {
        let queue = Queue::new(super::open::store(settings).await?);
        let mut all_found = true;
        for id in &self.ids {
            let requested = queue.cancel(id, now()).await?;
            all_found &= report(id, requested, |requested| match requested {
                Requested::Done => "is cancelled",
                Requested::Pending => "is in progress; its host ends it within seconds",
                Requested::Needless => "has ended already",
            });
        }
        Ok(exit_code(all_found))
    }

    /// Queues each job again. The exit code is 1 if one of the ids names no job.
    pub async fn rerun(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        let queue = Queue::new(store.clone());
        let mut all_found = true;
        for id in &self.ids {
            let requested = queue.rerun(id, now()).await?;
            all_found &= report(id, requested, |requested| match requested {
                Requested::Done => "is queued again",
                Requested::Pending => "is in progress; its host ends it within seconds, then it is queued again",
                Requested::Needless => "is queued already",
            });
            if let Some(waiting) = store.waiting_of(id).await? {
                outln!("  it waits: {}", waiting.reason(now()));
            }
        }
        Ok(exit_code(all_found))
    }
}

/// Prints what a request led to, and returns whether there is such a job.
fn report(id: &str, requested: Option<Requested>, describe: impl Fn(Requested) -> &'static str) -> bool {
    match requested {
        Some(requested) => outln!("{id} {}", describe(requested)),
        None => errln!("error: there is no job {id:?}; `pybots results --json` lists the runs"),
    }
    requested.is_some()
}

fn exit_code(all_found: bool) -> ExitCode {
    if all_found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
