//! `pybots logs RUN`.

mod print;
mod remote;

use crate::config::Settings;
use crate::logfile::Stream;
use crate::store::Store;
use crate::store::attempts::newest;
use crate::store::logs::Objects;
use anyhow::{Result, bail};
use clap::Args;
use print::Printer;
use std::process::ExitCode;
use std::time::Duration;

/// Time between looks at a log that grows; a coordinator in another process writes it.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Args)]
pub struct Logs {
    /// Id of a run, an image or an attempt, as the pages and `pybots results --json` show it.
    #[arg(value_name = "RUN")]
    id: String,
    /// Which attempt, counted from 1 as on its page; where absent the last one that is not there to be compared with others.
    #[arg(long, value_name = "N")]
    attempt: Option<usize>,
    /// Goes on until the attempt has ended.
    #[arg(long, short)]
    follow: bool,
    /// Of one stream alone: `stdout`, `stderr`, or `control` for what Pybots says itself.
    #[arg(long, value_name = "NAME")]
    stream: Option<Stream>,
    /// Begins each line with the time at which it was written, and its stream.
    #[arg(long)]
    timestamps: bool,
    /// Asks a coordinator elsewhere instead of the data folder.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

impl Logs {
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let mut printer = Printer::new(self.stream, self.timestamps);
        match &self.server {
            Some(server) => remote::print(server, self, &mut printer).await?,
            None => self.print(settings, &mut printer).await?,
        }
        printer.end().await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn print(&self, settings: &Settings, printer: &mut Printer) -> Result<()> {
        let store = super::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let attempt = self.find(&store, settings).await?;
        let mut reader = None;
        loop {
            // first the end, then the text: what was written in between is not missed
            let ended = !self.follow || has_ended(&store, &attempt).await?;
            if reader.is_none() {
                reader = objects.open_log(&attempt).await?;
            }
            while let Some(open) = reader.take() {
                let (open, chunk) = open.step().await?;
                reader = Some(open);
                let Some(chunk) = chunk else { break };
                for (piece, text) in chunk.parts() {
                    printer.print(piece.stream, piece.at, &text).await?;
                }
            }
            printer.flush().await?;
            if ended || printer.is_closed() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn find(&self, store: &Store, settings: &Settings) -> Result<String> {
        if let Some(attempt) = store.attempt(&self.id).await? {
            return Ok(attempt.id);
        }
        let attempts = store.attempts_of(&self.id).await?;
        let place = match self.attempt {
            None => newest(&attempts),
            Some(number) => number.checked_sub(1),
        };
        match place.and_then(|place| attempts.get(place)) {
            Some(attempt) => Ok(attempt.id.clone()),
            None => bail!(
                "there is no log of {:?} in {}; `pybots results --json` lists the runs",
                self.id,
                settings.data.display()
            ),
        }
    }
}

async fn has_ended(store: &Store, attempt: &str) -> Result<bool> {
    let attempt = store.attempt(attempt).await?;
    Ok(attempt.is_none_or(|attempt| attempt.finished_at.is_some()))
}
