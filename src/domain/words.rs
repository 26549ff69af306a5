//! The words by which people find revisions and incidents.

/// The most words of a text that are kept.
const WORDS_MOST: usize = 60;

/// The fewest and the most characters of a word.
const SHORTEST: usize = 2;
const LONGEST: usize = 40;

/// Returns the words of a text in lower case, each once, in the order of the text. Everything but letters and digits
/// separates words, so `test_argparse.py` has three.
pub fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        let word: String = word.to_lowercase().chars().take(LONGEST).collect();
        if word.chars().nth(SHORTEST - 1).is_some() && !words.contains(&word) {
            words.push(word);
        }
        if words.len() == WORDS_MOST {
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_words_in_lower_case() {
        assert_eq!(
            words("gh-12345: Fix test_argparse.py, a Łukasz fix"),
            ["gh", "12345", "fix", "test", "argparse", "py", "łukasz"]
        );
        assert_eq!(words(" - a . "), [""; 0]);
        let many: String = (0..999).map(|number| format!("w{number} ")).collect();
        assert_eq!(words(&many).len(), WORDS_MOST);
        assert_eq!(words(&"x".repeat(99))[0].len(), LONGEST);
    }
}
