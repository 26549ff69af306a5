//! `pybots logs RUN`: prints the log of an attempt.

mod print;
mod remote;

use crate::config::Settings;
use crate::domain::id::AttemptId;
use crate::domain::skew::corrected;
use crate::logfile::Stream;
use crate::logfile::file::LogPart;
use crate::store::Store;
use crate::store::attempts::{Attempt, newest};
use crate::store::logs::Objects;
use anyhow::{Result, bail};
use clap::Args;
use print::Printer;
use remote::LogRequest;
use std::process::ExitCode;
use std::time::Duration;

/// The time between two reads of a growing log, which the coordinator's process writes.
const READ_EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub struct Logs {
    /// Id of a run, an image or an attempt, as the pages and `pybots results --json` show it.
    #[arg(value_name = "RUN")]
    id: String,
    /// Number of the attempt, counted from 1 as on its page. The default is the newest attempt that counts for the
    /// result.
    #[arg(long, value_name = "N")]
    attempt: Option<usize>,
    /// Go on printing until the attempt has ended.
    #[arg(long, short)]
    follow: bool,
    /// Print one stream only: `stdout`, `stderr` or `control` (the lines that Pybots itself writes).
    #[arg(long, value_name = "NAME")]
    stream: Option<Stream>,
    /// Begin each line with the time of its first byte, and with its stream. The time is in UTC. If the host's clock
    /// was off by more than 5 s, it is corrected.
    #[arg(long, conflicts_with = "raw")]
    timestamps: bool,
    /// Print the bytes of the log unchanged. Do not use this on a terminal, which a log could control.
    #[arg(long)]
    raw: bool,
    /// Read the log from a coordinator on another machine instead of the data folder.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// Prints the log of a run from a coordinator on another machine, until the attempt has ended.
pub async fn follow(server: &str, run: &str) -> Result<()> {
    let mut printer = Printer::new(None, false, false);
    let request = LogRequest {
        id: run,
        attempt: None,
        stream: None,
        follow: true,
        raw: false,
    };
    remote::print(server, &request, &mut printer).await?;
    printer.end().await
}

impl Logs {
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let mut printer = Printer::new(self.stream, self.timestamps, self.raw);
        match &self.server {
            Some(server) => remote::print(server, &self.request(), &mut printer).await?,
            None => self.print(settings, &mut printer).await?,
        }
        printer.end().await?;
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> LogRequest<'_> {
        LogRequest {
            id: &self.id,
            attempt: self.attempt,
            stream: self.stream,
            follow: self.follow,
            raw: self.raw,
        }
    }

    async fn print(&self, settings: &Settings, printer: &mut Printer) -> Result<()> {
        let store = super::open::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let attempt = self.find(&store, settings).await?;
        let mut reader = None;
        loop {
            // the end is checked before the text is read, so that nothing written in between is missed
            let ended = !self.follow || has_ended(&store, &attempt.id).await?;
            if reader.is_none() {
                reader = objects.open_log(&attempt.id).await?;
            }
            while let Some(open) = reader.take() {
                let (open, part) = open.step().await?;
                match part {
                    Some(LogPart::Text(chunk)) => {
                        for (piece, text) in chunk.parts() {
                            let at = corrected(piece.at, attempt.clock_offset_ms);
                            printer.print(piece.stream, at, &text).await?;
                        }
                    }
                    Some(LogPart::Lost(lost)) => printer.lost(&lost.to_string()).await?,
                    None => {
                        reader = Some(open);
                        break;
                    }
                }
                reader = Some(open);
            }
            if ended && has_ended(&store, &attempt.id).await? {
                match &reader {
                    Some(reader) => {
                        if let Some(lost) = reader.lost_at_end()? {
                            printer.lost(&lost.to_string()).await?;
                        }
                    }
                    None => errln!("attempt {} has no log in {}", attempt.id, settings.data.display()),
                }
            }
            if ended || printer.is_closed() {
                return Ok(());
            }
            printer.flush().await?;
            tokio::time::sleep(READ_EVERY).await;
        }
    }

    /// Returns the attempt whose log to print.
    async fn find(&self, store: &Store, settings: &Settings) -> Result<Attempt> {
        if let Some(attempt) = store.attempt(&self.id.as_str().into()).await? {
            return Ok(attempt);
        }
        let attempts = store.attempts_of(&self.id).await?;
        let index = match self.attempt {
            None => newest(&attempts),
            Some(number) => number.checked_sub(1),
        };
        match index.and_then(|index| attempts.get(index)) {
            Some(attempt) => Ok(attempt.clone()),
            None => bail!(
                "there is no log of {:?} in {}; `pybots results --json` lists the runs",
                self.id,
                settings.data.display()
            ),
        }
    }
}

async fn has_ended(store: &Store, attempt: &AttemptId) -> Result<bool> {
    let attempt = store.attempt(attempt).await?;
    Ok(attempt.is_none_or(|attempt| attempt.finished_at.is_some()))
}
