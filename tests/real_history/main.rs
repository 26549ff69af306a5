//! `pybots bisect` on real history: breaks of released projects, each by one commit of CPython between 2023 and 2026.
//!
//! `PYBOTS_CPYTHON_REPO` names a git repository of CPython with these commits on its branch `main`. They are named by the
//! numbers of their pull requests, so a copy that rewrote the history will do. Without the variable, only a small seeded history is
//! searched, and the tests of real ones print that they are skipped.
//!
//! ```text
//! PYBOTS_TEST_ENGINE=1 PYBOTS_CPYTHON_REPO=/path/to/cpython.git cargo nextest run --test real_history
//! ```

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::up::{clear, engine_wanted, pybots, settings, toy_repository};
use support::{copy_folder, cpython, here};

/// A break, and the ends between which it is looked for. Revisions are named by texts of their subjects.
struct Case {
    /// The name of the project and of its recipe.
    project: &'static str,
    good: &'static str,
    bad: &'static str,
    culprit: &'static str,
    arguments: &'static [&'static str],
    /// The day whose dependencies the search installs. `None` if it may also take those of today.
    as_of: Option<&'static str>,
    /// The suite before the culprit.
    before: Before,
    /// A module that the images on both sides of the culprit lack.
    lacks: Option<&'static str>,
    /// Whether nothing else in the range breaks the project.
    is_alone: bool,
}

/// How a suite ends before the culprit.
enum Before {
    Green,
    Red,
    /// Nobody has noted it.
    Either,
}

impl Case {
    /// Searches in a history of real CPython. Says that it is skipped if there is none.
    fn prove(&self) {
        if !engine_wanted() {
            return;
        }
        let Ok(repository) = std::env::var("PYBOTS_CPYTHON_REPO") else {
            println!(
                "SKIPPED: {} in the real history, for PYBOTS_CPYTHON_REPO names no repository of CPython",
                self.project
            );
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        std::os::unix::fs::symlink(&repository, place.join("cpython")).unwrap();
        settings(place, &place.join("projects"), &[("main", "main", 1)], "");
        copy_folder(&here().join("images"), &place.join("images"));
        std::fs::remove_file(place.join("images/toy.toml")).unwrap();
        cpython::make_quick(&place.join("images"));
        self.search(place);
    }

    /// Bisects in `folder/cpython`, and checks the answer: the culprit, and how the search came to it.
    fn search(&self, folder: &Path) -> Value {
        copy_folder(&here().join("tests/real_history/recipes"), &folder.join("projects"));
        let sha = |subject: &str| commit(&folder.join("cpython"), subject);
        let ends = [
            "bisect",
            self.project,
            "--json",
            "--good",
            &sha(self.good),
            "--bad",
            &sha(self.bad),
        ];
        let output = pybots(folder, &[&ends[..], self.arguments].concat());
        clear(folder);
        let log = String::from_utf8_lossy(&output.stderr);
        println!("{log}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no answer: {log}"));
        assert_eq!(found["culprit"], sha(self.culprit).as_str(), "{found:#}");
        if let Some(day) = self.as_of {
            assert_eq!(found["as_of"], day, "{found:#}");
        }
        self.check_ends(&found["ends"], [&sha(self.good), &sha(self.bad)]);
        if let Some(module) = self.lacks {
            let before = revision(&folder.join("cpython"), &format!("{}^", sha(self.culprit)));
            for side in [before, sha(self.culprit)] {
                let start = format!("{} has a degraded image: it can't import ", &side[..10]);
                let is_named = |line: &str| line.contains(&start) && line.contains(module);
                assert!(log.lines().any(is_named), "{side} has {module}: {log}");
            }
        }
        if self.is_alone {
            assert_eq!(found["others"], serde_json::json!([]), "{found:#}");
        }
        found
    }

    /// Checks that the search used the revisions that it was given, and that they end as they should.
    fn check_ends(&self, ends: &Value, asked: [&str; 2]) {
        for (end, asked) in [&ends[0], &ends[1]].into_iter().zip(asked) {
            assert_eq!(
                (&end["asked"], &end["revision"]),
                (&asked.into(), &asked.into()),
                "{ends:#}"
            );
        }
        let (good, bad) = (&ends[0], &ends[1]);
        assert_eq!(bad["outcome"], "failed", "{ends:#}");
        assert!(bad["error"].is_string(), "{ends:#}");
        match self.before {
            Before::Green => assert_eq!(
                (&good["outcome"], &good["error"]),
                (&"passed".into(), &Value::Null),
                "{ends:#}"
            ),
            Before::Red => {
                assert_eq!(good["outcome"], "failed", "{ends:#}");
                assert!(good["error"].is_string(), "{ends:#}");
            }
            Before::Either => {}
        }
    }
}

