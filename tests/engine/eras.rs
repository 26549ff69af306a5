//! Old lines of CPython, really built: `make eras` on what there is of them.

use crate::support::here;
use crate::support::up::engine_wanted;
use std::process::{Command, Output, Stdio};

/// Runs the program on refs of a repository; none: on all eras.
fn eras(repository: &str, references: &[&str]) -> Output {
    let data = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO"))
        .current_dir(here())
        .args(["run", "--quiet", "--example", "eras", "--"])
        .args(references)
        .env("PYBOTS_CPYTHON_REPO", repository)
        .env("PYBOTS_DATA", data.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap()
}

fn has_branch(repository: &str, name: &str) -> bool {
    let reference = format!("refs/heads/{name}");
    let mut git = Command::new("git");
    git.args(["--git-dir", repository, "rev-parse", "--quiet", "--verify", &reference]);
    git.output().unwrap().status.success()
}

#[test]
fn the_last_python_2_is_built_and_every_gap_of_it_is_known() {
    if !engine_wanted() {
        return;
    }
    let Ok(repository) = std::env::var("PYBOTS_TEST_CPYTHON") else {
        println!("SKIPPED: Python 2.7, for PYBOTS_TEST_CPYTHON names no git repository of CPython");
        return;
    };
    if !has_branch(&repository, "2.7") {
        println!("SKIPPED: Python 2.7, for the repository that PYBOTS_TEST_CPYTHON names has no branch 2.7");
        return;
    }
    let output = eras(&repository, &["2.7", "1.4"]);
    let table = String::from_utf8(output.stdout).unwrap();
    println!("{table}");
    assert!(table.contains("| `2.7` | 2.7.18 |"), "{table}");
    assert!(!table.contains("no recorded reason"), "{table}");
    // what is not there does not stop the rest, but is no success
    assert!(
        table.contains("| `1.4` | | | | can't be built: there is no such branch or tag"),
        "{table}"
    );
    assert!(!output.status.success());
}

#[test]
fn every_era_is_built() {
    if !engine_wanted() {
        return;
    }
    let Ok(repository) = std::env::var("PYBOTS_CPYTHON_REPO") else {
        println!("SKIPPED: the eras of CPython (about an hour), for PYBOTS_CPYTHON_REPO names no whole repository");
        return;
    };
    let output = eras(&repository, &[]);
    let table = String::from_utf8(output.stdout).unwrap();
    println!("{table}");
    assert!(output.status.success(), "{table}");
    assert!(!table.contains("no recorded reason"), "{table}");
}
