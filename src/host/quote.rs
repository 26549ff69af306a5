//! Quotes words for a shell.

/// Returns the word as one argument in a line for `sh`.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
