//! The encoding of a chunk: a head, and the text as a zstd frame. The head is a skippable frame of zstd. A decoder of
//! zstd therefore prints the log's text from several frames: `zstd -dc`.
//!
//! | bytes | what they are, little-endian |
//! |---|---|
//! | 4 | 0x184D2A5B: a skippable frame |
//! | 4 | bytes of the head from here on |
//! | 8 | offset of the text in the log |
//! | 4 | bytes of text |
//! | 4 | bytes of the zstd frame after the head |
//! | 8 | time of the first piece, milliseconds since the epoch |
//! | 9 each | a piece: stream (1 stdout, 2 stderr, 3 control), milliseconds after that time (4), bytes of text (4) |

use super::{Chunk, PIECES_MOST, Piece, Stream, TEXT_MOST};
use bytes::Bytes;
use std::io::Read;

/// The number that begins each frame.
pub const MAGIC: u32 = 0x184D_2A5B;

/// The length of a head without its pieces, in bytes.
pub const HEAD: usize = 32;
const PIECE: usize = 9;

/// The most bytes of a frame. Text that can't be compressed takes a little more than its own length.
pub const FRAME_MOST: usize = HEAD + PIECES_MOST * PIECE + TEXT_MOST + (64 << 10);

/// The compression level. Higher levels save little on logs, and cost much time.
const LEVEL: i32 = 1;

/// The reason why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The fixed part of the head, without the pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    pub offset: u64,
    /// The length of the text in bytes.
    pub text: usize,
    pub pieces: usize,
    /// The length of the zstd frame in bytes.
    pub packed: usize,
    pub begun: i64,
}

impl FrameHead {
    pub fn read(bytes: &[u8; HEAD]) -> Result<Self, Malformed> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let (text, packed) = (u32_at(16) as usize, u32_at(20) as usize);
        let pieces = (u32_at(4) as usize).checked_sub(HEAD - 8);
        match pieces {
            _ if u32_at(0) != MAGIC => Err(Malformed("it does not begin like a frame of a log")),
            Some(pieces) if pieces % PIECE == 0 && pieces / PIECE <= PIECES_MOST => {
                let head = Self {
                    offset: u64_at(8),
                    text,
                    pieces: pieces / PIECE,
                    packed,
                    begun: u64_at(24).cast_signed(),
                };
                if text > TEXT_MOST || head.length() > FRAME_MOST || head.offset.checked_add(text as u64).is_none() {
                    return Err(Malformed("it is too large"));
                }
                Ok(head)
            }
            _ => Err(Malformed("its head has an impossible length")),
        }
    }

    /// Returns the length of the whole frame in bytes.
    pub fn length(&self) -> usize {
        HEAD + self.pieces * PIECE + self.packed
    }

    /// Returns the offset after the text.
    pub fn end(&self) -> u64 {
        self.offset + self.text as u64
    }
}

/// Encodes a chunk as a frame.
pub fn encode(chunk: &Chunk) -> std::io::Result<Bytes> {
    let packed = pack(&chunk.text)?;
    let begun = chunk.pieces.first().map_or(0, |piece| piece.at);
    let head = HEAD + chunk.pieces.len() * PIECE;
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut frame = Vec::with_capacity(head + packed.len());
    frame.extend(MAGIC.to_le_bytes());
    frame.extend(small(head - 8));
    frame.extend(chunk.offset.to_le_bytes());
    frame.extend(small(chunk.text.len()));
    frame.extend(small(packed.len()));
    frame.extend(begun.to_le_bytes());
    for piece in &chunk.pieces {
        frame.push(piece.stream.code());
        // if the clock was set back, the log keeps the earlier time
        frame.extend(u32::try_from(piece.at - begun).unwrap_or(0).to_le_bytes());
        frame.extend(small(piece.length));
    }
    frame.extend(packed);
    Ok(frame.into())
}

fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(text)
}

