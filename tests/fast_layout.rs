//! The rules about where code goes, kept by looking at it.

mod common;

use common::here;
use std::path::{Path, PathBuf};

/// Every Rust file of `src`: its path from there, and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = here().join("src");
    let mut left = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

/// Files that hold one of the words in code, though they are not among those that may.
fn breaches(words: &[&str], may: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| words.iter().any(|word| line.contains(word))) {
            if !may(&path) {
                breaches.push(format!("{}: {line}", path.display()));
            }
        }
    }
    breaches
}

#[test]
fn sql_is_in_the_store_only() {
    assert_eq!(
        breaches(&["sqlx::"], |path| path.starts_with("store")),
        Vec::<String>::new()
    );
}

#[test]
fn bollard_is_behind_the_contract_only() {
    assert_eq!(
        breaches(&["bollard::"], |path| path.starts_with("runtime/docker")),
        Vec::<String>::new()
    );
}

#[test]
fn rules_do_no_io() {
    let io = [
        "tokio::",
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "clock::",
        "async fn",
        "reqwest",
    ];
    let pure = ["domain", "plan", "verdict"];
    let others = |path: &Path| !pure.iter().any(|folder| path.starts_with(folder));
    assert_eq!(breaches(&io, others), Vec::<String>::new());
}

#[test]
fn attempts_end_in_one_place() {
    let may = |path: &Path| path.starts_with("queue") || path.starts_with("store");
    assert_eq!(breaches(&["end_attempt(", "release_job("], may), Vec::<String>::new());
}

#[test]
fn files_stay_small() {
    let large: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > 400)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert_eq!(large, Vec::<String>::new());
}
