//! Patterns of texts, compiled once.

use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A compiled pattern. It is `None`, and matches nothing, if the pattern is not valid.
pub type Pattern = LazyLock<Option<Regex>>;

/// The most matches of one pattern that [`all`] returns.
const MATCHES_MOST: usize = 100;

/// Defines a static [`Pattern`]: `pattern!(NAME, r"..")`.
macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: $crate::domain::pattern::Pattern =
            $crate::domain::pattern::Pattern::new(|| regex::Regex::new($pattern).ok());
    };
}
pub(crate) use pattern;

/// Returns the first group of the first match, or `None` if there is no match or no such group.
pub fn first<'a>(pattern: &Pattern, text: &'a str) -> Option<&'a str> {
    let found = pattern.as_ref()?.captures(text)?;
    Some(found.get(1)?.as_str())
}

/// Returns the first group of each of the first 100 matches, sorted and without repetition.
pub fn all(pattern: &Pattern, text: &str) -> Vec<String> {
    let Some(pattern) = pattern.as_ref() else {
        return Vec::new();
    };
    let matches = pattern.captures_iter(text).take(MATCHES_MOST);
    let found: BTreeSet<String> = matches
        .filter_map(|found| Some(found.get(1)?.as_str().to_owned()))
        .collect();
    found.into_iter().collect()
}

pub fn is_match(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}
