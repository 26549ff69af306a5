//! What one log says that another does not, but for what is different each time anyway: times, addresses, hashes,
//! temporary places, the order of lines.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Lines of a difference that are told.
const TOLD: usize = 40;
/// Characters of each.
const LINE: usize = 400;

/// Lines that only one of two logs has, each once, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogDifference {
    pub lines: Vec<String>,
    /// Lines that are not told.
    pub more: usize,
}

/// What `bad` says and `good` does not.
pub fn log_difference(good: &str, bad: &str) -> LogDifference {
    let known: BTreeSet<String> = good.lines().map(normal).collect();
    let mut seen = BTreeSet::new();
    let mut difference = LogDifference::default();
    for line in bad.lines() {
        let normal = normal(line);
        if normal.is_empty() || is_progress(&normal) || known.contains(&normal) || !seen.insert(normal) {
            continue;
        }
        if difference.lines.len() < TOLD {
            difference
                .lines
                .push(plain(line).trim_end().chars().take(LINE).collect());
        } else {
            difference.more += 1;
        }
    }
    difference
}

/// What a line of an error says wherever and whenever it is said; None: nothing.
pub fn signature(line: &str) -> Option<String> {
    let normal: String = normal(line).chars().take(LINE).collect();
    (!normal.is_empty()).then_some(normal)
}

/// Of the lines of a failure the one that most likely says what failed: the first that speaks of an error.
pub fn first_error(lines: &[String]) -> Option<&str> {
    const SIGNS: [&str; 5] = ["Error", "error:", "Fatal ", "Exception", "Segmentation fault"];
    let speaks = |line: &&String| SIGNS.iter().any(|sign| line.contains(sign));
    lines.iter().find(speaks).or(lines.first()).map(String::as_str)
}

/// What is different each time, and what stands for it.
static VARIES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let all = [
        (
            r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?",
            "<date>",
        ),
        (r"\b\d{1,2}:\d\d(:\d\d)?([.,]\d+)?\b", "<time>"),
        (
            r"\b\d+([.,]\d+)?\s?(ns|us|µs|ms|s|secs?|seconds?|min|minutes?)\b",
            "<time>",
        ),
        (r"0x[0-9a-fA-F]{4,}", "<address>"),
        (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"/tmp/[\w./+-]+", "<temporary>"),
        (r"\b(line|pid|process) \d+\b", "$1 <number>"),
        (r"(\.py):\d+\b", "$1:<number>"),
        (r"\[\s*\d+%\]", ""),
    ];
    all.into_iter()
        .filter_map(|(pattern, instead)| Some((Regex::new(pattern).ok()?, instead)))
        .collect()
});

/// A hash, or a part of one: a check-in is told by its first ten characters.
static HASH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b[0-9a-f]{7,64}\b").ok());

/// Colours and other words to a terminal.
static ESCAPE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)").ok());

fn plain(line: &str) -> String {
    let text = match ESCAPE.as_ref() {
        Some(escape) => escape.replace_all(line, ""),
        None => Cow::Borrowed(line),
    };
    text.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

fn normal(line: &str) -> String {
    let mut text = plain(line);
    for (pattern, instead) in VARIES.iter() {
        if let Cow::Owned(replaced) = pattern.replace_all(&text, *instead) {
            text = replaced;
        }
    }
    if let Some(hash) = HASH.as_ref() {
        // some words have such letters only
        let is_hash = |word: &str| word.contains(|c: char| c.is_ascii_digit());
        let instead = |found: &Captures| if is_hash(&found[0]) { "<id>" } else { &found[0] }.to_owned();
        text = hash.replace_all(&text, instead).into_owned();
    }
    text.trim().to_owned()
}

/// A row of dots with letters in it.
fn is_progress(line: &str) -> bool {
    line.len() >= 5 && line.chars().all(|c| ".sxXFEufR ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(VARIES.len(), 9);
        assert!(ESCAPE.is_some() && HASH.is_some());
    }

    #[test]
    fn an_error_is_known_again() {
        let lines = [
            "Traceback (most recent call last):",
            "x.py:12",
            "E   TypeError: <T at 0x7f00aa> is no",
        ];
        let lines = lines.map(str::to_owned);
        let error = first_error(&lines).unwrap();
        assert_eq!(error, lines[2]);
        assert_eq!(signature(error).unwrap(), "E   TypeError: <T at <address>> is no");
        assert_eq!(first_error(&["it is".to_owned()]), Some("it is"));
        assert_eq!((first_error(&[]), signature("  ")), (None, None));
    }

    #[test]
    fn a_hash_is_no_news_wherever_its_digits_are() {
        for hash in ["20a0d3361f", "aafbf9f180", "abcdef1", "1234567", "abcdefabc9abcdefabc"] {
            assert_eq!(normal(&format!("on {hash} (trunk)")), "on <id> (trunk)");
        }
        assert_eq!(normal("effaced, defaced 123456"), "effaced, defaced 123456");
    }

    #[test]
    fn only_what_is_new_is_told() {
        let good = "started 2026-11-23 04:42:19\nok in 1.23s\n.......s.. [ 40%]\n<T object at 0x7f00aa11bb22>\n\
                    b\na\n/tmp/pytest-of-x/pytest-1/y: fine\nFile \"x.py\", line 12\n";
        let bad = "started 2026-11-24 04:42:20\n\u{1b}[31mok\u{1b}[0m in 99.1s\n...F...s.. [ 41%]\n\
                   <T object at 0x7f00aa11bb99>\na\nb\n/tmp/pytest-of-x/pytest-2/y: fine\nFile \"x.py\", line 13\n\
                   \u{1b}[31mE   TypeError: no\u{1b}[0m\nE   TypeError: no\ncommit 1f2e3d4c5b6a7\n";
        let difference = log_difference(good, bad);
        assert_eq!(difference.lines, ["E   TypeError: no", "commit 1f2e3d4c5b6a7"]);
        assert_eq!(difference.more, 0);
        let many: String = (0..100).map(|number| format!("word{}\n", "x".repeat(number))).collect();
        let difference = log_difference("", &many);
        assert_eq!((difference.lines.len(), difference.more), (40, 60));
    }
}
