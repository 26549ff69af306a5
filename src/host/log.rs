//! The log of one attempt: many writers, one order, sent on in chunks.

use anyhow::Result;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A chunk is sent when it has this many bytes; with what came last it has at most twice as many.
const CHUNK: usize = 256 << 10;
/// How long a byte waits for company.
const LINGER: Duration = Duration::from_millis(200);

/// What a line of our own begins with.
pub const MARK: &str = "\u{1b}[36m[pybots] ";

/// Where an attempt's log goes.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes the bytes from an offset on. Returns when they are safe, however long that takes.
    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()>;
}

/// A writer; cheap to clone. Writing waits while the sink is behind, and so holds up the container.
#[derive(Clone)]
pub struct Log {
    sender: mpsc::Sender<Bytes>,
    written: Arc<AtomicU64>,
}

impl Log {
    /// Starts the task that delivers. It ends, with all delivered, when the last writer is dropped.
    pub fn start(sink: Arc<dyn Sink>) -> (Self, JoinHandle<Result<()>>) {
        let (sender, receiver) = mpsc::channel(64);
        let log = Self {
            sender,
            written: Arc::default(),
        };
        (log, tokio::spawn(deliver(receiver, sink)))
    }

    pub async fn write(&self, bytes: Bytes) {
        self.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(CHUNK));
            // a log that can't be delivered must not end the attempt: its outcome counts
            let _ = self.sender.send(piece).await;
        }
    }

    /// A line of our own, told apart from the project's by its mark and colour.
    pub async fn say(&self, text: &str) {
        self.write(format!("{MARK}{text}\u{1b}[0m\n").into()).await;
    }

    /// Length of the log so far, in bytes.
    pub fn position(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

async fn deliver(mut receiver: mpsc::Receiver<Bytes>, sink: Arc<dyn Sink>) -> Result<()> {
    let mut offset = 0;
    while let Some(first) = receiver.recv().await {
        let mut chunk = BytesMut::from(first.as_ref());
        let due = tokio::time::sleep(LINGER);
        tokio::pin!(due);
        while chunk.len() < CHUNK {
            tokio::select! {
                more = receiver.recv() => match more {
                    Some(more) => chunk.extend_from_slice(&more),
                    None => break,
                },
                () = &mut due => break,
            }
        }
        let chunk = chunk.freeze();
        let length = chunk.len() as u64;
        sink.write(offset, chunk).await?;
        offset += length;
    }
    Ok(())
}

/// Keeps the head and the tail of what goes through, and counts what it cut between them.
pub struct HeadAndTail {
    head_left: usize,
    tail_most: usize,
    tail: VecDeque<u8>,
    cut: u64,
}

impl HeadAndTail {
    /// `most` bytes in all: half of them from the head.
    pub fn new(most: u64) -> Self {
        let half = usize::try_from(most / 2).unwrap_or(usize::MAX);
        Self {
            head_left: half,
            tail_most: half,
            tail: VecDeque::new(),
            cut: 0,
        }
    }

    /// Takes bytes; returns those that belong to the head and can go on at once.
    pub fn take(&mut self, bytes: &Bytes) -> Bytes {
        let head = bytes.slice(..self.head_left.min(bytes.len()));
        self.head_left -= head.len();
        let rest = &bytes[head.len()..];
        // of one huge piece only its own tail can survive
        let skipped = rest.len().saturating_sub(self.tail_most);
        let rest = &rest[skipped..];
        let drop = (self.tail.len() + rest.len()).saturating_sub(self.tail_most);
        self.tail.drain(..drop);
        self.tail.extend(rest);
        self.cut += (skipped + drop) as u64;
        head
    }

    /// What is still to be written: a mark if something was cut, and the tail.
    pub fn finish(self) -> (Option<String>, Bytes) {
        let mark = (self.cut > 0).then(|| format!("{} bytes of the log were cut here", self.cut));
        (mark, Bytes::from(Vec::from(self.tail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn short_logs_pass_whole() {
        let mut cap = HeadAndTail::new(10);
        assert_eq!(cap.take(&Bytes::from("abc")), "abc");
        assert_eq!(cap.take(&Bytes::from("defgh")), "de");
        assert_eq!(cap.finish(), (None, Bytes::from("fgh")));
    }

    #[test]
    fn long_logs_keep_head_and_tail() {
        for piece in [1, 7, 1000] {
            let text: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
            let mut cap = HeadAndTail::new(1000);
            let mut kept = Vec::new();
            for chunk in text.chunks(piece) {
                kept.extend_from_slice(&cap.take(&Bytes::copy_from_slice(chunk)));
            }
            let (mark, tail) = cap.finish();
            assert_eq!(kept, &text[..500]);
            assert_eq!(tail, &text[99_500..]);
            assert_eq!(mark.as_deref(), Some("99000 bytes of the log were cut here"));
        }
    }

    #[derive(Default)]
    struct Memory(Mutex<Vec<u8>>);

    #[async_trait]
    impl Sink for Memory {
        async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
            let mut all = self.0.lock().unwrap();
            assert_eq!(offset, all.len() as u64);
            assert!(bytes.len() <= 2 * CHUNK, "a chunk of {} bytes", bytes.len());
            all.extend_from_slice(&bytes);
            Ok(())
        }
    }

    #[tokio::test]
    async fn all_is_delivered_in_order() {
        let sink = Arc::new(Memory::default());
        let (log, delivered) = Log::start(sink.clone());
        for i in 0..1000 {
            log.write(format!("{i}\n").into()).await;
        }
        // a tail that comes in one piece goes on in many
        log.write(Bytes::from(vec![b'x'; 5 * CHUNK])).await;
        let length = log.position();
        drop(log);
        delivered.await.unwrap().unwrap();
        let all = sink.0.lock().unwrap();
        assert_eq!(all.len() as u64, length);
        assert!(all.starts_with(b"0\n1\n2\n") && all.ends_with(b"xxx"));
    }
}