/// The one commit of `main` whose subject has a text.
fn commit(repository: &Path, subject: &str) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["log", "main", "--first-parent", "--format=%H %s"])
        .output()
        .unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = log.lines().filter(|line| line.contains(subject)).collect();
    let [one] = found[..] else {
        panic!("{} commits have {subject:?} in their subject", found.len())
    };
    one.split(' ').next().unwrap().to_owned()
}

/// The id of a revision.
fn revision(repository: &Path, name: &str) -> String {
    let mut git = Command::new("git");
    let output = git.arg("-C").arg(repository).args(["rev-parse", "--verify", name]);
    let output = output.output().unwrap();
    assert!(output.status.success(), "{name} is no revision");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// WebOb 1.8.7 imports cgi, which PEP 594 removed. Its tests are those of the release, with the tools of that day.
#[test]
fn webob_needs_a_module_that_was_removed() {
    Case {
        project: "webob",
        good: "(#104838)",
        bad: "(#104861)",
        culprit: "PEP 594: Remove cgi and cgitb modules (#104775)",
        arguments: &["--as-of", "2023-05-24"],
        as_of: Some("2023-05-24"),
        before: Before::Either,
        lacks: None,
        is_alone: true,
    }
    .prove();
}

/// typing_extensions 4.12.2 takes a name from typing as it is imported. All that depends on this release fails with it.
#[test]
fn typing_extensions_takes_a_name_that_was_removed() {
    Case {
        project: "typing-extensions",
        good: "(#140216)",
        bad: "(GH-139704)",
        culprit: "(#133602)",
        arguments: &[],
        as_of: None,
        before: Before::Green,
        lacks: None,
        is_alone: true,
    }
    .prove();
}

/// backoff 2.2.1 asks asyncio whether a function is a coroutine, each time it decorates one.
#[test]
fn backoff_calls_a_function_that_was_removed() {
    Case {
        project: "backoff",
        good: "(#149709)",
        bad: "(#149731)",
        culprit: "(#149601)",
        arguments: &[],
        as_of: None,
        before: Before::Green,
        lacks: None,
        is_alone: true,
    }
    .prove();
}

/// The stubs in mypy 1.15.0 lack what decimal got while `make install` forgot a module of bz2: the images on both sides of the
/// culprit are degraded.
#[test]
fn mypy_lacks_a_stub_across_a_degraded_stretch() {
    Case {
        project: "mypy",
        good: "(GH-133050)",
        bad: "(#128638)",
        culprit: "(#122003)",
        arguments: &[],
        as_of: None,
        before: Before::Green,
        lacks: Some("bz2"),
        is_alone: true,
    }
    .prove();
}

/// cmd2 2.5.11 makes help formatters of its own. Before the culprit 4 of its 991 tests fail, after it its test modules fail as they are imported.
#[test]
fn cmd2_breaks_in_a_suite_that_is_red_on_both_sides() {
    Case {
        project: "cmd2",
        good: "(GH-133292)",
        bad: "(GH-132864)",
        culprit: "(GH-132323)",
        arguments: &[],
        as_of: None,
        before: Before::Red,
        lacks: None,
        // what fails before the culprit may change within the range, too
        is_alone: false,
    }
    .prove();
}

/// The same search in a history of eight seeded revisions: a suite that is red on both sides, with one new failure, across images
/// that lack a module.
#[test]
fn a_seeded_history_is_searched_in_the_same_way() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let toy = std::fs::read_to_string(repository.path.join("Lib/toy.py")).unwrap();
    for number in 1..=8 {
        let text = if number < 5 {
            toy.clone()
        } else {
            toy.replace("42", "43")
        };
        repository.write("Lib/toy.py", &text);
        repository.write("Lib/quiet.py", &format!("number = {number}\n"));
        // a module is lost for a while, across the culprit
        match number {
            3 => repository.write("Lib/sqlite3/__init__.py", "raise ImportError('seeded')\n"),
            7 => std::fs::remove_dir_all(repository.path.join("Lib/sqlite3")).unwrap(),
            _ => {}
        }
        repository.commit(&format!("Seeded change {number} (#{number}00)"));
    }
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("main", "main", 1)],
        "",
    );
    let case = Case {
        project: "seeded",
        good: "(#100)",
        bad: "(#800)",
        culprit: "(#500)",
        arguments: &[],
        as_of: None,
        before: Before::Red,
        lacks: Some("sqlite3"),
        is_alone: true,
    };
    let found = case.search(folder.path());
    assert_eq!(
        found["tests"],
        serde_json::json!(["suite: suite.Toy.test_answer"]),
        "{found:#}"
    );
    assert_eq!(found["as_of"], Value::Null, "it has no dependencies: {found:#}");
}
