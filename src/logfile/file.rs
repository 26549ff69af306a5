//! A row of frames in a file. Each head tells how far it is to the next, so a place is found by reading heads alone:
//! 100 MB of text have some 400. What is torn at the end, because its writer was killed, does not count.

use super::Chunk;
use super::frame::{self, HEAD, Head};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A place between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In the text.
    pub offset: u64,
    /// In the file.
    pub at: u64,
}

/// Reads frame after frame, also of a file that grows meanwhile.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    place: Place,
    /// Text before this offset is left out.
    from: u64,
}

impl Reader {
    /// None where there is no such file.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self {
                file: BufReader::new(file),
                place: Place::default(),
                from: 0,
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on to an offset of the text.
    pub fn skip_to(&mut self, offset: u64) -> Result<()> {
        self.from = self.from.max(offset);
        while let Some(head) = self.head()? {
            if head.end() > offset {
                break;
            }
            self.pass(&head)?;
        }
        Ok(())
    }

    /// The text from here on, as far as there is some now; None: no more at present.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        while let Some(head) = self.head()? {
            let mut bytes = vec![0; head.length()];
            self.file.read_exact(&mut bytes)?;
            self.file.seek_relative(-(bytes.len() as i64))?;
            let chunk = frame::decode(&bytes).map_err(|why| std::io::Error::new(ErrorKind::InvalidData, why))?;
            self.pass(&head)?;
            let chunk = chunk.after(self.from);
            if !chunk.text.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// [`Reader::skip_to`] for who must not wait for a disk.
    pub async fn skipped_to(mut self, offset: u64) -> Result<Self> {
        let skip = tokio::task::spawn_blocking(move || self.skip_to(offset).map(|()| self));
        skip.await.map_err(std::io::Error::other)?
    }

    /// [`Reader::next_chunk`] for who must not wait for a disk.
    pub async fn step(mut self) -> Result<(Self, Option<Chunk>)> {
        let step = tokio::task::spawn_blocking(move || {
            let chunk = self.next_chunk()?;
            Ok((self, chunk))
        });
        step.await.map_err(std::io::Error::other)?
    }

    /// The next frame as it is, with its head and its place in the file.
    pub fn next_frame(&mut self) -> Result<Option<(Head, u64)>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let at = self.place.at;
        self.pass(&head)?;
        Ok(Some((head, at)))
    }

    /// Bytes of text up to the end as it is now; the reader is there then.
    pub fn length(&mut self) -> Result<u64> {
        while let Some(head) = self.head()? {
            self.pass(&head)?;
        }
        Ok(self.place.offset)
    }

    /// The head of the next frame; None where no whole one is there, or what is there is none that follows.
    fn head(&mut self) -> Result<Option<Head>> {
        let mut bytes = [0; HEAD];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => self.file.seek_relative(-(HEAD as i64))?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return self.back(),
            Err(error) => return Err(error),
        }
        let head = match Head::read(&bytes) {
            Ok(head) if head.offset == self.place.offset || self.place.at == 0 => head,
            _ => return self.back(),
        };
        if self.place.at + head.length() as u64 > self.file.get_ref().metadata()?.len() {
            return self.back();
        }
        Ok(Some(head))
    }

    /// Forgets what was read ahead: it may be different by the next time.
    fn back(&mut self) -> Result<Option<Head>> {
        self.file.seek(SeekFrom::Start(self.place.at))?;
        Ok(None)
    }

    fn pass(&mut self, head: &Head) -> Result<()> {
        self.file.seek_relative(head.length() as i64)?;
        self.place = Place {
            offset: head.end(),
            at: self.place.at + head.length() as u64,
        };
        Ok(())
    }
}

/// Bytes that may be lost to a machine that loses power, before they are written through to the disk.
const UNSYNCED_MOST: u64 = 2 << 20;

/// How far a log goes, and how much of it stays whatever happens to the machine: offsets in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Taken {
    pub length: u64,
    pub kept: u64,
}

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It would leave a hole; the log is this long.
    #[error("the log ends at {0}")]
    Hole(u64),
    #[error("this is no frame of a log: {0}")]
    Malformed(frame::Malformed),
}

/// Writes a log.
#[derive(Debug)]
pub struct Appender {
    file: File,
    end: Place,
    synced: Place,
}

impl Appender {
    /// Opens or makes the file. What is torn at its end goes.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let mut end = Place::default();
        if let Some(mut reader) = Reader::open(path)? {
            // after a loss of power a frame may have a head and no text
            while let Ok(Some(_)) = reader.next_chunk() {
                end = reader.place;
            }
        }
        if file.metadata()?.len() > end.at {
            tracing::warn!(log = %path.display(), length = end.offset, "the end of a log is torn; it is cut off");
            file.set_len(end.at)?;
        }
        // whoever wrote it may have been killed before it was on the disk
        file.sync_data()?;
        Ok(Self { file, end, synced: end })
    }

    pub fn taken(&self) -> Taken {
        Taken {
            length: self.end.offset,
            kept: self.synced.offset,
        }
    }

    /// Takes a frame. One that is known changes nothing; of one that is known in part, the rest is taken. After an
    /// error the file must be opened anew.
    pub fn append(&mut self, bytes: &Bytes) -> Result<std::result::Result<Taken, Refusal>> {
        let chunk = match frame::decode(bytes) {
            Ok(chunk) => chunk,
            Err(why) => return Ok(Err(Refusal::Malformed(why))),
        };
        if chunk.offset > self.end.offset {
            return Ok(Err(Refusal::Hole(self.end.offset)));
        }
        if chunk.end() > self.end.offset {
            if chunk.offset < self.end.offset {
                let rest = chunk.after(self.end.offset);
                self.write(&frame::encode(&rest)?, rest.end())?;
            } else {
                self.write(bytes, chunk.end())?;
            }
        }
        if self.end.at - self.synced.at >= UNSYNCED_MOST {
            self.sync()?;
        }
        Ok(Ok(self.taken()))
    }

    fn write(&mut self, frame: &[u8], end: u64) -> Result<()> {
        if let Err(error) = self.file.write_all_at(frame, self.end.at) {
            // a full disk: what of the frame was written would be torn
            let _ = self.file.set_len(self.end.at);
            return Err(error);
        }
        self.end = Place {
            offset: end,
            at: self.end.at + frame.len() as u64,
        };
        Ok(())
    }

    /// Writes through to the disk. False: there was nothing to do.
    pub fn sync(&mut self) -> Result<bool> {
        if self.synced == self.end {
            return Ok(false);
        }
        self.file.sync_data()?;
        self.synced = self.end;
        Ok(true)
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
