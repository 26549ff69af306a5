//! Log frames on their way from the writers to the coordinator's disk. A few megabytes of them are in memory. When
//! these are full the writers wait, and with them the container: a log slows down its writer if it grows faster than
//! it can be delivered. While the coordinator is away nobody waits: the frames go to a file, and from there to the
//! coordinator once it is back.

use crate::logfile::file::LogReader;
use crate::logfile::{Chunk, frame};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Mutex, Notify};

/// The most bytes of compressed frames in memory.
const MEMORY: usize = 4 << 20;

/// A coordinator that accepts nothing for this long counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Name of the file in the attempt's own folder.
const FILE: &str = "log.zst";

/// The frames between the writers and the coordinator.
pub struct Outbox {
    /// The folder of the file, which exists only if it was needed.
    folder: PathBuf,
    state: Mutex<OutboxState>,
    changed: Notify,
}

#[derive(Default)]
struct OutboxState {
    frames: VecDeque<Frame>,
    /// How many frames at the front the coordinator has received, but does not have on disk yet.
    taken: usize,
    /// The bytes of the frames in memory.
    memory: usize,
    /// Whether the coordinator is away, so that nobody waits for it.
    away: bool,
    spool: Option<SpoolFile>,
    closed: bool,
    /// Why nothing can be delivered any more.
    lost: Option<String>,
}

struct Frame {
    from: u64,
    until: u64,
    body: Body,
}

enum Body {
    Memory(Bytes),
    Spooled { at: u64, length: usize },
}

struct SpoolFile {
    file: File,
    end: u64,
}

/// A frame to send.
pub struct NextFrame {
    pub from: u64,
    pub until: u64,
    pub frame: Bytes,
}

