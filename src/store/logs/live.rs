//! Logs that grow: who appends, who listens, and what of them is on the disk for good.
//!
//! Text that was answered for is in the file: the coordinator may be killed. It is on the disk once it was synced, a
//! second later or after 2 MiB, whichever comes first. Until then the host keeps it: a machine that loses power has a
//! log that ends earlier, says so to the next chunk, and gets the rest again.

use crate::logfile::file::{Appender, Refusal, Taken};
use anyhow::Result;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};

/// Memory for chunks that come in, for all hosts together, in units. A host whose line is slow holds as much as its chunk
/// has, and most chunks have a unit.
const ROOM: usize = 512;
const UNIT: usize = 64 << 10;

/// What of it one host can take.
const ROOM_OF_HOST: usize = ROOM / 4;

/// Chunks that are unpacked and written at the same time.
const AT_ONCE: usize = 8;

/// Readers who follow logs as they grow, each of whom holds a connection and a window of text.
const FOLLOWERS: usize = 500;

/// Time between writing and writing through to the disk.
const SYNC: Duration = Duration::from_secs(1);

/// A log that nobody writes or watches is put away after so many syncs without work.
const IDLE: u32 = 60;

#[derive(Debug)]
pub struct Live {
    logs: Mutex<HashMap<String, Arc<Log>>>,
    room: Arc<Semaphore>,
    rooms: Mutex<HashMap<String, Weak<Semaphore>>>,
    work: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            logs: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            rooms: Mutex::default(),
            work: Arc::new(Semaphore::new(AT_ONCE)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        }
    }
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    length: watch::Sender<u64>,
    /// None until somebody appends.
    appender: Arc<tokio::sync::Mutex<Option<Appender>>>,
    /// Whether somebody writes it through to the disk.
    is_kept: AtomicBool,
}

impl Log {
    /// Nobody has it in hand but the map and so many others.
    fn is_idle(self: &Arc<Self>, others: usize) -> bool {
        Arc::strong_count(self) == others + 1 && self.length.receiver_count() == 0
    }
}

/// How far a log goes, as that changes.
pub struct Following {
    pub length: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

/// The right to append one chunk.
pub struct Turn {
    live: Weak<Live>,
    attempt: String,
    log: Arc<Log>,
    appender: OwnedMutexGuard<Option<Appender>>,
    work: Arc<Semaphore>,
    _room: [Option<OwnedSemaphorePermit>; 2],
}

impl Live {
    /// The room that a host has.
    fn room_of(&self, host: &str) -> Arc<Semaphore> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(host).and_then(Weak::upgrade) {
            return room;
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Semaphore::new(ROOM_OF_HOST));
        rooms.insert(host.to_owned(), Arc::downgrade(&room));
        room
    }

    fn log(&self, attempt: &str, path: PathBuf) -> Arc<Log> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(attempt) {
            return log.clone();
        }
        // those that were only looked at
        logs.retain(|_, log| log.is_kept.load(Ordering::SeqCst) || !log.is_idle(0));
        let log = Arc::new(Log {
            path,
            length: watch::Sender::new(0),
            appender: Arc::default(),
            is_kept: AtomicBool::new(false),
        });
        logs.insert(attempt.to_owned(), log.clone());
        log
    }

    /// None: too many follow logs already.
    pub fn follow(&self, attempt: &str, path: PathBuf) -> Option<Following> {
        let place = self.followers.clone().try_acquire_owned().ok()?;
        Some(Following {
            length: self.log(attempt, path).length.subscribe(),
            _place: place,
        })
    }

    pub async fn turn(self: &Arc<Self>, host: &str, attempt: &str, path: PathBuf, bytes: usize) -> Turn {
        let log = self.log(attempt, path);
        let units = u32::try_from(bytes.div_ceil(UNIT).clamp(1, ROOM_OF_HOST)).unwrap_or(1);
        // first its own log's: who sends much at once waits behind himself, and takes no room from others
        let appender = log.appender.clone().lock_owned().await;
        // then its host's: one that sends slowly on many attempts holds up itself
        let own = self.room_of(host).acquire_many_owned(units).await.ok();
        let all = self.room.clone().acquire_many_owned(units).await.ok();
        Turn {
            live: Arc::downgrade(self),
            attempt: attempt.to_owned(),
            log,
            appender,
            // an error means that the semaphore was closed, which nobody does
            _room: [own, all],
            work: self.work.clone(),
        }
    }

    /// Forgets a log unless somebody has it in hand beside the caller.
    fn put_away(&self, attempt: &str) -> bool {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = logs.get(attempt).is_some_and(|log| log.is_idle(1));
        if idle {
            logs.remove(attempt);
        }
        idle
    }
}

impl Turn {
    /// Appends a frame; the answer says how far the log goes now.
    pub async fn append(self, frame: Bytes) -> Result<Result<Taken, Refusal>> {
        let (live, attempt, log) = (self.live.clone(), self.attempt.clone(), self.log.clone());
        if !log.is_kept.swap(true, Ordering::SeqCst) {
            tokio::spawn(keep(live, attempt, log));
        }
        let work = self.work.clone().acquire_owned().await;
        let write = move || {
            let _work = work;
            let mut turn = self;
            // after an error it stays away, and is opened anew by the next
            let mut appender = match turn.appender.take() {
                Some(appender) => appender,
                None => Appender::open(&turn.log.path)?,
            };
            let appended = appender.append(&frame)?;
            let length = appender.taken().length;
            *turn.appender = Some(appender);
            turn.log
                .length
                .send_if_modified(|known| std::mem::replace(known, length) != length);
            Ok::<_, std::io::Error>(appended)
        };
        Ok(tokio::task::spawn_blocking(write).await??)
    }
}

/// Writes a log through to the disk as long as it grows; ends when it was put away.
async fn keep(live: Weak<Live>, attempt: String, log: Arc<Log>) {
    let mut idle = 0;
    loop {
        tokio::time::sleep(SYNC).await;
        let mut appender = log.appender.clone().lock_owned().await;
        let sync = move || {
            let synced = appender.as_mut().map_or(Ok(false), Appender::sync);
            if synced.is_err() {
                // what became of the bytes nobody can say: the file is read again
                *appender = None;
            }
            synced
        };
        match tokio::task::spawn_blocking(sync).await {
            Ok(Ok(true)) => idle = 0,
            Ok(Err(error)) => tracing::error!(attempt, %error, "failed to write a log through to the disk"),
            Ok(Ok(false)) | Err(_) => idle += 1,
        }
        let Some(live) = live.upgrade() else { return };
        if idle >= IDLE && live.put_away(&attempt) {
            return;
        }
    }
}
