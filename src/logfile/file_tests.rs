use super::*;
use crate::logfile::{ChunkBuilder, Stream};

/// Random numbers that are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

fn chunk(offset: u64, text: &[u8]) -> Chunk {
    let mut growing = ChunkBuilder {
        offset,
        ..ChunkBuilder::default()
    };
    for (at, part) in text.chunks(700).enumerate() {
        let stream = Stream::ALL[at % 3];
        growing.push(stream, 1_700_000_000_000 + at as i64, part);
    }
    growing.take()
}

fn frame(offset: u64, text: &[u8]) -> Bytes {
    frame::encode(&chunk(offset, text)).unwrap()
}

fn text(path: &Path, from: u64) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(mut reader) = Reader::open(path).unwrap() {
        reader.skip_to(from).unwrap();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            assert_eq!(chunk.offset, from + all.len() as u64);
            all.extend_from_slice(&chunk.text);
        }
    }
    all
}

#[test]
fn a_log_has_no_holes_and_takes_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = Appender::open(&path).unwrap();
    let length = |taken: std::result::Result<Extent, Refusal>| taken.map(|taken| taken.length);
    assert_eq!(length(log.append(&frame(0, b"hello ")).unwrap()), Ok(6));
    assert_eq!(length(log.append(&frame(0, b"hello ")).unwrap()), Ok(6));
    assert_eq!(length(log.append(&frame(9, b"x")).unwrap()), Err(Refusal::Hole(6)));
    assert_eq!(length(log.append(&frame(6, b"\xff\x00")).unwrap()), Ok(8));
    assert_eq!(length(log.append(&frame(2, b"llo \xff\x00 more")).unwrap()), Ok(13));
    assert_eq!(text(&path, 0), b"hello \xff\x00 more");
    assert_eq!(text(&path, 5), b" \xff\x00 more");
    assert_eq!(text(&path, 99), b"");
    let refused = log.append(&Bytes::from_static(b"plain text")).unwrap();
    assert!(matches!(refused, Err(Refusal::Malformed(_))), "{refused:?}");
}

/// A host that sends, sends again, is cut off and goes on; a coordinator that is killed at any byte, and whose
/// machine loses what was not synced: at the end the log is what was written.
#[test]
fn whatever_is_torn_or_sent_again_the_log_is_what_was_written() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let wanted: Vec<u8> = (0..40_000).map(|_| b"abcdefgh \n\xff"[chance.below(11)]).collect();
        let mut log = Appender::open(&path).unwrap();
        let mut sent = 0;
        let mut steps = 0;
        while log.extent().length < wanted.len() as u64 {
            steps += 1;
            assert!(steps < 10_000, "seed {seed} comes to no end");
            // mostly the next chunk, sometimes an earlier one, or one too far ahead
            let from = match chance.below(8) {
                0 => chance.below(sent + 1),
                1 => (sent + chance.below(50)).min(wanted.len()),
                _ => sent,
            };
            let until = (from + chance.below(3000)).min(wanted.len());
            match log.append(&frame(from as u64, &wanted[from..until])).unwrap() {
                Ok(taken) => sent = taken.length as usize,
                Err(Refusal::Hole(length)) => sent = length as usize,
                Err(refused) => panic!("{refused}"),
            }
            if chance.below(10) == 0 {
                log.sync().unwrap();
            }
            if chance.below(12) == 0 {
                // killed: what was not synced may be there in whole, in part, or as nothing but its length
                let kept = log.synced;
                let end = log.end;
                drop(log);
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                let torn = kept.at + chance.below((end.at - kept.at) as usize + 1) as u64;
                file.set_len(torn).unwrap();
                if chance.below(3) == 0 {
                    file.set_len(end.at + chance.below(5000) as u64).unwrap();
                }
                log = Appender::open(&path).unwrap();
                assert!(log.extent().length >= kept.offset, "seed {seed}: what was kept is gone");
            }
        }
        assert_eq!(text(&path, 0), wanted, "seed {seed}");
        let from = chance.below(wanted.len());
        assert_eq!(text(&path, from as u64), &wanted[from..], "seed {seed}");
    }
}

#[test]
fn a_reader_follows_a_file_that_grows_and_never_sees_a_part_of_a_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, b"").unwrap();
    let mut reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(reader.next_chunk().unwrap(), None);
    let first = frame(0, b"first\n");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for (at, byte) in first.iter().enumerate() {
        assert_eq!(reader.next_chunk().unwrap(), None, "after {at} bytes");
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    assert_eq!(reader.next_chunk().unwrap().unwrap().text, "first\n");
    let mut log = Appender::open(&path).unwrap();
    for n in 0..5 {
        let line = format!("line {n}\n");
        log.append(&frame(log.extent().length, line.as_bytes()))
            .unwrap()
            .unwrap();
        assert_eq!(reader.next_chunk().unwrap().unwrap().text, line);
        assert_eq!(reader.next_chunk().unwrap(), None);
    }
}

#[test]
fn damage_inside_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let frames = [frame(0, b"one\n"), frame(4, b"two\n")].concat();
    std::fs::write(&path, &frames).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"\x00", HEAD as u64 + 20).unwrap();
    let mut reader = Reader::open(&path).unwrap().unwrap();
    assert!(reader.next_chunk().is_err());
}
