//! The log of a job that is done here, on the terminal.

use crate::cli::progress::Progress;
use crate::host::log::{MARK, Sink};
use crate::logfile::Chunk;
use anyhow::Result;
use async_trait::async_trait;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// The log as it comes, above a bar of the phases.
pub struct Terminal {
    title: String,
    steps: u64,
    /// The bar, and how many phases have ended.
    shown: Mutex<(Progress, u64)>,
}

impl Terminal {
    pub fn new(title: String, steps: u64) -> Self {
        Self {
            title,
            steps,
            shown: Mutex::new((Progress::new(), 0)),
        }
    }

    /// The phase that the last of our own lines in these bytes says has begun or ended.
    fn follow(&self, text: &str, progress: &mut Progress, done: &mut u64) {
        for line in text.split(MARK).skip(1).filter_map(|line| line.strip_prefix("phase ")) {
            let line = line.split('\u{1b}').next().unwrap_or(line);
            *done += u64::from(line.contains(" ended after "));
            progress.at(*done, self.steps, &format!("{}: {line}", self.title));
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
            // a terminal that is gone must not end the trial
            let _ = std::io::stderr().write_all(&bytes);
        });
        if progress.shows() {
            self.follow(&String::from_utf8_lossy(&bytes), progress, done);
        }
        Ok(())
    }
}

/// Keeps the end of a log, and shows it if that is wanted.
pub struct Kept {
    pub shown: Option<Terminal>,
    text: Mutex<Vec<u8>>,
}

/// Bytes that are kept, once or twice.
const KEPT: usize = 512 << 10;

impl Kept {
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
impl Sink for Kept {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.extend_from_slice(&chunk.text);
            if text.len() > 2 * KEPT {
                let from = text.len() - KEPT;
                text.drain(..from);
            }
        }
        match &self.shown {
            Some(terminal) => terminal.write(chunk).await,
            None => Ok(()),
        }
    }
}
