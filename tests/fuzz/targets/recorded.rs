//! Any bytes as what recorders of tests wrote: files, with a zero byte between each other.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let files: Vec<Vec<u8>> = data.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    for is_cut in [false, true] {
        let Some(recorded) = pybots_fuzz::host::run::results::recorded::read("suite", &files, is_cut) else {
            continue;
        };
        assert!(!recorded.sessions.is_empty());
        for name in recorded.tests.passed.iter().chain(&recorded.under_way) {
            assert!(name.starts_with("suite: "), "{name:?}");
        }
    }
});
