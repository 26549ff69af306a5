//! Text of strangers on its way to people: names of tests, words of failures, authors, subjects.

/// Characters of a name or a message that are kept.
pub const SHOWN: usize = 500;

/// Whether it could speak to a terminal, or show what follows in another order than it has.
pub fn is_odd(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// One line for people: what is odd in it becomes `?`, and what is too long is cut.
pub fn plain(text: &str) -> String {
    let told = text.chars().map(|c| if is_odd(c) { '?' } else { c });
    told.take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_speaks_to_a_terminal() {
        assert_eq!(
            plain("fix \u{1b}]52;c;x\u{7}\n\u{9b}2J \u{202e}abc"),
            "fix ?]52;c;x???2J ?abc"
        );
        assert_eq!(plain("naïve tést ✓"), "naïve tést ✓");
        assert_eq!(plain(&"x".repeat(1000)).len(), SHOWN);
    }
}
