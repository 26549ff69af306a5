//! Reads the output of our recorders for pytest, unittest and trial, which write while tests run (`pybots_results.py`).
//! It is JSON, one object a line, in a file for each session of a runner.

use super::names::short;
use super::{Collector, TestResult};
use crate::domain::results::Tests;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The most bytes of a line. A longer one is left out.
const LINE_MOST: usize = 256 << 10;
/// The most sessions that are kept.
const SESSIONS_MOST: usize = 200;
/// The most tests of a session that may be under way at once.
const UNDER_WAY_MOST: usize = 1000;

/// Everything that the recorders of one suite wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub tests: Tests,
    pub sessions: Vec<RunnerSession>,
    /// Tests that had begun and not ended when their session broke off, named as in `tests`.
    pub under_way: Vec<String>,
}

/// One start of a test runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSession {
    /// `pytest`, `unittest` or `trial`.
    pub runner: String,
    /// The `sys.version` of its Python, on one line.
    pub python: String,
    /// Whether the runner came to its end. A runner that crashes, is killed or calls `os._exit` does not.
    pub has_ended: bool,
}

impl Recorded {
    /// Returns the `sys.version` of each Python that ran tests.
    pub fn pythons(&self) -> BTreeSet<String> {
        self.sessions.iter().map(|session| session.python.clone()).collect()
    }

    /// Returns the first session that broke off.
    pub fn broken_off(&self) -> Option<&RunnerSession> {
        self.sessions.iter().find(|session| !session.has_ended)
    }
}

/// A line of a file. Exactly one of `begin`, `run`, `test` and `end` is there; others are ignored.
#[derive(Deserialize)]
struct Line {
    begin: Option<String>,
    #[serde(default)]
    python: String,
    run: Option<String>,
    test: Option<String>,
    #[serde(default)]
    result: String,
    #[serde(default)]
    message: String,
    end: Option<i64>,
    #[serde(default)]
    cut: bool,
}

/// Returns the results in the files, or `None` if no session began. `is_cut` says that the recorders wrote more. Then a
/// session whose end may be in the rest counts as ended.
pub fn read(suite: &str, files: &[Vec<u8>], is_cut: bool) -> Option<Recorded> {
    let mut tests = Collector {
        cut: is_cut,
        ..Collector::default()
    };
    let mut sessions = Vec::new();
    let mut under_way = Vec::new();
    for file in files {
        let Some((session, left)) = read_file(file, &mut tests) else {
            continue;
        };
        if !session.has_ended && !is_cut {
            under_way.extend(left.into_iter().map(|name| format!("{suite}: {name}")));
        }
        if sessions.len() < SESSIONS_MOST || !session.has_ended {
            sessions.push(RunnerSession {
                has_ended: session.has_ended || is_cut,
                ..session
            });
        }
    }
    (!sessions.is_empty()).then(|| Recorded {
        tests: tests.of_suite(suite),
        sessions,
        under_way,
    })
}

/// Reads a file. Returns its session and the tests that are under way at its end.
fn read_file(file: &[u8], tests: &mut Collector) -> Option<(RunnerSession, BTreeSet<String>)> {
    let mut session: Option<RunnerSession> = None;
    let mut under_way = BTreeSet::new();
    let lines = file.split(|byte| *byte == b'\n').filter(|line| line.len() <= LINE_MOST);
    for line in lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()) {
        if let Some(runner) = line.begin {
            let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(300).collect();
            session.get_or_insert(RunnerSession {
                runner: plain(&runner),
                python: plain(&line.python),
                has_ended: false,
            });
        } else if let Some(name) = line.run {
            if under_way.len() < UNDER_WAY_MOST {
                under_way.insert(short(&name));
            }
        } else if let Some(name) = line.test {
            let name = short(&name);
            under_way.remove(&name);
            match line.result.as_str() {
                "passed" => tests.add(name, TestResult::Passed),
                "skipped" => tests.add(name, TestResult::Skipped),
                "failed" => tests.add(name, TestResult::Failed(line.message)),
                _ => {}
            }
        } else if line.end.is_some() {
            if let Some(session) = &mut session {
                session.has_ended = true;
            }
        } else if line.cut {
            tests.cut = true;
        }
    }
    session.map(|session| (session, under_way))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::Failure;

    const BEGIN: &str = r#"{"begin": "pytest", "python": "3.14.0 (main)"}"#;

    fn files(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn sessions_are_merged() {
        let first = format!(
            "{BEGIN}\n{}\n{}\n{}\n{}\n",
            r#"{"run": "t.a"}"#,
            r#"{"test": "t.a", "result": "passed"}"#,
            r#"{"test": "t.a[x\ny]", "result": "failed", "message": "\nassert 1\nmore"}"#,
            r#"{"end": 1}"#
        );
        let second = format!(
            "{BEGIN}\n{}\n{}\n",
            r#"{"test": "u.b", "result": "skipped"}"#, r#"{"end": 0}"#
        );
        let found = read("unit", &files(&[&first, &second]), false).unwrap();
        assert_eq!(found.tests.passed, ["unit: t.a"]);
        assert_eq!(found.tests.failed, [Failure::of("unit: t.a[x\\ny]", "assert 1")]);
        assert_eq!(found.tests.skipped, ["unit: u.b"]);
        assert_eq!(found.sessions.len(), 2);
        assert_eq!((found.broken_off(), found.under_way.len()), (None, 0));
    }

    #[test]
    fn a_session_that_broke_off_names_what_was_under_way() {
        let file = format!(
            "{BEGIN}\n{}\n{}\n{}\n{{\"test\": \"t.b\", \"resu",
            r#"{"run": "t.a"}"#, r#"{"test": "t.a", "result": "passed"}"#, r#"{"run": "t.b"}"#
        );
        let found = read("unit", &files(&[&file]), false).unwrap();
        assert_eq!(found.under_way, ["unit: t.b"]);
        assert_eq!(found.tests.passed, ["unit: t.a"]);
        let session = found.broken_off().unwrap();
        assert_eq!(
            (session.runner.as_str(), session.python.as_str()),
            ("pytest", "3.14.0 (main)")
        );
        // the part that was not read may hold the end
        let cut = read("unit", &files(&[&file]), true).unwrap();
        assert_eq!((cut.broken_off(), cut.under_way.len(), cut.tests.cut), (None, 0, true));
    }

    #[test]
    fn anything_else_is_no_session() {
        assert_eq!(read("unit", &[], false), None);
        let texts = ["", "junk\n[1]\n{}\nnull\n", r#"{"test": "a", "result": "passed"}"#];
        assert_eq!(read("unit", &files(&texts), false), None);
        let long = format!(
            "{BEGIN}\n{{\"test\": \"{}\", \"result\": \"passed\"}}\n",
            "x".repeat(LINE_MOST)
        );
        assert_eq!(read("unit", &files(&[&long]), false).unwrap().tests.total(), 0);
    }
}
