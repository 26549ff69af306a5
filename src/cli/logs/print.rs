//! Writes a log to stdout.

use crate::domain::time::Timestamp;
use crate::logfile::Stream;
use anyhow::Result;
use std::collections::BTreeMap;
use tokio::io::{AsyncWriteExt, Stdout};

/// The bytes of an unfinished line that are held back until it ends.
const LINE_BYTES: usize = 64 << 10;

/// Writes a log as it is, or line by line with times.
pub struct Printer {
    out: Stdout,
    /// If set, only this stream is printed.
    only: Option<Stream>,
    timestamps: bool,
    /// The unfinished line of each stream, with the time at which it began. Streams may alternate within a line.
    begun: BTreeMap<&'static str, (i64, Vec<u8>)>,
    closed: bool,
}

impl Printer {
    pub fn new(only: Option<Stream>, timestamps: bool) -> Self {
        Self {
            out: tokio::io::stdout(),
            only,
            timestamps,
            begun: BTreeMap::new(),
            closed: false,
        }
    }

    /// Whether the reader of stdout has gone. This is not an error: a pager may be closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub async fn print(&mut self, stream: Stream, at: i64, text: &[u8]) -> Result<()> {
        if self.only.is_some_and(|only| only != stream) {
            return Ok(());
        }
        if !self.timestamps {
            return self.write(text).await;
        }
        let mut lines = Vec::new();
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            let (begun, line) = self.begun.entry(stream.name()).or_insert((at, Vec::new()));
            line.extend_from_slice(part);
            if line.ends_with(b"\n") || line.len() > LINE_BYTES {
                lines.extend(dated(stream.name(), *begun, line));
                self.begun.remove(stream.name());
            }
        }
        self.write(&lines).await
    }

    pub async fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush().await;
        self.unless_closed(flushed)
    }

    /// Prints the lines that are still unfinished.
    pub async fn end(&mut self) -> Result<()> {
        for (name, (at, line)) in std::mem::take(&mut self.begun) {
            self.write(&dated(name, at, &line)).await?;
        }
        self.flush().await
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

fn dated(stream: &str, at: i64, line: &[u8]) -> Vec<u8> {
    let mut dated = format!(
        "{} {stream:<7} ",
        crate::clock::show_exactly(Timestamp::from_millis(at))
    )
    .into_bytes();
    dated.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        dated.push(b'\n');
    }
    dated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_and_its_stream() {
        let line = dated("stderr", 1_700_000_000_123, b"no end");
        assert_eq!(
            String::from_utf8_lossy(&line),
            "2023-11-14T22:13:20.123Z stderr  no end\n"
        );
    }
}
