//! A file of frames. The head of each frame gives its length, so the reader finds an offset by reading heads alone: 100
//! MB of text have about 400. The reader ignores an incomplete end, from a writer that was killed. After damage by a
//! disk, it goes on at the next readable frame, and reports which bytes are lost.

use super::Chunk;
use super::damage::{self, Lost};
use super::frame::{self, FrameHead, HEAD};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A position in a file between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePosition {
    /// Offset in the text.
    pub offset: u64,
    /// Offset in the file.
    pub at: u64,
}

/// Reads the frames of a file, which may grow while it is read.
#[derive(Debug)]
pub struct LogReader {
    file: BufReader<File>,
    place: FilePosition,
    /// The offset before which text is skipped.
    from: u64,
    /// The text that was lost before `place`.
    lost: Option<Lost>,
    /// The position in the file up to which the search found no frame after a damaged one.
    searched: u64,
    /// The last frame whose head alone was read. Its length may be wrong.
    unread: Option<FilePosition>,
}

/// The next part of a log: text, or a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPart {
    Text(Chunk),
    Lost(Lost),
}

impl LogReader {
    /// Opens a file. Returns `None` if it does not exist.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self {
                file: BufReader::new(file),
                place: FilePosition::default(),
                from: 0,
                lost: None,
                searched: 0,
                unread: None,
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves on to an offset in the text. The next parts begin there. Stops at the end of the file if the text is
    /// shorter.
    pub fn skip_to(&mut self, offset: u64) -> Result<()> {
        self.from = self.from.max(offset);
        while let Some(head) = self.whole_head()? {
            if head.end() > offset {
                break;
            }
            self.pass(&head)?;
        }
        Ok(())
    }

    /// Moves back to the beginning.
    pub fn rewind(&mut self) -> Result<()> {
        (self.place, self.from, self.lost, self.searched) = (FilePosition::default(), 0, None, 0);
        self.unread = None;
        self.back().map(drop)
    }

    /// Returns the next text, or the loss before it. Returns `None` if the file has no more at present.
    pub fn next_part(&mut self) -> Result<Option<LogPart>> {
        while let Some(head) = self.whole_head()? {
            if let Some(lost) = self.lost.take().and_then(|lost| lost.after(self.from)) {
                return Ok(Some(LogPart::Lost(lost)));
            }
            let mut bytes = vec![0; head.length()];
            self.file.read_exact(&mut bytes)?;
            self.file.seek_relative(-(bytes.len() as i64))?;
            let Ok(chunk) = frame::decode(&bytes) else {
                if self.behind_damage(&head)? {
                    continue;
                }
                break;
            };
            self.pass(&head)?;
            self.unread = None;
            let chunk = chunk.after(self.from);
            if !chunk.text.is_empty() {
                return Ok(Some(LogPart::Text(chunk)));
            }
        }
        let lost = self.lost.take().and_then(|lost| lost.after(self.from));
        Ok(lost.map(LogPart::Lost))
    }

    /// Returns the loss at the end of the file, or `None` if the file ends with the last frame that was read. Call it
    /// only after the last part was read, and if no writer is left.
    pub fn lost_at_end(&self) -> Result<Option<Lost>> {
        let torn = self.file.get_ref().metadata()?.len() > self.place.at;
        Ok(torn.then_some(Lost {
            from: self.place.offset.max(self.from),
            until: None,
        }))
    }

    /// Does the same as [`LogReader::skip_to`], on a thread that may wait for the disk.
    pub async fn skipped_to(mut self, offset: u64) -> Result<Self> {
        let skip = tokio::task::spawn_blocking(move || self.skip_to(offset).map(|()| self));
        skip.await.map_err(std::io::Error::other)?
    }

    /// Does the same as [`LogReader::next_part`], on a thread that may wait for the disk.
    pub async fn step(mut self) -> Result<(Self, Option<LogPart>)> {
        let step = tokio::task::spawn_blocking(move || {
            let part = self.next_part()?;
            Ok((self, part))
        });
        step.await.map_err(std::io::Error::other)?
    }

