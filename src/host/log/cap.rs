//! Limits the size of a log.

use crate::logfile::{Chunk, Piece, Stream, extend};
use bytes::Bytes;
use std::collections::VecDeque;

/// The least number of pieces that a tail may have. A longer tail may have one for each 32 bytes, so that the pieces
/// take about as much memory as the text.
const PIECES: usize = 1024;

/// The bytes at the beginning of a tail that are searched for the end of a line.
const LINE: usize = 4096;

/// Keeps the head and the tail of an output, and counts what it cut between them.
pub struct HeadAndTail {
    head_left: usize,
    tail_most: usize,
    tail: VecDeque<u8>,
    pieces: VecDeque<Piece>,
    cut: u64,
}

impl HeadAndTail {
    /// Keeps `most` bytes in all, half of them from the head.
    pub fn new(most: u64) -> Self {
        let half = usize::try_from(most / 2).unwrap_or(usize::MAX);
        Self {
            head_left: half,
            tail_most: half,
            tail: VecDeque::new(),
            pieces: VecDeque::new(),
            cut: 0,
        }
    }

    /// Takes bytes, and returns the part of them that belongs to the head and can be written at once.
    pub fn take(&mut self, stream: Stream, at: i64, bytes: &Bytes) -> Bytes {
        let head = bytes.slice(..self.head_left.min(bytes.len()));
        self.head_left -= head.len();
        let rest = &bytes[head.len()..];
        // only the last bytes of a huge piece can survive
        let skipped = rest.len().saturating_sub(self.tail_most);
        let rest = &rest[skipped..];
        self.cut += skipped as u64;
        self.drop_front((self.tail.len() + rest.len()).saturating_sub(self.tail_most));
        self.tail.extend(rest);
        extend(&mut self.pieces, stream, at, rest.len());
        while self.pieces.len() > PIECES.max(self.tail_most / 32) {
            let first = self.pieces.front().map_or(0, |piece| piece.length);
            self.drop_front(first);
        }
        head
    }

    fn drop_front(&mut self, bytes: usize) {
        self.cut += bytes as u64;
        self.tail.drain(..bytes);
        let mut left = bytes;
        while left > 0
            && let Some(first) = self.pieces.front_mut()
        {
            let gone = left.min(first.length);
            (first.length, left) = (first.length - gone, left - gone);
            if first.length == 0 {
                self.pieces.pop_front();
            }
        }
    }

    /// Returns a mark, if something was cut, and the tail. The tail begins with a line, because the rest of a torn
    /// character or escape sequence would be shown as text.
    pub fn finish(mut self) -> (Option<String>, Chunk) {
        let newline = self.tail.iter().take(LINE).position(|byte| *byte == b'\n');
        if let Some(newline) = newline.filter(|at| self.cut > 0 && at + 1 < self.tail.len()) {
            self.drop_front(newline + 1);
        }
        let mark = (self.cut > 0).then(|| format!("{} bytes of the log were cut here", self.cut));
        let tail = Chunk {
            offset: 0,
            pieces: self.pieces.into(),
            text: Vec::from(self.tail).into(),
        };
        (mark, tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_logs_pass_whole() {
        let mut cap = HeadAndTail::new(10);
        assert_eq!(cap.take(Stream::Stdout, 0, &Bytes::from("abc")), "abc");
        assert_eq!(cap.take(Stream::Stdout, 0, &Bytes::from("defgh")), "de");
        let (mark, tail) = cap.finish();
        assert_eq!((mark, &tail.text[..], tail.pieces.len()), (None, &b"fgh"[..], 1));
    }

    #[test]
    fn long_logs_keep_head_and_tail() {
        for piece in [1, 7, 1000] {
            let text: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
            let mut cap = HeadAndTail::new(1000);
            let mut kept = Vec::new();
            for chunk in text.chunks(piece) {
                kept.extend_from_slice(&cap.take(Stream::Stdout, 0, &Bytes::copy_from_slice(chunk)));
            }
            let (mark, tail) = cap.finish();
            assert_eq!(kept, &text[..500]);
            // from the first whole line on
            assert_eq!(text[99_657], b'\n');
            assert_eq!(tail.text, &text[99_658..]);
            assert_eq!(mark.as_deref(), Some("99158 bytes of the log were cut here"));
        }
    }

    #[test]
    fn a_tail_knows_its_streams_and_its_pieces_are_bounded() {
        let mut cap = HeadAndTail::new(20_000);
        let other = [Stream::Stdout, Stream::Stderr];
        for n in 0..100_000 {
            let byte = Bytes::from(vec![[b'o', b'e'][n % 2]]);
            cap.take(other[n % 2], n as i64, &byte);
        }
        let (mark, tail) = cap.finish();
        assert_eq!(mark.as_deref(), Some("88976 bytes of the log were cut here"));
        assert_eq!((tail.text.len(), tail.pieces.len()), (1024, 1024));
        assert!(tail.only(Stream::Stderr).iter().all(|byte| *byte == b'e'));
    }
}
