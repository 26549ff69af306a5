//! Text from other people's code that pages and terminals show: names of tests, messages of failures, authors,
//! subjects.

/// How many characters of such a text are shown.
pub const SHOWN: usize = 500;

/// Returns whether a character could control a terminal, or change the order in which the following text is shown.
pub fn is_odd(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders
}

/// Returns whether a character is invisible, so that the text is not what people read. Scripts and emoji need the two
/// joiners and the first 16 variation selectors, so these do not count. The other 240 variation selectors do: they can
/// hide any text.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e01ef}'
    )
}

/// Returns the text as one line of [`SHOWN`] characters at most, with `?` for each character that [`is_odd`].
pub fn plain(text: &str) -> String {
    let shown = text.chars().map(|c| if is_odd(c) { '?' } else { c });
    shown.take(SHOWN).collect()
}

/// Returns the name of a person in `NAME <ADDRESS>`, without the mail address.
pub fn name_of(person: &str) -> &str {
    person.split(" <").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_controls_a_terminal() {
        assert_eq!(
            plain("fix \u{1b}]52;c;x\u{7}\n\u{9b}2J \u{202e}abc"),
            "fix ?]52;c;x???2J ?abc"
        );
        assert_eq!(plain("naïve tést ✓"), "naïve tést ✓");
        assert_eq!(plain(&"x".repeat(1000)).len(), SHOWN);
    }
}
