//! Damage in the file of a log: which text is lost, and where the next readable frame begins.

use super::frame::{self, FrameHead, HEAD};
use std::fmt;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

/// A range of lost text, as offsets in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub from: u64,
    /// `None` if the rest of the log is lost.
    pub until: Option<u64>,
}

impl Lost {
    /// Returns the part that is lost from `offset` on, or `None` if nothing is.
    pub fn after(self, offset: u64) -> Option<Self> {
        let from = self.from.max(offset);
        self.until
            .is_none_or(|until| until > from)
            .then_some(Self { from, ..self })
    }

    /// Returns a replacement of the same length for the lost text, so that later offsets stay valid: a line that
    /// describes the loss, and zeros. The replacement ends after `most` bytes. It is empty if the rest of the log is
    /// lost.
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

/// Reads the head that begins at a place in a file. Returns `None` if there is no head, or the file ends within it.
pub fn head_at(file: &File, at: u64) -> Result<Option<FrameHead>> {
    let whole = at + HEAD as u64 <= file.metadata()?.len();
    let mut bytes = [0; HEAD];
    if whole {
        file.read_exact_at(&mut bytes, at)?;
    }
    Ok(FrameHead::read(&bytes).ok().filter(|_| whole))
}

/// Returns whether the bytes between two places in a file are one readable frame. Fails if the file ends before
/// `until`.
pub fn can_be_read(file: &File, from: u64, until: u64) -> Result<bool> {
    let length = usize::try_from(until.saturating_sub(from)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(frame::FRAME_MOST)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(frame::decode(&bytes).is_ok())
}

/// The number of bytes that are searched at a time.
const BLOCK: usize = 64 << 10;

/// Searches a file from a place on for the next readable frame whose text begins at `offset` or later. Returns the
/// frame's place and the offset of its text, and the place at which the next search may begin.
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
            // no checksum covers offsets: the next frame must not contradict this one
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
