use super::*;
use crate::logfile::{ChunkBuilder, Stream};

/// Pseudo-random numbers, the same in each test run.
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
    if let Some(mut reader) = LogReader::open(path).unwrap() {
        reader.skip_to(from).unwrap();
        while let Some(part) = reader.next_part().unwrap() {
            let LogPart::Text(chunk) = part else {
                panic!("{part:?}");
            };
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
    let length = |taken: std::result::Result<Extent, AppendRefusal>| taken.map(|taken| taken.length);
    assert_eq!(length(log.append(&frame(0, b"hello ")).unwrap()), Ok(6));
    assert_eq!(length(log.append(&frame(0, b"hello ")).unwrap()), Ok(6));
    assert_eq!(
        length(log.append(&frame(9, b"x")).unwrap()),
        Err(AppendRefusal::Hole(6))
    );
    assert_eq!(length(log.append(&frame(6, b"\xff\x00")).unwrap()), Ok(8));
    assert_eq!(length(log.append(&frame(2, b"llo \xff\x00 more")).unwrap()), Ok(13));
    assert_eq!(text(&path, 0), b"hello \xff\x00 more");
    assert_eq!(text(&path, 5), b" \xff\x00 more");
    assert_eq!(text(&path, 99), b"");
    let refused = log.append(&Bytes::from_static(b"plain text")).unwrap();
    assert!(matches!(refused, Err(AppendRefusal::Malformed(_))), "{refused:?}");
}

/// A host sends frames, sends some again, is cut off and goes on. The coordinator is killed at any byte, and its
/// machine loses unsynced bytes. In the end the log is complete.
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
                Err(AppendRefusal::Hole(length)) => sent = length as usize,
                Err(refused) => panic!("{refused}"),
            }
            if chance.below(10) == 0 {
                log.sync().unwrap();
            }
            if chance.below(12) == 0 {
                // killed: the unsynced bytes may be there in whole, in part, or only as a length
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
    let mut reader = LogReader::open(&path).unwrap().unwrap();
    let text = |reader: &mut LogReader| match reader.next_part().unwrap() {
        Some(LogPart::Text(chunk)) => Some(chunk.text),
        None => None,
        lost => panic!("{lost:?}"),
    };
    assert_eq!(text(&mut reader), None);
    let first = frame(0, b"first\n");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for (at, byte) in first.iter().enumerate() {
        assert_eq!(text(&mut reader), None, "after {at} bytes");
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    assert_eq!(text(&mut reader).unwrap(), "first\n");
    let mut log = Appender::open(&path).unwrap();
    for n in 0..5 {
        let line = format!("line {n}\n");
        log.append(&frame(log.extent().length, line.as_bytes()))
            .unwrap()
            .unwrap();
        assert_eq!(text(&mut reader).unwrap(), line);
        assert_eq!(text(&mut reader), None);
    }
}

/// Returns all parts that a reader finds: text, and reports of lost text.
fn found(path: &Path, from: u64) -> Vec<String> {
    let mut reader = LogReader::open(path).unwrap().unwrap();
    reader.skip_to(from).unwrap();
    let mut found = Vec::new();
    while let Some(part) = reader.next_part().unwrap() {
        found.push(match part {
            LogPart::Text(chunk) => format!("{}: {}", chunk.offset, String::from_utf8_lossy(&chunk.text)),
            LogPart::Lost(lost) => lost.to_string(),
        });
    }
    found.extend(reader.lost_at_end().unwrap().map(|lost| lost.to_string()));
    found
}

/// Writes three frames. Returns their positions in the file.
fn three(path: &Path) -> [u64; 4] {
    let frames = [frame(0, b"one\n"), frame(4, b"two two\n"), frame(12, b"three\n")];
    std::fs::write(path, frames.concat()).unwrap();
    let mut at = 0;
    let ends = frames.map(|frame| {
        at += frame.len() as u64;
        at
    });
    [0, ends[0], ends[1], ends[2]]
}

const ALL: [&str; 3] = ["0: one\n", "4: two two\n", "12: three\n"];
const SECOND_LOST: &str = "bytes 4 to 12 of this log are lost, because its file is damaged";

#[test]
fn whatever_is_damaged_in_a_frame_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let places = three(&path);
    assert_eq!(found(&path, 0), ALL);
    for at in places[1]..places[2] {
        for value in [0x00, 0x41, 0xff] {
            three(&path);
            let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut old = [0];
            file.read_exact_at(&mut old, at).unwrap();
            if old[0] == value {
                continue;
            }
            file.write_all_at(&[value], at).unwrap();
            let found_now = found(&path, 0);
            // no checksum covers times and streams
            let unharmed = found_now == ALL;
            assert!(
                unharmed || found_now == [ALL[0], SECOND_LOST, ALL[2]],
                "byte {at} is {value}: {found_now:?}"
            );
            assert_eq!(LogReader::open(&path).unwrap().unwrap().length().unwrap(), 18);
            assert_eq!(found(&path, 12), [ALL[2]]);
            // an appender preserves the readable text
            let log = Appender::open(&path).unwrap();
            assert_eq!((log.extent().length, found(&path, 0)), (18, found_now));
        }
    }
}

#[test]
fn the_beginning_and_the_end_can_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let places = three(&path);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // no head, and a head that claims more bytes than the file has
    for (bytes, at) in [(&[0; 40][..], 0), (&[0xff; 4], 20)] {
        three(&path);
        file.write_all_at(bytes, at).unwrap();
        let begin = "bytes 0 to 4 of this log are lost, because its file is damaged";
        assert_eq!(found(&path, 0), [begin, ALL[1], ALL[2]]);
        assert_eq!(found(&path, 5)[0], "5: wo two\n");
    }
    for torn in places[2] + 1..places[3] {
        three(&path);
        file.set_len(torn).unwrap();
        let end = "this log is lost from byte 12 on, because its file is damaged";
        assert_eq!(found(&path, 0), [ALL[0], ALL[1], end], "{torn}");
    }
    three(&path);
    file.write_all_at(&[0; 99], places[1]).unwrap();
    let end = "this log is lost from byte 4 on, because its file is damaged";
    assert_eq!(found(&path, 0), [ALL[0], end]);
}

#[test]
fn what_stands_for_lost_text_has_its_length() {
    let lost = |from, until| Lost {
        from,
        until: Some(until),
    };
    assert_eq!(lost(4, 7).filler(99), b"\n[p");
    let long = lost(0, 5000).filler(9000);
    assert_eq!((long.len(), lost(0, u64::MAX).filler(10).len()), (5000, 10));
    assert!(long.starts_with(b"\n[pybots] bytes 0 to 5000 of this log are lost"));
    assert_eq!(lost(4, 7).after(7), None);
}