/// Decodes a whole frame. Checks every length in it, because the frame may come from an untrusted host.
pub fn decode(frame: &[u8]) -> Result<Chunk, Malformed> {
    let Some(first) = frame.first_chunk::<HEAD>() else {
        return Err(Malformed("it is shorter than a head"));
    };
    let head = FrameHead::read(first)?;
    if frame.len() != head.length() {
        return Err(Malformed("its length differs from what its head states"));
    }
    let (pieces, packed) = frame[HEAD..].split_at(head.pieces * PIECE);
    let pieces = pieces.chunks_exact(PIECE).map(|bytes| piece(head.begun, bytes));
    let pieces: Vec<Piece> = pieces
        .collect::<Option<_>>()
        .ok_or(Malformed("it has a piece of an unknown stream"))?;
    if pieces.iter().map(|piece| piece.length).sum::<usize>() != head.text {
        return Err(Malformed("its pieces do not add up to its text"));
    }
    Ok(Chunk {
        offset: head.offset,
        pieces,
        text: unpack(packed, head.text)?.into(),
    })
}

fn piece(begun: i64, bytes: &[u8]) -> Option<Piece> {
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Some(Piece {
        stream: Stream::of_code(*bytes.first()?)?,
        at: begun.saturating_add(i64::from(u32_at(1))),
        length: u32_at(5) as usize,
    })
}

/// Decompresses exactly `length` bytes of text, and allocates no more than that.
fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>, Malformed> {
    let damaged = Malformed("its text can't be decompressed");
    let mut text = Vec::with_capacity(length);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)
        .map_err(|_| damaged)?
        .single_frame();
    // the frame chooses the window, so a bound is needed: a large window would take much memory
    decoder.window_log_max(21).map_err(|_| damaged)?;
    let read = (&mut decoder).take(length as u64 + 1).read_to_end(&mut text);
    match read {
        Ok(read) if read == length && decoder.finish().is_empty() => Ok(text),
        Ok(_) => Err(Malformed("its text differs in length from what its head states")),
        Err(_) => Err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logfile::ChunkBuilder;

    fn chunk() -> Chunk {
        let mut growing = ChunkBuilder {
            offset: 77,
            ..ChunkBuilder::default()
        };
        growing.push(Stream::Control, 1_700_000_000_000, b"[pybots] phase test\n");
        growing.push(Stream::Stdout, 1_700_000_000_200, b"any \xff\x00 bytes\n");
        growing.push(Stream::Stderr, 1_700_000_000_100, b"a clock that was set back");
        growing.take()
    }

    #[test]
    fn a_frame_gives_its_chunk_back() {
        let chunk = chunk();
        assert_eq!(decode(&encode(&chunk).unwrap()), Ok(chunk));
        let empty = Chunk {
            offset: 5,
            ..Chunk::default()
        };
        assert_eq!(decode(&encode(&empty).unwrap()), Ok(empty));
        let flakiness: Vec<u8> = (0..TEXT_MOST as u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let flakiness = Chunk::of(0, Stream::Stdout, 0, flakiness.into());
        assert_eq!(decode(&encode(&flakiness).unwrap()), Ok(flakiness));
    }

    #[test]
    fn zstd_alone_reads_a_row_of_frames() {
        let row = [encode(&chunk()).unwrap(), encode(&chunk()).unwrap()].concat();
        let text = zstd::stream::decode_all(&row[..]).unwrap();
        assert_eq!(text, [chunk().text, chunk().text].concat());
    }

    #[test]
    fn no_damage_goes_unseen_and_none_panics() {
        let good = encode(&chunk()).unwrap();
        for at in 0..good.len() {
            assert!(decode(&good[..at]).is_err(), "cut at {at}");
            let mut bad = good.to_vec();
            bad[at] ^= 0x41;
            // a checksum covers the text and its length, but not offset and times
            if let Ok(read) = decode(&bad) {
                assert_eq!(read.text, chunk().text, "changed at {at}");
            }
        }
    }

    #[test]
    fn a_frame_that_would_grow_is_refused() {
        let bomb = Chunk::of(0, Stream::Stdout, 0, vec![0; TEXT_MOST].into());
        let mut frame = encode(&bomb).unwrap().to_vec();
        frame[16..20].copy_from_slice(&10u32.to_le_bytes());
        frame[37..41].copy_from_slice(&10u32.to_le_bytes());
        assert_eq!(
            decode(&frame),
            Err(Malformed("its text differs in length from what its head states"))
        );
    }
}
