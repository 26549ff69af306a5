//! Damage of a log's file: which text is lost, and where the file can be read again.

use super::frame::{self, FrameHead, HEAD};
use std::fmt;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

/// Text that can't be read: its offsets in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub from: u64,
    /// `None` if nothing after it can be read.
    pub until: Option<u64>,
}

impl Lost {
    /// Returns what is lost from an offset on, if anything.
    pub fn after(self, offset: u64) -> Option<Self> {
        let from = self.from.max(offset);
        self.until
            .is_none_or(|until| until > from)
            .then_some(Self { from, ..self })
    }

    /// Returns what stands for the lost text where offsets must stay as they are: a line that says so, and zeros. Of more
    /// than `most` bytes, the beginning is returned.
    pub fn filler(&self, most: usize) -> Vec<u8> {
        let length = self.until.map_or(0, |until| until - self.from);
        let mut filler = format!("\n[pybots] {self}\n").into_bytes();
        filler.resize(usize::try_from(length).unwrap_or(most).min(most), 0);
        filler
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        match until {
            Some(until) => write!(
                f,
                "bytes {from} to {until} of this log are lost, because its file is damaged"
            ),
            None => write!(f, "this log is lost from byte {from} on, because its file is damaged"),
        }
    }
}

/// Reads the head that begins at a place in a file. Returns `None` if there is no head, or no whole frame.
pub fn head_at(file: &File, at: u64) -> Result<Option<FrameHead>> {
    let whole = at + HEAD as u64 <= file.metadata()?.len();
    let mut bytes = [0; HEAD];
    if whole {
        file.read_exact_at(&mut bytes, at)?;
    }
    Ok(FrameHead::read(&bytes).ok().filter(|_| whole))
}

/// Whether a whole frame lies between two places in a file.
pub fn can_be_read(file: &File, from: u64, until: u64) -> Result<bool> {
    let length = usize::try_from(until.saturating_sub(from)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(frame::FRAME_MOST)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(frame::decode(&bytes).is_ok())
}

/// Bytes that are searched at a time.
const BLOCK: usize = 64 << 10;

/// Searches a file, from a place on, for the next frame that can be read and whose text begins at `offset` or later.
/// Returns its place and the offset of its text, and the place at which the next search may begin.
pub fn next_frame(file: &File, from: u64, offset: u64) -> Result<(Option<(u64, u64)>, u64)> {
    let length = file.metadata()?.len();
    let magic = frame::MAGIC.to_le_bytes();
    let mut block = vec![0; BLOCK];
    let (mut at, mut unfinished) = (from, None);
    while at + HEAD as u64 <= length {
        let size = usize::try_from(length - at).unwrap_or(BLOCK).min(BLOCK);
        let block = &mut block[..size];
        file.read_exact_at(block, at)?;
        for found in block
            .windows(magic.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == magic)
        {
            let place = at + found.0 as u64;
            let Some(head) = head_at(file, place)?.filter(|head| head.offset >= offset) else {
                continue;
            };
            if place + head.length() as u64 > length {
                unfinished.get_or_insert(place);
                continue;
            }
            // offsets are under no checksum: the next frame must not contradict
            let end = place + head.length() as u64;
            let fits = head_at(file, end)?.is_none_or(|next| next.offset == head.end());
            if fits && can_be_read(file, place, end)? {
                return Ok((Some((place, head.offset)), place));
            }
        }
        // the magic may lie across two blocks
        at += (size - (magic.len() - 1)) as u64;
    }
    Ok((None, unfinished.unwrap_or(at.max(from))))
}
