//! Writes a log to stdout.

use crate::cli::log_lines::LogLines;
use crate::cli::output;
use crate::logfile::Stream;
use anyhow::Result;
use std::io::IsTerminal;
use tokio::io::{AsyncWriteExt, Stdout};

/// Prints a log line by line, or as unchanged bytes.
pub struct Printer {
    out: Stdout,
    /// `None` if bytes are printed unchanged.
    lines: Option<LogLines>,
    only: Option<Stream>,
    /// Whether stdout is a terminal, where lines are shown before they end.
    watched: bool,
    closed: bool,
}

impl Printer {
    pub fn new(only: Option<Stream>, timestamps: bool, raw: bool) -> Self {
        let stdout = std::io::stdout();
        Self {
            out: tokio::io::stdout(),
            lines: (!raw).then(|| LogLines::new(only, timestamps, output::has_colours(&stdout))),
            only,
            watched: stdout.is_terminal(),
            closed: false,
        }
    }

    /// Returns whether the reader of stdout is gone. This is not an error: a user may close a pager.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub async fn print(&mut self, stream: Stream, at: i64, text: &[u8]) -> Result<()> {
        match &mut self.lines {
            Some(lines) => {
                let lines = lines.take(stream, at, text);
                self.write(&lines).await
            }
            None if self.only.is_some_and(|only| only != stream) => Ok(()),
            None => self.write(text).await,
        }
    }

    /// Reports lost bytes: between the lines, or on stderr if stdout gets unchanged bytes.
    pub async fn lost(&mut self, lost: &str) -> Result<()> {
        match &mut self.lines {
            Some(lines) => {
                let lines = lines.lost(lost);
                self.write(&lines).await
            }
            None => {
                errln!("{lost}");
                Ok(())
            }
        }
    }

    /// Writes the output so far.
    pub async fn flush(&mut self) -> Result<()> {
        if self.watched
            && let Some(lines) = &mut self.lines
        {
            let begun = lines.preview();
            self.write(&begun).await?;
        }
        let flushed = self.out.flush().await;
        self.unless_closed(flushed)
    }

    /// Prints the lines that are still unfinished.
    pub async fn end(&mut self) -> Result<()> {
        if let Some(lines) = &mut self.lines {
            let rest = lines.end();
            self.write(&rest).await?;
        }
        let flushed = self.out.flush().await;
        self.unless_closed(flushed)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.out.write_all(bytes).await;
        self.unless_closed(written)
    }

    fn unless_closed(&mut self, result: std::io::Result<()>) -> Result<()> {
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => Ok(other?),
        }
    }
}
