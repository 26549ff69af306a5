//! Logs, results of tests and source folders as objects in a folder; never rows.

mod live;

pub use live::{Following, Turn};

use crate::domain::results::Tests;
use crate::logfile::file::{Appender, Reader};
use crate::logfile::{Chunk, Growing, Stream, frame};
use anyhow::{Context, Result, bail};
use live::Live;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of objects, by name; cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
    live: Arc<Live>,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: u64,
    pub bytes: Vec<u8>,
    /// Length of the whole log.
    pub total: u64,
}

impl Objects {
    pub fn open(data: &Path) -> Result<Self> {
        let folder = data.join("objects");
        for kind in ["logs", "folders", "tests"] {
            let path = folder.join(kind);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("failed to make {}; check the setting `data`", path.display()))?;
        }
        Ok(Self {
            folder,
            live: Arc::default(),
        })
    }

    /// Ids come from URLs: nothing but a plain name is a path.
    fn path(&self, kind: &str, name: &str) -> Result<PathBuf> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            bail!("{name:?} is no object's name");
        }
        Ok(self.folder.join(kind).join(name))
    }

    fn log(&self, attempt: &str) -> Result<PathBuf> {
        Ok(self.path("logs", attempt)?.with_extension("zst"))
    }

    /// Waits for its turn to append to an attempt's log: one at a time for each log, and only so many bytes in all.
    /// Only then is a chunk worth reading from the network.
    pub async fn turn(&self, host: &str, attempt: &str, bytes: usize) -> Result<Turn> {
        Ok(self.live.turn(host, attempt, self.log(attempt)?, bytes).await)
    }

    /// Appends a chunk that is here already.
    pub async fn append_log(&self, attempt: &str, chunk: &Chunk) -> Result<u64> {
        let frame = frame::encode(chunk)?;
        Ok(self.turn("", attempt, frame.len()).await?.append(frame).await??.length)
    }

    /// Told the length of a log whenever it has grown. None: too many follow logs already.
    pub fn follow(&self, attempt: &str) -> Result<Option<Following>> {
        Ok(self.live.follow(attempt, self.log(attempt)?))
    }

    /// Up to `most` bytes from `from`; an attempt without a log has an empty one.
    pub async fn read_log(&self, attempt: &str, from: u64, most: u64) -> Result<Window> {
        let (chunk, total) = self.read_chunk(attempt, from, most).await?;
        Ok(Window {
            from: chunk.offset,
            bytes: chunk.text.into(),
            total,
        })
    }

    /// Up to `most` bytes from its end.
    pub async fn end_of_log(&self, attempt: &str, most: u64) -> Result<Vec<u8>> {
        let length = self.read_log(attempt, u64::MAX, 0).await?.total;
        Ok(self.read_log(attempt, length.saturating_sub(most), most).await?.bytes)
    }

    /// The same, with where each piece came from and when; and the length of the whole log.
    pub async fn read_chunk(&self, attempt: &str, from: u64, most: u64) -> Result<(Chunk, u64)> {
        let Some(mut reader) = self.open_log(attempt).await? else {
            return Ok((Chunk::default(), 0));
        };
        let read = move || -> std::io::Result<(Chunk, u64)> {
            reader.skip_to(from)?;
            let mut read = Growing::default();
            let mut first = true;
            while (read.len() as u64) < most
                && let Some(chunk) = reader.next_chunk()?
            {
                if std::mem::take(&mut first) {
                    read.offset = chunk.offset;
                }
                for (piece, text) in chunk.parts() {
                    let room = usize::try_from(most - read.len() as u64).unwrap_or(usize::MAX);
                    read.push(piece.stream, piece.at, &text[..text.len().min(room)]);
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

    /// Reads a log from its beginning; None if there is none.
    pub async fn open_log(&self, attempt: &str) -> Result<Option<Reader>> {
        let (path, plain) = (self.log(attempt)?, self.path("logs", attempt)?);
        let open = move || match Reader::open(&path)? {
            None if plain.is_file() => {
                adopt(&plain, &path)?;
                Reader::open(&path)
            }
            found => Ok(found),
        };
        Ok(tokio::task::spawn_blocking(open).await??)
    }

    /// Keeps what an attempt's suites said of their tests.
    pub async fn put_tests(&self, attempt: &str, tests: &Tests) -> Result<()> {
        let path = self.path("tests", attempt)?.with_extension("zst");
        let json = serde_json::to_vec(tests)?;
        let write = move || -> std::io::Result<()> {
            let part = path.with_extension(format!("part-{}", super::new_id()));
            std::fs::write(&part, zstd::encode_all(json.as_slice(), 3)?)?;
            std::fs::rename(&part, &path)
        };
        Ok(tokio::task::spawn_blocking(write).await??)
    }

    /// None: its suites said nothing of their tests.
    pub async fn tests(&self, attempt: &str) -> Result<Option<Tests>> {
        let path = self.path("tests", attempt)?.with_extension("zst");
        let packed = match tokio::fs::read(&path).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            packed => packed?,
        };
        let json = tokio::task::spawn_blocking(move || zstd::decode_all(packed.as_slice())).await??;
        Ok(Some(serde_json::from_slice(&json)?))
    }

    /// Keeps a folder's tar under its digest.
    pub async fn put_folder(&self, digest: &str, tar: &[u8]) -> Result<()> {
        let path = self.path("folders", digest)?;
        if tokio::fs::try_exists(&path).await? {
            return Ok(());
        }
        let part = path.with_extension("part");
        tokio::fs::write(&part, tar).await?;
        Ok(tokio::fs::rename(&part, &path).await?)
    }

    /// None: there is none of that digest.
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

/// Bytes of a log of the time before logs had streams that become one chunk.
const ADOPT: u64 = 256 << 10;

/// Takes over a log as it was kept before: plain text, under the attempt's own name.
fn adopt(plain: &Path, path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(plain)?;
    let at = file.metadata()?.modified()?;
    let at = at
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_millis());
    // two may do so at once, each in a file of its own
    let part = path.with_extension(format!("part-{}", crate::store::new_id()));
    let mut log = Appender::open(&part)?;
    loop {
        let mut text = Vec::new();
        if (&mut file).take(ADOPT).read_to_end(&mut text)? == 0 {
            break;
        }
        let at = i64::try_from(at).unwrap_or(0);
        let chunk = Chunk::of(log.taken().length, Stream::Stdout, at, text.into());
        log.append(&frame::encode(&chunk)?)?.map_err(std::io::Error::other)?;
    }
    log.sync()?;
    std::fs::rename(&part, path)?;
    std::fs::remove_file(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(offset: u64, text: &[u8]) -> Chunk {
        Chunk::of(offset, Stream::Stdout, 1_700_000_000_000, text.to_vec().into())
    }

    #[tokio::test]
    async fn a_window_is_read_from_anywhere() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        assert_eq!(objects.append_log("a", &out(0, b"hello ")).await.unwrap(), 6);
        assert_eq!(objects.append_log("a", &out(6, b"\xff\x00")).await.unwrap(), 8);
        assert!(objects.append_log("a", &out(9, b"x")).await.is_err());
        let window = |from, bytes: &[u8]| Window {
            from,
            bytes: bytes.to_vec(),
            total: 8,
        };
        assert_eq!(objects.read_log("a", 4, 100).await.unwrap(), window(4, b"o \xff\x00"));
        assert_eq!(objects.read_log("a", 4, 3).await.unwrap(), window(4, b"o \xff"));
        assert_eq!(objects.read_log("a", u64::MAX, 0).await.unwrap(), window(8, b""));
        assert_eq!(objects.read_log("none", 0, 9).await.unwrap().total, 0);
        assert!(objects.read_log("../../etc/passwd", 0, 9).await.is_err());
    }

    #[tokio::test]
    async fn tests_of_an_attempt_come_back() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        let tests = Tests {
            passed: vec!["a".into()],
            ..Tests::default()
        };
        assert_eq!(objects.tests("x").await.unwrap(), None);
        objects.put_tests("x", &tests).await.unwrap();
        assert_eq!(objects.tests("x").await.unwrap(), Some(tests));
        assert!(objects.tests("../x").await.is_err());
    }

    #[tokio::test]
    async fn who_follows_is_told() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        let mut following = objects.follow("a").unwrap().unwrap();
        let news = &mut following.length;
        assert_eq!(*news.borrow_and_update(), 0);
        objects.append_log("a", &out(0, b"hello ")).await.unwrap();
        news.changed().await.unwrap();
        assert_eq!(*news.borrow_and_update(), 6);
        // sent again: no news
        objects.append_log("a", &out(0, b"hello ")).await.unwrap();
        assert!(!news.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_log_of_an_earlier_version_is_taken_over() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        let plain = data.path().join("objects/logs/old");
        let text = b"a line\n".repeat(100_000);
        std::fs::write(&plain, &text).unwrap();
        let window = objects.read_log("old", 7 * 50_000, 7).await.unwrap();
        assert_eq!((window.bytes, window.total), (b"a line\n".to_vec(), 700_000));
        assert!(!plain.exists());
        assert_eq!(objects.read_log("old", 0, u64::MAX).await.unwrap().bytes, text);
    }
}
