//! Finds the lines that one log has and another does not. Times, addresses, hashes, temporary folders and the order of
//! lines are ignored, because they differ between any two runs.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The most lines of a difference that are kept.
const MAX_LINES: usize = 40;
/// The most characters of a line that are kept.
const MAX_LINE_LENGTH: usize = 400;

/// The lines of a failing run's log that the log of a passing run lacks, each once, in the order of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogDifference {
    pub lines: Vec<String>,
    /// The number of further lines, which are left out.
    pub more: usize,
}

/// Returns the lines that are in `bad` and not in `good`. Lines that only show the progress of tests are left out.
pub fn log_difference(good: &str, bad: &str) -> LogDifference {
    let in_good: BTreeSet<String> = good.lines().map(normal).collect();
    let mut seen = BTreeSet::new();
    let mut difference = LogDifference::default();
    for line in bad.lines() {
        let normal = normal(line);
        if normal.is_empty() || is_progress(&normal) || in_good.contains(&normal) || !seen.insert(normal) {
            continue;
        }
        if difference.lines.len() < MAX_LINES {
            difference
                .lines
                .push(plain(line).trim_end().chars().take(MAX_LINE_LENGTH).collect());
        } else {
            difference.more += 1;
        }
    }
    difference
}

/// Returns a line of an error without the parts that vary between runs and machines, or `None` if nothing remains.
pub fn signature(line: &str) -> Option<String> {
    let normal: String = normal(line).chars().take(MAX_LINE_LENGTH).collect();
    (!normal.is_empty()).then_some(normal)
}

/// Returns whether an error of this signature may show in any test, as a warning of a leak does. An assertion of a
/// test, or the way in which it ended, is about that test. If another test has the same one, it has another reason.
pub fn may_wander(signature: &str) -> bool {
    const ABOUT_THE_TEST: [&str; 7] = [
        "assert",
        "AssertionError",
        "Failed",
        "it did not end",
        "it passes",
        "contains ",
        "E ",
    ];
    let error = ["failed on setup: ", "failed on teardown: "]
        .iter()
        .find_map(|prefix| signature.strip_prefix(prefix))
        .unwrap_or(signature);
    let (kind, text) = error.split_once(": ").unwrap_or((error, ""));
    text.len() >= 8 && !kind.contains(' ') && !ABOUT_THE_TEST.iter().any(|begin| error.starts_with(begin))
}

/// Returns the line of a failure that most likely names its cause: the first line that mentions an error, or else the
/// first line. Returns `None` if there are no lines.
pub fn first_error(lines: &[String]) -> Option<&str> {
    const SIGNS: [&str; 5] = ["Error", "error:", "Fatal ", "Exception", "Segmentation fault"];
    let mentions_error = |line: &&String| SIGNS.iter().any(|sign| line.contains(sign));
    lines.iter().find(mentions_error).or(lines.first()).map(String::as_str)
}

/// Patterns of text that varies between runs, each with the text that replaces it.
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

/// A hash or its beginning: revisions are often shown by their first ten characters.
static HASH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b[0-9a-f]{7,64}\b").ok());

/// Colours and other escape sequences of terminals.
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
        // Some words consist of the letters a to f only.
        let is_hash = |word: &str| word.contains(|c: char| c.is_ascii_digit());
        let instead = |found: &Captures| if is_hash(&found[0]) { "<id>" } else { &found[0] }.to_owned();
        text = hash.replace_all(&text, instead).into_owned();
    }
    text.trim().to_owned()
}

/// Returns whether a line is the progress that a test runner prints, such as `..s..F.`.
fn is_progress(line: &str) -> bool {
    line.len() >= 5 && line.chars().all(|c| ".sxXFEufR ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(VARIES.len(), 9);
        assert!(ESCAPE.is_some() && HASH.is_some());
    }

    #[test]
    fn only_errors_that_say_what_happened_may_wander() {
        for error in [
            "ResourceWarning: unclosed file <_io.FileIO at <address>>",
            "pytest.PytestUnraisableExceptionWarning: Exception ignored in <function f>",
            "failed on teardown: ResourceWarning: unclosed socket",
        ] {
            assert!(may_wander(error), "{error}");
        }
        for error in [
            "AssertionError: False is not true",
            "assert 1 == 2",
            "it did not end: crashed (SIGSEGV)",
            "KeyError: 'a'",
            "ValueError",
            "contains 1 failed subtest",
        ] {
            assert!(!may_wander(error), "{error}");
        }
    }

    #[test]
    fn the_signature_of_an_error_does_not_vary() {
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
    fn hashes_are_ignored_wherever_their_digits_are() {
        for hash in ["20a0d3361f", "aafbf9f180", "abcdef1", "1234567", "abcdefabc9abcdefabc"] {
            assert_eq!(normal(&format!("on {hash} (trunk)")), "on <id> (trunk)");
        }
        assert_eq!(normal("effaced, defaced 123456"), "effaced, defaced 123456");
    }

    #[test]
    fn only_new_lines_are_reported() {
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
