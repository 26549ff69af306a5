//! Shows the log of a job on the terminal, and keeps its tail.

use crate::cli::progress::Progress;
use crate::host::log::{MARK, Sink};
use crate::logfile::Chunk;
use anyhow::Result;
use async_trait::async_trait;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Writes a log to stderr as it grows, above a bar that shows the phases.
pub struct Terminal {
    title: String,
    phases: u64,
    /// The bar, and the number of phases that have ended.
    shown: Mutex<(Progress, u64)>,
}

impl Terminal {
    pub fn new(title: String, phases: u64) -> Self {
        Self {
            title,
            phases,
            shown: Mutex::new((Progress::new(), 0)),
        }
    }

    /// Moves the bar whenever a line from Pybots says that a phase has begun or ended.
    fn follow(&self, text: &str, progress: &mut Progress, done: &mut u64) {
        for line in text.split(MARK).skip(1).filter_map(|line| line.strip_prefix("phase ")) {
            let line = line.split('\u{1b}').next().unwrap_or(line);
            *done += u64::from(line.contains(" ended after "));
            progress.at(*done, self.phases, &format!("{}: {line}", self.title));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).0.end();
    }
}

#[async_trait]
impl Sink for Terminal {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        let bytes = chunk.text;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, done) = &mut *shown;
        progress.aside(|| {
            // the job goes on if the terminal has gone
            let _ = std::io::stderr().write_all(&bytes);
        });
        if progress.has_bar() {
            self.follow(&String::from_utf8_lossy(&bytes), progress, done);
        }
        Ok(())
    }
}

/// Keeps the tail of a log. Also shows the log as it grows, if `shown` is set.
pub struct LogTail {
    pub shown: Option<Terminal>,
    text: Mutex<Vec<u8>>,
}

/// How many bytes of a longer log are kept at least. The text is cut to this size when it exceeds twice the size.
const TAIL: usize = 512 << 10;

impl LogTail {
    pub fn new(shown: Option<Terminal>) -> Self {
        Self {
            shown,
            text: Mutex::default(),
        }
    }

    pub fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[async_trait]
impl Sink for LogTail {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.extend_from_slice(&chunk.text);
            if text.len() > 2 * TAIL {
                let from = text.len() - TAIL;
                text.drain(..from);
            }
        }
        match &self.shown {
            Some(terminal) => terminal.write(chunk).await,
            None => Ok(()),
        }
    }
}
