//! States with a colour, a sign and a word.

use serde::Serialize;

/// A state on a page. The sign and the word repeat the meaning of the colour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Badge {
    /// The class that selects the colour in the style sheet, such as `s-pass`.
    pub class: &'static str,
    pub sign: &'static str,
    pub word: String,
}

pub fn badge(class: &'static str, sign: &'static str, word: impl Into<String>) -> Badge {
    Badge {
        class,
        sign,
        word: word.into(),
    }
}
