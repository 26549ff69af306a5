//! The format of a log. Its text is one sequence of bytes, and an offset is a position in it. The text consists of
//! pieces, each with its stream and its time. Hosts send it to the coordinator and browsers get it in chunks. An
//! encoded chunk is a *frame* ([`frame`]), which is the same in a request, in a host's spool and in the coordinator's
//! file ([`file`]).

pub mod damage;
pub mod file;
pub mod frame;

use bytes::{Bytes, BytesMut};
use utoipa::ToSchema;

/// The most bytes of text in a chunk.
pub const TEXT_MOST: usize = 1 << 20;

/// The most pieces in a chunk.
pub const PIECES_MOST: usize = 16 << 10;

/// The stream of a piece of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
    /// Messages of Pybots itself about the attempt.
    Control,
}

impl Stream {
    pub const ALL: [Stream; 3] = [Stream::Stdout, Stream::Stderr, Stream::Control];

    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Control => "control",
        }
    }

    fn code(self) -> u8 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
            Stream::Control => 3,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.code() == code)
    }
}

impl std::str::FromStr for Stream {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|stream| stream.name() == name);
        found.ok_or_else(|| format!("{name:?} is not a stream; the streams are stdout, stderr and control"))
    }
}

/// Consecutive bytes of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub stream: Stream,
    /// When the piece was written, in milliseconds since 1970, UTC.
    pub at: i64,
    /// The length in bytes.
    pub length: usize,
}

/// The time in milliseconds within which writes to one stream become one piece.
const TOGETHER: i64 = 100;

/// A part of a log: text, with the stream and time of each piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The offset of the text in the log.
    pub offset: u64,
    pub pieces: Vec<Piece>,
    pub text: Bytes,
}

impl Chunk {
    /// Builds a chunk of one piece.
    pub fn of(offset: u64, stream: Stream, at: i64, text: Bytes) -> Self {
        let length = text.len();
        let pieces = if length == 0 {
            Vec::new()
        } else {
            vec![Piece { stream, at, length }]
        };
        Self { offset, pieces, text }
    }

    /// Returns the offset after the text.
    pub fn end(&self) -> u64 {
        self.offset + self.text.len() as u64
    }

    /// Returns the pieces with their text.
    pub fn parts(&self) -> impl Iterator<Item = (Piece, Bytes)> {
        let mut at = 0;
        self.pieces.iter().map(move |piece| {
            let text = self.text.slice(at..at + piece.length);
            at += piece.length;
            (*piece, text)
        })
    }

    /// Returns the part from an offset on.
    pub fn after(mut self, offset: u64) -> Self {
        let Some(drop) = offset.checked_sub(self.offset).filter(|drop| *drop > 0) else {
            return self;
        };
        let mut left = usize::try_from(drop).unwrap_or(usize::MAX).min(self.text.len());
        self.offset += left as u64;
        self.text = self.text.slice(left..);
        self.pieces.retain_mut(|piece| {
            let gone = left.min(piece.length);
            left -= gone;
            piece.length -= gone;
            piece.length > 0
        });
        self
    }

    /// Returns the part before an offset.
    pub fn before(mut self, offset: u64) -> Self {
        let keep = usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        self.text.truncate(keep);
        let mut left = self.text.len();
        self.pieces.retain_mut(|piece| {
            piece.length = piece.length.min(left);
            left -= piece.length;
            piece.length > 0
        });
        self
    }

    /// Returns the text of one stream.
    pub fn only(&self, stream: Stream) -> Vec<u8> {
        let parts = self.parts().filter(|(piece, _)| piece.stream == stream);
        parts.flat_map(|(_, text)| text).collect()
    }
}

/// A chunk that is being filled.
#[derive(Default)]
pub struct ChunkBuilder {
    pub offset: u64,
    pieces: Vec<Piece>,
    text: BytesMut,
}

impl ChunkBuilder {
    pub fn push(&mut self, stream: Stream, at: i64, text: &[u8]) {
        extend(&mut self.pieces, stream, at, text.len());
        self.text.extend_from_slice(text);
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns whether the chunk should be sent before another piece is added. `most` is in bytes of text.
    pub fn is_full(&self, most: usize) -> bool {
        self.text.len() >= most || self.pieces.len() >= PIECES_MOST / 2
    }

    /// Returns the chunk so far. The next chunk begins where it ends.
    pub fn take(&mut self) -> Chunk {
        let chunk = Chunk {
            offset: self.offset,
            pieces: std::mem::take(&mut self.pieces),
            text: self.text.split().freeze(),
        };
        self.offset = chunk.end();
        chunk
    }
}

/// Appends a piece, or extends the last one if stream and time fit.
pub fn extend(pieces: &mut impl Pieces, stream: Stream, at: i64, length: usize) {
    match pieces.newest() {
        Some(last) if last.stream == stream && (0..TOGETHER).contains(&at.saturating_sub(last.at)) => {
            last.length += length
        }
        _ if length == 0 => {}
        _ => pieces.add(Piece { stream, at, length }),
    }
}

/// Several pieces in sequence.
pub trait Pieces {
    fn newest(&mut self) -> Option<&mut Piece>;
    fn add(&mut self, piece: Piece);
}

impl Pieces for Vec<Piece> {
    fn newest(&mut self) -> Option<&mut Piece> {
        self.last_mut()
    }
    fn add(&mut self, piece: Piece) {
        self.push(piece);
    }
}

impl Pieces for std::collections::VecDeque<Piece> {
    fn newest(&mut self) -> Option<&mut Piece> {
        self.back_mut()
    }
    fn add(&mut self, piece: Piece) {
        self.push_back(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_stream_that_come_together_are_one() {
        let mut growing = ChunkBuilder::default();
        growing.push(Stream::Stdout, 1000, b"one ");
        growing.push(Stream::Stdout, 1099, b"two ");
        growing.push(Stream::Stdout, 1100, b"later ");
        growing.push(Stream::Stderr, 1100, b"other");
        let chunk = growing.take();
        let lengths: Vec<usize> = chunk.pieces.iter().map(|piece| piece.length).collect();
        assert_eq!((lengths, chunk.end()), (vec![8, 6, 5], 19));
        assert_eq!(chunk.only(Stream::Stderr), b"other");
        growing.push(Stream::Control, 0, b"x");
        assert_eq!(growing.take().offset, 19);
    }

    #[test]
    fn text_before_an_offset_is_left_out() {
        let mut growing = ChunkBuilder::default();
        growing.push(Stream::Stdout, 0, b"abc");
        growing.push(Stream::Stderr, 0, b"def");
        let chunk = growing.take();
        assert_eq!(chunk.clone().after(0), chunk);
        let rest = chunk.clone().after(4);
        assert_eq!((rest.offset, &rest.text[..]), (4, &b"ef"[..]));
        assert_eq!(rest.parts().count(), 1);
        let first = chunk.clone().before(2);
        assert_eq!((first.parts().count(), &first.text[..]), (1, &b"ab"[..]));
        assert_eq!(chunk.clone().before(6), chunk);
        assert_eq!(chunk.clone().before(0).pieces.len(), 0);
        let none = chunk.after(99);
        assert_eq!((none.offset, none.pieces.len()), (6, 0));
    }
}
