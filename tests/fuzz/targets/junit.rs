//! Any bytes as a JUnit report of a project.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match pybots_fuzz::host::run::results::junit::read("suite", data) {
        Ok(tests) => {
            for name in tests.passed.iter().chain(&tests.skipped) {
                assert!(name.starts_with("suite: "), "{name:?}");
            }
            for failure in &tests.failed {
                assert!(failure.message.len() < 1 << 12, "{} bytes", failure.message.len());
            }
            // a report with them can be delivered
            let all = tests.clone();
            assert_eq!(all.fit(usize::MAX), tests);
            drop(tests.fit(1000));
        }
        Err(reason) => assert!(reason.chars().count() < 700, "{} bytes", reason.len()),
    }
});
