//! Logs that grow: writers, readers, and the moment when the text is safe on the disk.

use super::readers::{ReaderPermit, Readers, TooMany};
use crate::domain::id::{AttemptId, HostId};
use crate::logfile::file::{AppendRefusal, Appender, Extent};
use anyhow::Result;
use bytes::Bytes;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};

/// Memory for incoming chunks of all hosts, in units. A slow host holds the memory of its whole chunk while it sends;
/// most chunks take one unit.
const ROOM: usize = 512;
const UNIT: usize = 64 << 10;

/// The most units that one host can hold.
const ROOM_OF_HOST: usize = ROOM / 4;

/// How many chunks are unpacked and written at the same time.
const AT_ONCE: usize = 8;

/// The default for the most logs that one client can follow.
const READERS_OF_ONE: usize = 20;

/// The time from a write to the sync.
const SYNC: Duration = Duration::from_secs(1);

/// A log that nobody writes or follows is closed after this many syncs without work.
const IDLE: u32 = 60;

#[derive(Debug)]
pub struct Live {
    logs: Mutex<HashMap<AttemptId, Arc<Log>>>,
    room: Arc<Semaphore>,
    rooms: Mutex<HashMap<HostId, Weak<Semaphore>>>,
    work: Arc<Semaphore>,
    readers: Arc<Readers>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            logs: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            rooms: Mutex::default(),
            work: Arc::new(Semaphore::new(AT_ONCE)),
            readers: Arc::new(Readers::new(READERS_OF_ONE)),
        }
    }
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    length: watch::Sender<u64>,
    /// The open file, or `None` until the first append.
    appender: Arc<tokio::sync::Mutex<Option<Appender>>>,
    /// Whether a task syncs the file.
    is_synced: AtomicBool,
}

impl Log {
    /// Returns whether nobody follows the log, and only the map and `holders` others refer to it.
    fn is_idle(self: &Arc<Self>, holders: usize) -> bool {
        Arc::strong_count(self) == holders + 1 && self.length.receiver_count() == 0
    }
}

/// The length of a log in bytes, as it grows. It is 0 until an append after this process opened the log, whatever the
/// file holds.
pub struct Following {
    pub length: watch::Receiver<u64>,
    _place: ReaderPermit,
}

/// The right to append one chunk.
pub struct AppendPermit {
    live: Weak<Live>,
    attempt: AttemptId,
    log: Arc<Log>,
    appender: OwnedMutexGuard<Option<Appender>>,
    work: Arc<Semaphore>,
    _room: [Option<OwnedSemaphorePermit>; 2],
}

impl Live {
    /// Returns the units of memory that a host may hold.
    fn room_of(&self, host: &HostId) -> Arc<Semaphore> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(host).and_then(Weak::upgrade) {
            return room;
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Semaphore::new(ROOM_OF_HOST));
        rooms.insert(host.clone(), Arc::downgrade(&room));
        room
    }

    fn log(&self, attempt: &AttemptId, path: PathBuf) -> Arc<Log> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(attempt) {
            return log.clone();
        }
        // logs that were only followed have no task that closes them
        logs.retain(|_, log| log.is_synced.load(Ordering::SeqCst) || !log.is_idle(0));
        let log = Arc::new(Log {
            path,
            length: watch::Sender::new(0),
            appender: Arc::default(),
            is_synced: AtomicBool::new(false),
        });
        logs.insert(attempt.clone(), log.clone());
        log
    }

    /// Creates live logs of which one client can follow at most `most`.
    pub fn with_readers_of_one(most: usize) -> Self {
        Self {
            readers: Arc::new(Readers::new(most)),
            ..Self::default()
        }
    }

    pub fn enter_stream(&self, reader: IpAddr) -> Result<ReaderPermit, TooMany> {
        self.readers.enter(reader)
    }

    pub fn follow(&self, attempt: &AttemptId, path: PathBuf, reader: IpAddr) -> Result<Following, TooMany> {
        let place = self.readers.enter(reader)?;
        Ok(Following {
            length: self.log(attempt, path).length.subscribe(),
            _place: place,
        })
    }

    /// Waits until a host may append `bytes` to a log.
    pub async fn turn(
        self: &Arc<Self>,
        host: &HostId,
        attempt: &AttemptId,
        path: PathBuf,
        bytes: usize,
    ) -> AppendPermit {
        let log = self.log(attempt, path);
        let units = u32::try_from(bytes.div_ceil(UNIT).clamp(1, ROOM_OF_HOST)).unwrap_or(1);
        // first the log: a host that sends many chunks of one log at the same time holds memory for only one of them
        let appender = log.appender.clone().lock_owned().await;
        // then the memory of the host: a host that sends many logs slowly delays only itself
        let own = self.room_of(host).acquire_many_owned(units).await.ok();
        let all = self.room.clone().acquire_many_owned(units).await.ok();
        AppendPermit {
            live: Arc::downgrade(self),
            attempt: attempt.clone(),
            log,
            appender,
            // acquiring fails only if a semaphore is closed, which does not happen
            _room: [own, all],
            work: self.work.clone(),
        }
    }

    /// Closes a log unless somebody besides the caller uses it. Returns whether it was closed.
    fn close(&self, attempt: &AttemptId) -> bool {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = logs.get(attempt).is_some_and(|log| log.is_idle(1));
        if idle {
            logs.remove(attempt);
        }
        idle
    }
}

impl AppendPermit {
    /// Appends a frame. Returns the new length of the log and how much of it is safe on the disk, or why the frame does
    /// not fit.
    pub async fn append(self, frame: Bytes) -> Result<Result<Extent, AppendRefusal>> {
        let (live, attempt, log) = (self.live.clone(), self.attempt.clone(), self.log.clone());
        if !log.is_synced.swap(true, Ordering::SeqCst) {
            tokio::spawn(sync_until_idle(live, attempt, log));
        }
        let work = self.work.clone().acquire_owned().await;
        let write = move || {
            let _work = work;
            let mut turn = self;
            // after an error the file is closed, and the next append opens it anew
            let mut appender = match turn.appender.take() {
                Some(appender) => appender,
                None => Appender::open(&turn.log.path)?,
            };
            let appended = appender.append(&frame)?;
            let length = appender.extent().length;
            *turn.appender = Some(appender);
            turn.log
                .length
                .send_if_modified(|old| std::mem::replace(old, length) != length);
            Ok::<_, std::io::Error>(appended)
        };
        Ok(tokio::task::spawn_blocking(write).await??)
    }
}

/// Syncs a log regularly until it is closed.
async fn sync_until_idle(live: Weak<Live>, attempt: AttemptId, log: Arc<Log>) {
    let mut idle = 0;
    loop {
        tokio::time::sleep(SYNC).await;
        let mut appender = log.appender.clone().lock_owned().await;
        let sync = move || {
            let synced = appender.as_mut().map_or(Ok(false), Appender::sync);
            if synced.is_err() {
                // it is unclear which bytes are on the disk: the next append reads the file again
                *appender = None;
            }
            synced
        };
        match tokio::task::spawn_blocking(sync).await {
            Ok(Ok(true)) => idle = 0,
            Ok(Err(error)) => tracing::error!(%attempt, %error, "failed to sync a log"),
            Ok(Ok(false)) | Err(_) => idle += 1,
        }
        let Some(live) = live.upgrade() else { return };
        if idle >= IDLE && live.close(&attempt) {
            return;
        }
    }
}