    /// Returns the head of the next frame and its offset in the file, without reading its text. Returns `None` at the
    /// end, and at bytes that are not a whole frame: it does not search for the next readable one.
    pub fn next_frame(&mut self) -> Result<Option<(FrameHead, u64)>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let at = self.place.at;
        self.pass(&head)?;
        Ok(Some((head, at)))
    }

    /// Moves to the current end. Returns its offset in the text.
    pub fn length(&mut self) -> Result<u64> {
        while let Some(head) = self.whole_head()? {
            self.pass(&head)?;
        }
        Ok(self.place.offset)
    }

    /// Reads the head of the next frame. If the next bytes are no frame, but one follows further on, records the text
    /// in between as lost.
    fn whole_head(&mut self) -> Result<Option<FrameHead>> {
        let head = self.head()?;
        if head.is_some() || !self.resume()? {
            return Ok(head);
        }
        self.head()
    }

    /// Moves past a frame whose text can't be read, and records the text as lost. Returns `false` if no readable frame
    /// follows.
    fn behind_damage(&mut self, head: &FrameHead) -> Result<bool> {
        // if only its text is damaged, the next frame begins where its head says
        let next = self.place.at + head.length() as u64;
        if damage::head_at(self.file.get_ref(), next)?.is_some_and(|next| next.offset == head.end()) {
            self.lose(self.place.offset, head.end(), next)?;
            return Ok(true);
        }
        self.resume()
    }

    /// Moves to the next readable frame, and records the text before it as lost. Returns `false` if there is none, as
    /// at the end of a log.
    fn resume(&mut self) -> Result<bool> {
        let file = self.file.get_ref();
        if self.place.at >= file.metadata()?.len() {
            return Ok(false);
        }
        // the damage may be in the head that led here
        let mut since = self.place;
        if let Some(unread) = self.unread
            && !damage::can_be_read(file, unread.at, self.place.at)?
        {
            since = unread;
        }
        let from = self.searched.max(since.at + u64::from(since != self.place));
        let (found, searched) = damage::next_frame(file, from, since.offset)?;
        self.searched = searched;
        match found {
            Some((at, offset)) => self.lose(since.offset, offset, at).map(|()| true),
            None => Ok(false),
        }
    }

    /// Moves to a place in the file, and records the text before it as lost.
    fn lose(&mut self, since: u64, offset: u64, at: u64) -> Result<()> {
        self.lost = Some(Lost {
            from: self.lost.take().map_or(since, |lost| lost.from),
            until: Some(offset),
        });
        self.place = FilePosition { offset, at };
        self.unread = None;
        self.back().map(drop)
    }

    /// Reads the head of the next frame. Returns `None` if the file has no complete frame there, or if that frame does
    /// not continue the text. The first frame of a file may begin at any offset.
    fn head(&mut self) -> Result<Option<FrameHead>> {
        let mut bytes = [0; HEAD];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => self.file.seek_relative(-(HEAD as i64))?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return self.back(),
            Err(error) => return Err(error),
        }
        let head = match FrameHead::read(&bytes) {
            Ok(head) if head.offset == self.place.offset || self.place.at == 0 => head,
            _ => return self.back(),
        };
        if self.place.at + head.length() as u64 > self.file.get_ref().metadata()?.len() {
            return self.back();
        }
        Ok(Some(head))
    }

    /// Discards the bytes that were read ahead, because the file may change before the next read.
    fn back(&mut self) -> Result<Option<FrameHead>> {
        self.file.seek(SeekFrom::Start(self.place.at))?;
        Ok(None)
    }

    fn pass(&mut self, head: &FrameHead) -> Result<()> {
        self.unread = Some(self.place);
        self.file.seek_relative(head.length() as i64)?;
        self.place = FilePosition {
            offset: head.end(),
            at: self.place.at + head.length() as u64,
        };
        Ok(())
    }
}

/// The most bytes that are not synced yet. A power failure can lose them.
const UNSYNCED_MOST: u64 = 2 << 20;

/// The length of a log, and the length that would survive a power failure, as offsets in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Extent {
    pub length: u64,
    pub synced: u64,
}

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// The frame begins behind the end of the log, which is this offset.
    #[error("the log ends at {0}")]
    Hole(u64),
    #[error("this is no frame of a log: {0}")]
    Malformed(frame::Malformed),
}

/// Appends frames to the file of a log.
#[derive(Debug)]
pub struct Appender {
    file: File,
    end: FilePosition,
    synced: FilePosition,
}

impl Appender {
    /// Opens or creates the file, removes everything after the last readable frame, and syncs the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let mut end = FilePosition::default();
        if let Some(mut reader) = LogReader::open(path)? {
            // after a power failure, a frame may have a head without text
            while let Some(part) = reader.next_part()? {
                if matches!(part, LogPart::Text(_)) {
                    end = reader.place;
                }
            }
        }
        if file.metadata()?.len() > end.at {
            tracing::warn!(log = %path.display(), length = end.offset, "the end of a log is torn; it is cut off");
            file.set_len(end.at)?;
        }
        // its writer may have been killed before it synced the file
        file.sync_data()?;
        Ok(Self { file, end, synced: end })
    }

    pub fn extent(&self) -> Extent {
        Extent {
            length: self.end.offset,
            synced: self.synced.offset,
        }
    }

    /// Appends a frame. Ignores a frame whose text the log has already, and appends only the new part of a frame that
    /// overlaps the end. Syncs the file once 2 MiB are not synced. Returns the inner error, and changes nothing, if the
    /// frame is refused. After the outer error, the file has to be opened again.
    pub fn append(&mut self, bytes: &Bytes) -> Result<std::result::Result<Extent, AppendRefusal>> {
        let chunk = match frame::decode(bytes) {
            Ok(chunk) => chunk,
            Err(why) => return Ok(Err(AppendRefusal::Malformed(why))),
        };
        if chunk.offset > self.end.offset {
            return Ok(Err(AppendRefusal::Hole(self.end.offset)));
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
        Ok(Ok(self.extent()))
    }

    fn write(&mut self, frame: &[u8], end: u64) -> Result<()> {
        if let Err(error) = self.file.write_all_at(frame, self.end.at) {
            // a full disk: remove the part of the frame that was written
            let _ = self.file.set_len(self.end.at);
            return Err(error);
        }
        self.end = FilePosition {
            offset: end,
            at: self.end.at + frame.len() as u64,
        };
        Ok(())
    }

    /// Syncs the file to the disk. Returns `false` if there was nothing to sync.
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