impl Outbox {
    /// Returns an empty outbox. Frames that have no room in memory go to `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Returns the frames that an earlier process of this host kept of an attempt's log, or `None` if it kept none.
    pub async fn left(folder: PathBuf) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let read = move || -> std::io::Result<Option<(PathBuf, VecDeque<Frame>)>> {
            let Some(mut reader) = LogReader::open(&path)? else {
                return Ok(None);
            };
            let mut frames = VecDeque::new();
            // a torn frame at the end was never acknowledged
            while let Some((head, at)) = reader.next_frame()? {
                frames.push_back(Frame {
                    from: head.offset,
                    until: head.end(),
                    body: Body::Spooled {
                        at,
                        length: head.length(),
                    },
                });
            }
            Ok(Some((path, frames)))
        };
        let Some((path, frames)) = tokio::task::spawn_blocking(read).await?? else {
            return Ok(None);
        };
        let end = match frames.back().map(|frame| &frame.body) {
            Some(Body::Spooled { at, length }) => at + *length as u64,
            _ => 0,
        };
        let file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let outbox = Self::new(folder);
        *outbox.state.lock().await = OutboxState {
            frames,
            spool: Some(SpoolFile { file, end }),
            closed: true,
            ..OutboxState::default()
        };
        Ok(Some(outbox))
    }

    /// Adds a chunk. Waits for room for as long as the coordinator accepts something, and otherwise writes it to the
    /// file. Fails if nothing can be delivered any more.
    pub async fn push(&self, chunk: &Chunk) -> Result<()> {
        let body = frame::encode(chunk)?;
        loop {
            // listen before looking: a change between the look and the wait is not missed
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let mut state = self.state.lock().await;
            if let Some(why) = &state.lost {
                bail!("{why}");
            }
            let place = if state.away {
                match state.spooled(&self.folder, std::slice::from_ref(&body)).await {
                    Ok(mut places) => places.pop(),
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "no room for the log; the attempt waits");
                        None
                    }
                }
            // frames that the coordinator received reach its disk without more being sent
            } else if state.taken == state.frames.len() || state.memory + body.len() <= MEMORY {
                state.memory += body.len();
                Some(Body::Memory(body.clone()))
            } else {
                None
            };
            if let Some(body) = place {
                state.frames.push_back(Frame {
                    from: chunk.offset,
                    until: chunk.end(),
                    body,
                });
                drop(state);
                self.changed.notify_waiters();
                return Ok(());
            }
            drop(state);
            if tokio::time::timeout(PATIENCE, changed).await.is_err() {
                self.away().await;
            }
        }
    }

    /// Notes that the coordinator is away: every frame that is not on its disk goes to the file, and so do later
    /// ones.
    pub async fn away(&self) {
        let mut state = self.state.lock().await;
        if state.away || state.lost.is_some() {
            return;
        }
        let bodies = state.frames.iter().filter_map(|frame| match &frame.body {
            Body::Memory(body) => Some(body.clone()),
            Body::Spooled { .. } => None,
        });
        let bodies: Vec<Bytes> = bodies.collect();
        match state.spooled(&self.folder, &bodies).await {
            Ok(places) => {
                let in_memory = |frame: &&mut Frame| matches!(frame.body, Body::Memory(_));
                for (frame, place) in state.frames.iter_mut().filter(in_memory).zip(places) {
                    frame.body = place;
                }
                (state.memory, state.away) = (0, true);
                tracing::warn!(spool = %self.folder.display(), "the coordinator does not store the log; it is kept here");
            }
            // then the attempt has to wait
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the coordinator does not store the log"),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until the writers are done and everything undelivered is in the file.
    pub async fn spill(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.away().await;
            let state = self.state.lock().await;
            if state.closed || state.lost.is_some() {
                return;
            }
            drop(state);
            changed.await;
            // pause before another try to write to a folder that failed
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the next frame to send, once there is one, or `None` if everything has been written and received.
    pub async fn next(&self) -> Result<Option<NextFrame>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let mut state = self.state.lock().await;
            let OutboxState {
                frames, taken, spool, ..
            } = &mut *state;
            if let Some(next) = frames.get(*taken) {
                let frame = match (&next.body, spool) {
                    (Body::Memory(body), _) => body.clone(),
                    (Body::Spooled { at, length }, Some(spool)) => spool.read(*at, *length).await?,
                    (Body::Spooled { .. }, None) => bail!("a part of the log is missing in the spool"),
                };
                return Ok(Some(NextFrame {
                    from: next.from,
                    until: next.until,
                    frame,
                }));
            }
            if state.closed {
                return Ok(None);
            }
            drop(state);
            changed.await;
        }
    }

    /// Notes that the coordinator has received the log up to `length`, and has it on disk up to `kept`.
    pub async fn taken(&self, length: u64, kept: u64) {
        let mut state = self.state.lock().await;
        while let Some(first) = state.frames.front().filter(|first| first.until <= kept) {
            if let Body::Memory(body) = &first.body {
                let length = body.len();
                state.memory -= length;
            }
            state.frames.pop_front();
        }
        state.taken = state.frames.iter().take_while(|frame| frame.until <= length).count();
        // the coordinator is back once it has received everything
        state.away &= state.taken < state.frames.len();
        let spooled = |frame: &Frame| matches!(frame.body, Body::Spooled { .. });
        if !state.away && state.spool.is_some() && !state.frames.iter().any(spooled) {
            state.spool = None;
            self.clear().await;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Goes back to `length`, where the coordinator's log ends. Fails if the frames from there on are gone.
    pub async fn back_to(&self, length: u64) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.frames.front().is_some_and(|first| first.from > length) {
            bail!("the coordinator lost a part of the log that was on its disk, and has {length} bytes left");
        }
        state.taken = state.frames.iter().take_while(|frame| frame.until <= length).count();
        Ok(())
    }

    /// Notes that nothing more will be written.
    pub async fn close(&self) {
        self.state.lock().await.closed = true;
        self.changed.notify_waiters();
    }

    /// Notes that nothing more can be delivered, and why. Drops all frames and removes the file.
    pub async fn lose(&self, why: &str) {
        let mut state = self.state.lock().await;
        state.lost = Some(why.to_owned());
        state.frames.clear();
        (state.taken, state.memory) = (0, 0);
        state.spool = None;
        self.clear().await;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Removes the file, and the folder if it is empty then.
    pub async fn clear(&self) {
        let _ = tokio::fs::remove_file(self.folder.join(FILE)).await;
        let _ = tokio::fs::remove_dir(&self.folder).await;
    }
}

impl OutboxState {
    /// Appends frames to the file, and returns their positions in it, in order.
    async fn spooled(&mut self, folder: &Path, bodies: &[Bytes]) -> Result<Vec<Body>> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(SpoolFile::open(folder).await?),
        };
        let written = async {
            spool.file.seek(SeekFrom::Start(spool.end)).await?;
            for body in bodies {
                spool.file.write_all(body).await?;
            }
            spool.file.flush().await
        };
        let explained = || format!("failed to keep a log in {}", folder.display());
        written.await.with_context(explained)?;
        let places = bodies.iter().map(|body| {
            let (at, length) = (spool.end, body.len());
            spool.end += length as u64;
            Body::Spooled { at, length }
        });
        Ok(places.collect())
    }
}

impl SpoolFile {
    async fn open(folder: &Path) -> Result<Self> {
        let explained = || format!("failed to keep a log in {}", folder.display());
        tokio::fs::create_dir_all(folder).await.with_context(explained)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).read(true).write(true);
        let file = options.open(folder.join(FILE)).await.with_context(explained)?;
        Ok(Self { file, end: 0 })
    }

    async fn read(&mut self, at: u64, length: usize) -> Result<Bytes> {
        let mut body = vec![0; length];
        self.file.seek(SeekFrom::Start(at)).await?;
        self.file.read_exact(&mut body).await?;
        Ok(body.into())
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
