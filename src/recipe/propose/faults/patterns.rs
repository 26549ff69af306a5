//! Patterns of what runs write.

use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Matches of one pattern that are looked at.
const MATCHES_MOST: usize = 100;

/// Compiles a pattern of the rules, all of which are valid.
macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: std::sync::LazyLock<Option<regex::Regex>> =
            std::sync::LazyLock::new(|| regex::Regex::new($pattern).ok());
    };
}
pub(super) use pattern;

/// Returns the first group of all matches, without repetition.
pub fn all(pattern: &LazyLock<Option<Regex>>, text: &str) -> Vec<String> {
    let Some(pattern) = pattern.as_ref() else {
        return Vec::new();
    };
    let matches = pattern.captures_iter(text).take(MATCHES_MOST);
    let found: BTreeSet<String> = matches
        .filter_map(|found| Some(found.get(1)?.as_str().to_owned()))
        .collect();
    found.into_iter().collect()
}

pub fn is_match(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}
