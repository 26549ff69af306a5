//! Incomplete characters, and the characters that begin or end a sequence.

use std::borrow::Cow;

/// CAN, the control character that cancels an unfinished sequence.
pub const CANCEL: &[u8] = b"\x18";

/// Returns the number of bytes before an incomplete character at the end. Bytes that can't become a character count as
/// complete.
pub fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let lead = bytes[tail..].iter().rposition(|byte| *byte >= 0xc0);
    match lead.map(|at| tail + at) {
        Some(at) if std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none()) => at,
        _ => bytes.len(),
    }
}

/// Replaces the 8-bit forms of the characters that begin and end sequences by the 7-bit forms. The parser supports only
/// these.
pub fn seven_bit(text: &str) -> Cow<'_, str> {
    let is_eight_bit = |c: char| matches!(c, '\u{90}' | '\u{98}' | '\u{9b}'..='\u{9f}');
    if !text.contains(is_eight_bit) {
        return text.into();
    }
    let mut seven = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match u8::try_from(u32::from(c)) {
            Ok(byte) if is_eight_bit(c) => {
                seven.push('\u{1b}');
                seven.push(char::from(byte - 0x40));
            }
            _ => seven.push(c),
        }
    }
    seven.into()
}
