//! `pybots logs RUN`.

use crate::config::Settings;
use crate::store::logs::Objects;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;
use tokio::io::AsyncWriteExt;

/// Bytes read at a time.
const STEP: u64 = 1 << 20;

#[derive(Args)]
pub struct Logs {
    /// Id of a run, an image or an attempt, as the pages and `pybots results --json` show it.
    #[arg(value_name = "RUN")]
    id: String,
    /// Which attempt; the last one where absent.
    #[arg(long, value_name = "N")]
    attempt: Option<i64>,
}

impl Logs {
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let attempt = match store.attempt(&self.id).await? {
            Some(attempt) => attempt.id,
            None => {
                let attempts = store.attempts_of(&self.id).await?;
                let wanted =
                    |attempt: &&crate::store::attempts::Attempt| self.attempt.is_none_or(|n| n == attempt.number);
                match attempts.iter().rev().find(wanted) {
                    Some(attempt) => attempt.id.clone(),
                    None => bail!(
                        "there is no log of {:?} in {}; `pybots results --json` lists the runs",
                        self.id,
                        settings.data.display()
                    ),
                }
            }
        };
        let mut out = tokio::io::stdout();
        let mut from = 0;
        loop {
            let window = objects.read_log(&attempt, from, STEP).await?;
            if window.bytes.is_empty() {
                break;
            }
            from = window.from + window.bytes.len() as u64;
            if let Err(error) = out.write_all(&window.bytes).await {
                // a pager that was closed is no failure
                if error.kind() == std::io::ErrorKind::BrokenPipe {
                    break;
                }
                return Err(error.into());
            }
        }
        let _ = out.flush().await;
        Ok(ExitCode::SUCCESS)
    }
}
