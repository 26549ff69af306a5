//! Objects: logs, test results and the tars of recipes' folders, each a file in the folder `objects`.

mod live;
mod readers;

pub use live::{AppendPermit, Following};
pub use readers::{ReaderPermit, TooMany};

use crate::domain::id::{AttemptId, HostId};
use crate::domain::results::Tests;
use crate::domain::time::Timestamp;
use crate::logfile::file::{Appender, LogPart, LogReader};
use crate::logfile::{Chunk, ChunkBuilder, Stream, frame};
use anyhow::{Context, Result, bail};
use live::Live;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of objects. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    data: PathBuf,
    folder: PathBuf,
    live: Arc<Live>,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogWindow {
    pub from: u64,
    pub bytes: Vec<u8>,
    /// The length of the whole log, in bytes.
    pub total: u64,
}

impl Objects {
    /// Opens the objects below the data folder, and makes the folders that are missing.
    pub fn open(data: &Path) -> Result<Self> {
        let folder = data.join("objects");
        for kind in ["logs", "folders", "tests"] {
            let path = folder.join(kind);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("failed to make {}; check the setting `data`", path.display()))?;
        }
        Ok(Self {
            data: data.to_owned(),
            folder,
            live: Arc::default(),
        })
    }

    /// Returns the folder for everything that the coordinator keeps.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the path of an object. Names come from URLs, so only letters, digits and `-` are accepted.
    fn path(&self, kind: &str, name: &str) -> Result<PathBuf> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            bail!("{name:?} is no object's name");
        }
        Ok(self.folder.join(kind).join(name))
    }

    fn log(&self, attempt: &AttemptId) -> Result<PathBuf> {
        Ok(self.path("logs", attempt.as_str())?.with_extension("zst"))
    }

    /// Waits until a host may append `bytes` to an attempt's log. Each log takes one chunk at a time, and all logs of
    /// one host, and all logs together, take a limited number of bytes. Call this before the chunk is read from the
    /// network.
    pub async fn turn(&self, host: &HostId, attempt: &AttemptId, bytes: usize) -> Result<AppendPermit> {
        Ok(self.live.turn(host, attempt, self.log(attempt)?, bytes).await)
    }

    /// Appends a chunk that the coordinator has in memory. Returns the length of the log.
    pub async fn append_log(&self, attempt: &AttemptId, chunk: &Chunk) -> Result<u64> {
        let frame = frame::encode(chunk)?;
        let turn = self.turn(&HostId::default(), attempt, frame.len()).await?;
        Ok(turn.append(frame).await??.length)
    }

    /// Sets how many logs one client can follow at the same time.
    pub fn with_readers_of_one(self, most: usize) -> Self {
        Self {
            live: Arc::new(Live::with_readers_of_one(most)),
            ..self
        }
    }

    /// Watches the length of a log as it grows, for a client at an address. Returns an error if all clients, or this
    /// one, follow too many.
    pub fn follow(&self, attempt: &AttemptId, reader: IpAddr) -> Result<Result<Following, TooMany>> {
        Ok(self.live.follow(attempt, self.log(attempt)?, reader))
    }

    /// Gives a client at an address one more stream, beside the logs that it follows.
    pub fn enter_stream(&self, reader: IpAddr) -> Result<ReaderPermit, TooMany> {
        self.live.enter_stream(reader)
    }

    /// Returns up to `most` bytes from the offset `from`, with a filler in place of text that was lost on the disk. An
    /// attempt without a log has an empty one.
    pub async fn read_log(&self, attempt: &AttemptId, from: u64, most: u64) -> Result<LogWindow> {
        let (chunk, total) = self.read_chunk(attempt, from, most).await?;
        Ok(LogWindow {
            from: chunk.offset,
            bytes: chunk.text.into(),
            total,
        })
    }

    /// Returns the last `most` bytes of a log.
    pub async fn end_of_log(&self, attempt: &AttemptId, most: u64) -> Result<Vec<u8>> {
        let length = self.read_log(attempt, u64::MAX, 0).await?.total;
        Ok(self.read_log(attempt, length.saturating_sub(most), most).await?.bytes)
    }

    /// Does the same as [`Objects::read_log`], with the stream and the time of each piece. Also returns the length of
    /// the whole log.
    async fn read_chunk(&self, attempt: &AttemptId, from: u64, most: u64) -> Result<(Chunk, u64)> {
        let Some(mut reader) = self.open_log(attempt).await? else {
            return Ok((Chunk::default(), 0));
        };
        let read = move || -> std::io::Result<(Chunk, u64)> {
            reader.skip_to(from)?;
            let mut read = ChunkBuilder::default();
            let mut first = true;
            while (read.len() as u64) < most
                && let Some(part) = reader.next_part()?
            {
                let room = |read: &ChunkBuilder| usize::try_from(most - read.len() as u64).unwrap_or(usize::MAX);
                let chunk = match part {
                    LogPart::Text(chunk) => chunk,
                    // the offsets of later pieces stay the same
                    LogPart::Lost(lost) => Chunk::of(lost.from, Stream::Control, 0, lost.filler(room(&read)).into()),
                };
                if std::mem::take(&mut first) {
                    read.offset = chunk.offset;
                }
                for (piece, text) in chunk.parts() {
                    let length = text.len().min(room(&read));
                    read.push(piece.stream, piece.at, &text[..length]);
                }
            }
            let total = reader.length()?;
            if first {
                read.offset = from.min(total);
            }
            Ok((read.take(), total))
        };
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// Opens a log to read it from its beginning. Converts a log of an earlier version first. Returns `None` if there
    /// is none.
    pub async fn open_log(&self, attempt: &AttemptId) -> Result<Option<LogReader>> {
        let (path, plain) = (self.log(attempt)?, self.path("logs", attempt.as_str())?);
        let open = move || match LogReader::open(&path)? {
            None if plain.is_file() => {
                adopt(&plain, &path)?;
                LogReader::open(&path)
            }
            found => Ok(found),
        };
        Ok(tokio::task::spawn_blocking(open).await??)
    }

    /// Stores the results of an attempt's tests, unless some are stored already: results that count never change.
    pub async fn put_tests(&self, attempt: &AttemptId, tests: &Tests) -> Result<()> {
        let path = self.path("tests", attempt.as_str())?.with_extension("zst");
        let json = serde_json::to_vec(tests)?;
        let write = move || -> std::io::Result<()> {
            let part = path.with_extension(format!("part-{}", super::new_id()));
            std::fs::write(&part, zstd::encode_all(json.as_slice(), 3)?)?;
            // unlike a rename, a link replaces nothing
            let linked = std::fs::hard_link(&part, &path);
            std::fs::remove_file(&part)?;
            match linked {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        };
        Ok(tokio::task::spawn_blocking(write).await??)
    }

    /// Returns the results of an attempt's tests, or `None` if its suites reported none.
    pub async fn tests(&self, attempt: &AttemptId) -> Result<Option<Tests>> {
        let path = self.path("tests", attempt.as_str())?.with_extension("zst");
        let packed = match tokio::fs::read(&path).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            packed => packed?,
        };
        let json = tokio::task::spawn_blocking(move || zstd::decode_all(packed.as_slice())).await??;
        Ok(Some(serde_json::from_slice(&json)?))
    }

    /// Stores the tar of a folder under its digest. If it is stored already, marks it as needed now.
    pub async fn put_folder(&self, digest: &str, tar: &[u8]) -> Result<()> {
        let path = self.path("folders", digest)?;
        if tokio::fs::try_exists(&path).await? {
            return Ok(tokio::task::spawn_blocking(move || touch(&path)).await??);
        }
        let part = path.with_extension("part");
        tokio::fs::write(&part, tar).await?;
        Ok(tokio::fs::rename(&part, &path).await?)
    }

    /// Marks a folder as needed now. There may be no folder with this digest.
    pub async fn keep_folder(&self, digest: &str) -> Result<()> {
        let path = self.path("folders", digest)?;
        let kept = tokio::task::spawn_blocking(move || touch(&path)).await?;
        match kept {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            kept => Ok(kept?),
        }
    }

    /// Returns the names of the folders that were stored, and last needed, before a time. The names are their digests.
    pub async fn folders_before(&self, before: Timestamp) -> Result<Vec<String>> {
        let folder = self.path("folders", "x")?.with_file_name("");
        let read = move || -> std::io::Result<Vec<String>> {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let at = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH);
                let at = at.map_or(0, |at| i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
                if at < before.as_millis() {
                    found.extend(entry.file_name().into_string().ok());
                }
            }
            Ok(found)
        };
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    /// Removes a folder, or the part of one that an interrupted process left, by the name that
    /// [`Objects::folders_before`] returned.
    pub async fn remove_folder(&self, name: &str) -> Result<()> {
        let path = match name.strip_suffix(".part") {
            Some(digest) => self.path("folders", digest)?.with_extension("part"),
            None => self.path("folders", name)?,
        };
        Ok(tokio::fs::remove_file(path).await?)
    }

    /// Returns the tar of the folder with a digest, or `None` if there is none or the digest can't be a name.
    pub async fn folder(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let Ok(path) = self.path("folders", digest) else {
            return Ok(None);
        };
        match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read the source folder {digest}")),
        }
    }
}

