//! Logs and source folders as objects in a folder; never rows.

use anyhow::{Context, Result, bail};
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The folder of objects, by name.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
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
        for kind in ["logs", "folders"] {
            let path = folder.join(kind);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("failed to make {}; check the setting `data`", path.display()))?;
        }
        Ok(Self { folder })
    }

    /// Ids come from URLs: nothing but a plain name is a path.
    fn path(&self, kind: &str, name: &str) -> Result<PathBuf> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            bail!("{name:?} is no object's name");
        }
        Ok(self.folder.join(kind).join(name))
    }

    /// Writes bytes at an offset of an attempt's log and returns its new length. A chunk that is sent
    /// again changes nothing; one that would leave a hole is refused with the length to go on from.
    pub async fn append_log(&self, attempt: &str, offset: u64, bytes: &[u8]) -> Result<Result<u64, u64>> {
        let path = self.path("logs", attempt)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .await?;
        let length = file.metadata().await?.len();
        if offset > length {
            return Ok(Err(length));
        }
        file.seek(SeekFrom::Start(offset)).await?;
        file.write_all(bytes).await?;
        file.flush().await?;
        Ok(Ok(length.max(offset + bytes.len() as u64)))
    }

    /// Up to `most` bytes from `from`; an attempt without a log has an empty one.
    pub async fn read_log(&self, attempt: &str, from: u64, most: u64) -> Result<Window> {
        let path = self.path("logs", attempt)?;
        let mut file = match File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Window {
                    from: 0,
                    bytes: Vec::new(),
                    total: 0,
                });
            }
            Err(error) => return Err(error.into()),
        };
        let total = file.metadata().await?.len();
        let from = from.min(total);
        file.seek(SeekFrom::Start(from)).await?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).await?;
        Ok(Window { from, bytes, total })
    }

    /// The log as a file to stream; None if there is none.
    pub async fn open_log(&self, attempt: &str) -> Result<Option<File>> {
        match File::open(self.path("logs", attempt)?).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
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

    pub async fn folder(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.path("folders", digest)?;
        tokio::fs::read(&path)
            .await
            .with_context(|| format!("failed to read the source folder {digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_has_no_holes_and_takes_repeats() {
        let data = tempfile::tempdir().unwrap();
        let objects = Objects::open(data.path()).unwrap();
        assert_eq!(objects.append_log("a", 0, b"hello ").await.unwrap(), Ok(6));
        assert_eq!(objects.append_log("a", 0, b"hello ").await.unwrap(), Ok(6));
        assert_eq!(objects.append_log("a", 9, b"x").await.unwrap(), Err(6));
        assert_eq!(objects.append_log("a", 6, b"\xff\x00").await.unwrap(), Ok(8));
        let window = objects.read_log("a", 4, 100).await.unwrap();
        assert_eq!(
            window,
            Window {
                from: 4,
                bytes: b"o \xff\x00".to_vec(),
                total: 8
            }
        );
        assert_eq!(objects.read_log("none", 0, 9).await.unwrap().total, 0);
        assert!(objects.read_log("../../etc/passwd", 0, 9).await.is_err());
    }
}
