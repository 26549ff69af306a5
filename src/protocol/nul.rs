//! NUL characters in JSON. Not all databases can store them in text, so the coordinator refuses them and hosts replace
//! them.

/// The only way to write a NUL character in JSON.
const NUL: &[u8] = b"\\u0000";
/// The replacement character, whose escape is as long.
const REPLACEMENT: &[u8] = b"\\ufffd";

/// Returns whether a text or a key in a JSON document has a NUL character.
pub fn has_nul(json: &[u8]) -> bool {
    positions(json).next().is_some()
}

/// Returns the document with the replacement character in the place of each NUL.
pub fn without_nul(mut json: Vec<u8>) -> Vec<u8> {
    let found: Vec<usize> = positions(&json).collect();
    for at in found {
        json[at..at + NUL.len()].copy_from_slice(REPLACEMENT);
    }
    json
}

/// Returns the positions of escaped NULs. Skips escaped backslashes, so `\\u0000` does not count.
fn positions(json: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(at) = json[from..].iter().position(|byte| *byte == b'\\').map(|at| from + at) {
            from = json.len().min(at + 2);
            if json[at..].starts_with(NUL) {
                return Some(at);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_slice, to_vec};

    #[test]
    fn escapes_of_nul_are_found_and_replaced() {
        for (text, replaced) in [
            ("", ""),
            ("plain", "plain"),
            ("\0", "\u{fffd}"),
            ("a\0b\0", "a\u{fffd}b\u{fffd}"),
            // these only look like one
            ("\\u0000", "\\u0000"),
            ("\\\\u0000", "\\\\u0000"),
            ("\\\0", "\\\u{fffd}"),
            ("\u{1}0000", "\u{1}0000"),
        ] {
            let json = to_vec(&[text]).unwrap();
            assert_eq!(has_nul(&json), text.contains('\0'), "{text:?}");
            let replaced_by_us: Vec<String> = from_slice(&without_nul(json)).unwrap();
            assert_eq!(replaced_by_us, [replaced], "{text:?}");
        }
        assert!(has_nul(br#"{"\u0000": 1}"#));
        assert!(!has_nul(b"\\") && !has_nul(b"\\u00"));
    }
}
