//! Shows the log of a job on the terminal, and stores its tail.

use crate::cli::log_lines::LogLines;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::host::log::{MARK, Sink};
use crate::logfile::{Chunk, Stream};
use anyhow::Result;
use async_trait::async_trait;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Writes a log to stderr as it grows, above a bar that shows the phases.
pub struct Terminal {
    title: String,
    phases: u64,
    shown: Mutex<View>,
}

struct View {
    bar: Progress,
    lines: LogLines,
    /// The number of phases that have ended.
    done: u64,
}

impl Terminal {
    pub fn new(title: String, phases: u64) -> Self {
        Self {
            title,
            phases,
            shown: Mutex::new(View {
                bar: Progress::new(),
                lines: LogLines::new(None, false, output::has_colours(&std::io::stderr())),
                done: 0,
            }),
        }
    }

    /// Advances the bar when a line of Pybots reports that a phase has begun or ended.
    fn follow(&self, lines: &str, view: &mut View) {
        for line in lines.split(MARK).skip(1).filter_map(|line| line.strip_prefix("phase ")) {
            let line = line.split('\u{1b}').next().unwrap_or(line);
            view.done += u64::from(line.contains(" ended after "));
            view.bar.at(view.done, self.phases, &format!("{}: {line}", self.title));
        }
    }
}

impl View {
    /// Writes to stderr. Ignores errors, so that the job goes on without a terminal.
    fn write(&self, lines: &[u8]) {
        self.bar.aside(|| drop(std::io::stderr().write_all(lines)));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut view = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = view.lines.end();
        view.write(&rest);
        view.bar.end();
    }
}

#[async_trait]
impl Sink for Terminal {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        let mut view = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (piece, text) in chunk.parts() {
            let lines = view.lines.take(piece.stream, piece.at, &text);
            if !lines.is_empty() {
                view.write(&lines);
            }
            if piece.stream == Stream::Control && view.bar.has_bar() {
                self.follow(&String::from_utf8_lossy(&text), &mut view);
            }
        }
        Ok(())
    }
}

/// Stores the tail of a log. Also shows the log as it grows, if `shown` is set.
pub struct LogTail {
    pub shown: Option<Terminal>,
    text: Mutex<Vec<u8>>,
}

/// The least number of bytes to keep of a longer log. A text of twice this size is cut to it.
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