/// Marks a file as needed now.
fn touch(path: &Path) -> std::io::Result<()> {
    std::fs::File::options()
        .append(true)
        .open(path)?
        .set_modified(std::time::SystemTime::now())
}

/// The number of bytes of a plain log that become one chunk.
const ADOPT: u64 = 256 << 10;

/// Converts a log of an earlier version: plain text in a file with the attempt's id as its name.
fn adopt(plain: &Path, path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(plain)?;
    let at = file.metadata()?.modified()?;
    let at = at
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_millis());
    // two readers may convert the log at the same time, each into a file of its own
    let part = path.with_extension(format!("part-{}", crate::store::new_id()));
    let mut log = Appender::open(&part)?;
    loop {
        let mut text = Vec::new();
        if (&mut file).take(ADOPT).read_to_end(&mut text)? == 0 {
            break;
        }
        let at = i64::try_from(at).unwrap_or(0);
        let chunk = Chunk::of(log.extent().length, Stream::Stdout, at, text.into());
        log.append(&frame::encode(&chunk)?)?.map_err(std::io::Error::other)?;
    }
    log.sync()?;
    std::fs::rename(&part, path)?;
    std::fs::remove_file(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn out(offset: u64, text: &[u8]) -> Chunk {
        Chunk::of(offset, Stream::Stdout, 1_700_000_000_000, text.to_vec().into())
    }

    #[tokio::test]
    async fn a_window_is_read_from_anywhere() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        assert_eq!(objects.append_log(&"a".into(), &out(0, b"hello ")).await.unwrap(), 6);
        assert_eq!(objects.append_log(&"a".into(), &out(6, b"\xff\x00")).await.unwrap(), 8);
        assert!(objects.append_log(&"a".into(), &out(9, b"x")).await.is_err());
        let window = |from, bytes: &[u8]| LogWindow {
            from,
            bytes: bytes.to_vec(),
            total: 8,
        };
        assert_eq!(
            objects.read_log(&"a".into(), 4, 100).await.unwrap(),
            window(4, b"o \xff\x00")
        );
        assert_eq!(objects.read_log(&"a".into(), 4, 3).await.unwrap(), window(4, b"o \xff"));
        assert_eq!(
            objects.read_log(&"a".into(), u64::MAX, 0).await.unwrap(),
            window(8, b"")
        );
        assert_eq!(objects.read_log(&"none".into(), 0, 9).await.unwrap().total, 0);
        assert!(objects.read_log(&"../../etc/passwd".into(), 0, 9).await.is_err());
    }

    #[tokio::test]
    async fn tests_of_an_attempt_come_back() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        let tests = Tests {
            passed: vec!["a".into()],
            ..Tests::default()
        };
        assert_eq!(objects.tests(&"x".into()).await.unwrap(), None);
        objects.put_tests(&"x".into(), &tests).await.unwrap();
        assert_eq!(objects.tests(&"x".into()).await.unwrap(), Some(tests));
        assert!(objects.tests(&"../x".into()).await.is_err());
    }

    #[tokio::test]
    async fn followers_see_the_length_change() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        let mut following = objects.follow(&"a".into(), READER).unwrap().unwrap();
        let length = &mut following.length;
        assert_eq!(*length.borrow_and_update(), 0);
        objects.append_log(&"a".into(), &out(0, b"hello ")).await.unwrap();
        length.changed().await.unwrap();
        assert_eq!(*length.borrow_and_update(), 6);
        // the same chunk again changes nothing
        objects.append_log(&"a".into(), &out(0, b"hello ")).await.unwrap();
        assert!(!length.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_log_of_an_earlier_version_is_converted() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        let plain = data.path().join("objects/logs/old");
        let text = b"a line\n".repeat(100_000);
        std::fs::write(&plain, &text).unwrap();
        let window = objects.read_log(&"old".into(), 7 * 50_000, 7).await.unwrap();
        assert_eq!((window.bytes, window.total), (b"a line\n".to_vec(), 700_000));
        assert!(!plain.exists());
        assert_eq!(objects.read_log(&"old".into(), 0, u64::MAX).await.unwrap().bytes, text);
    }
}
