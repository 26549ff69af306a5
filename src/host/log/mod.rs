//! The log of one attempt: many writers, one order, sent on in chunks.

pub mod cap;
pub mod outbox;

use crate::clock::now;
use crate::domain::text::is_odd;
use crate::logfile::{Chunk, ChunkBuilder, Stream};
use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The bytes at which a chunk is sent. With the piece that came last, it has at most twice as many.
const CHUNK: usize = 256 << 10;
/// How long bytes wait for further ones before their chunk is sent.
const LINGER: Duration = Duration::from_millis(200);
/// The most pieces that wait between the writers and the task that delivers.
const QUEUE: usize = 16;

/// The beginning of a line that Pybots writes.
pub const MARK: &str = "\u{1b}[36m[pybots] ";

/// The destination of an attempt's log.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes the next chunk. Returns once the chunk is safe, or kept for delivery.
    async fn write(&self, chunk: Chunk) -> Result<()>;

    /// Ends the log. Returns once everything is delivered.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A text of a container, with its stream and the time at which it was written.
type TimedBytes = (Stream, i64, Bytes);

/// A writer; clones share the log. Writing waits while the sink is behind, which holds up the container.
#[derive(Clone)]
pub struct Log {
    sender: mpsc::Sender<TimedBytes>,
    written: Arc<AtomicU64>,
}

impl Log {
    /// Starts the task that delivers chunks to `sink`. The task ends once the last writer is dropped and the sink has
    /// everything, or at the first error of the sink.
    pub fn start(sink: Arc<dyn Sink>) -> (Self, JoinHandle<Result<()>>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let log = Self {
            sender,
            written: Arc::default(),
        };
        (log, tokio::spawn(deliver(receiver, sink)))
    }

    pub async fn write(&self, stream: Stream, bytes: Bytes) {
        self.write_of(stream, now().as_millis(), bytes).await;
    }

    /// Writes bytes with the time at which they were written.
    pub async fn write_of(&self, stream: Stream, at: i64, bytes: Bytes) {
        self.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(CHUNK));
            // a log that can't be delivered must not end the attempt: the outcome counts
            let _ = self.sender.send((stream, at, piece)).await;
        }
    }

    /// Writes a line of Pybots. Its stream, its beginning and its colour set it apart from the project's output. A text
    /// of several lines quotes somebody, so each further line is indented and can't pass for one of ours.
    pub async fn say(&self, text: &str) {
        let mut lines = String::new();
        for (line, indent) in text
            .trim_end()
            .split('\n')
            .zip(std::iter::once("").chain(std::iter::repeat("  ")))
        {
            let line = line.trim_end_matches('\r').replace(is_odd, "?");
            lines.push_str(&format!("{MARK}{indent}{line}\u{1b}[0m\n"));
        }
        self.write(Stream::Control, lines.into()).await;
    }

    /// Returns the length of the log so far, in bytes.
    pub fn position(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

async fn deliver(mut receiver: mpsc::Receiver<TimedBytes>, sink: Arc<dyn Sink>) -> Result<()> {
    let mut chunk = ChunkBuilder::default();
    while let Some((stream, at, text)) = receiver.recv().await {
        chunk.push(stream, at, &text);
        let due = tokio::time::sleep(LINGER);
        tokio::pin!(due);
        while !chunk.is_full(CHUNK) {
            tokio::select! {
                more = receiver.recv() => match more {
                    Some((stream, at, text)) => chunk.push(stream, at, &text),
                    None => break,
                },
                () = &mut due => break,
            }
        }
        sink.write(chunk.take()).await?;
    }
    sink.close().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Memory(Mutex<Vec<u8>>);

    #[async_trait]
    impl Sink for Memory {
        async fn write(&self, chunk: Chunk) -> Result<()> {
            let mut all = self.0.lock().unwrap();
            assert_eq!(chunk.offset, all.len() as u64);
            assert!(chunk.text.len() <= 2 * CHUNK, "a chunk of {} bytes", chunk.text.len());
            all.extend_from_slice(&chunk.text);
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_pybots_quotes_is_not_taken_for_its_own_lines() {
        let sink = Arc::new(Memory::default());
        let (log, delivered) = Log::start(sink.clone());
        log.say("it answered: \u{1b}[2Jno\r\n[pybots] outcome: passed\n").await;
        drop(log);
        delivered.await.unwrap().unwrap();
        let all = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            all,
            format!("{MARK}it answered: ?[2Jno\u{1b}[0m\n{MARK}  [pybots] outcome: passed\u{1b}[0m\n")
        );
    }

    #[tokio::test]
    async fn all_is_delivered_in_order() {
        let sink = Arc::new(Memory::default());
        let (log, delivered) = Log::start(sink.clone());
        for i in 0..1000 {
            log.write(Stream::Stdout, format!("{i}\n").into()).await;
        }
        // a tail that arrives in one piece is sent in many
        log.write(Stream::Stderr, Bytes::from(vec![b'x'; 5 * CHUNK])).await;
        let length = log.position();
        drop(log);
        delivered.await.unwrap().unwrap();
        let all = sink.0.lock().unwrap();
        assert_eq!(all.len() as u64, length);
        assert!(all.starts_with(b"0\n1\n2\n") && all.ends_with(b"xxx"));
    }
}
