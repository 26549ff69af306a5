//! Any bytes as a frame of a log: what is read can be written, and reads as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pybots_fuzz::logfile::frame::{self, HEAD, FrameHead};

fuzz_target!(|data: &[u8]| {
    if let Some(first) = data.first_chunk::<HEAD>()
        && let Ok(head) = FrameHead::read(first)
    {
        assert!(head.length() <= frame::FRAME_MOST && head.end() >= head.offset);
    }
    let Ok(chunk) = frame::decode(data) else { return };
    let middle = chunk.offset + chunk.text.len() as u64 / 2;
    let (before, after) = (chunk.clone().before(middle), chunk.clone().after(middle));
    assert_eq!([before.text, after.text].concat(), chunk.text);
    for (piece, text) in chunk.parts() {
        assert_eq!(piece.length, text.len());
    }
    let Ok(written) = frame::encode(&chunk) else {
        panic!("what was read can't be written");
    };
    let again = frame::decode(&written).map(|again| (again.offset, again.text));
    assert_eq!(again, Ok((chunk.offset, chunk.text)));
});
