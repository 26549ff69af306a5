//! Any text as an entry of another registry: a recipe that is made of it passes the check.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pybots_fuzz::recipe::import::{Imported, laruche};

fuzz_target!(|data: &[u8]| {
    let Ok(entry) = std::str::from_utf8(data) else { return };
    match laruche::import("entry", entry) {
        Imported::Recipe { name, text, .. } => {
            let checked = pybots_fuzz::recipe::check(&format!("{name}.toml"), &text);
            assert!(checked.problems.is_empty(), "{}", checked.plain());
        }
        Imported::Nothing { name, reason } => {
            assert!(name.len() + reason.len() < 1 << 14, "a reason of {} bytes", reason.len());
        }
    }
});
