//! The layers of the crate, and other rules about where code goes, kept by reading it.

mod imports;
mod layers;
mod tokens;

use crate::support::here;
use imports::Crate;
use layers::{CIRCLES, LAYERS};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

static SOURCES: LazyLock<Crate> = LazyLock::new(|| {
    let sources = Crate::read(&here().join("src"));
    assert!(sources.files.len() > 150, "{} files", sources.files.len());
    sources
});

/// Whether a module is another one or within it: `store::jobs` is within `store`.
fn is_within(module: &str, other: &str) -> bool {
    let rest = module.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The layer of a module: the most exact entry that names it or a module around it.
fn layer_of(module: &str) -> Option<&'static str> {
    let names = LAYERS.iter().map(|layer| layer.module);
    names
        .filter(|name| is_within(module, name))
        .max_by_key(|name| name.len())
}

#[test]
fn modules_use_what_their_layer_may() {
    let mut breaches = BTreeSet::new();
    for (index, used) in SOURCES.uses().iter().enumerate() {
        let (module, file) = (SOURCES.module(index), SOURCES.name(index));
        if module.is_empty() {
            continue;
        }
        let Some(layer) = layer_of(&module) else {
            breaches.insert(format!("{file} is in no layer"));
            continue;
        };
        let may_use = LAYERS.iter().filter(|entry| entry.module == layer);
        let may_use: Vec<&str> = may_use.flat_map(|entry| entry.may_use).copied().collect();
        for target in used {
            let target_layer = layer_of(&SOURCES.module(*target)).unwrap_or_default();
            if target_layer != layer && !may_use.contains(&target_layer) {
                breaches.insert(format!("{file} uses {}, but {layer} may not", SOURCES.name(*target)));
            }
        }
    }
    assert_eq!(breaches, BTreeSet::new(), "see tests/fast/layout/layers.rs");
}

/// A layer that uses a higher one would make the order meaningless, whatever the list allows.
#[test]
fn layers_are_listed_from_the_lowest_up() {
    for (index, layer) in LAYERS.iter().enumerate() {
        assert!(!layer.reason.is_empty(), "{}", layer.module);
        for used in layer.may_use {
            let below = LAYERS[..index].iter().any(|lower| lower.module == *used);
            assert!(below, "{} uses {used}, which is not below it", layer.module);
        }
    }
}

/// For each file all that it leads to.
fn reachable(uses: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let from = |start: usize| {
        let (mut found, mut left) = (BTreeSet::new(), vec![start]);
        while let Some(file) = left.pop() {
            left.extend(uses[file].iter().copied().filter(|next| found.insert(*next)));
        }
        found
    };
    (0..uses.len()).map(from).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let reachable = reachable(&SOURCES.uses());
    let mut circles: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (index, others) in reachable.iter().enumerate() {
        if others.contains(&index) {
            let circle = others.iter().filter(|other| reachable[**other].contains(&index));
            let first = circle.clone().min().copied().unwrap_or(index);
            circles.insert(first, circle.map(|file| SOURCES.name(*file)).collect());
        }
    }
    let circles: BTreeSet<BTreeSet<String>> = circles.into_values().collect();
    let explained = CIRCLES
        .iter()
        .map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect());
    assert_eq!(
        circles,
        explained.collect(),
        "left: the circles that are there; right: those of tests/fast/layout/layers.rs"
    );
}

/// Lines of code that hold one of the words in a file that may not.
fn breaches(words: &[&str], may: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in SOURCES.files.iter().filter(|file| !may(&file.path)) {
        let code = file.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| words.iter().any(|word| line.contains(word))) {
            breaches.push(format!("{}: {line}", file.path.display()));
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

/// Strangers wrote much of what commands print, and a terminal obeys what it reads.
#[test]
fn commands_print_through_one_module() {
    let may = ["cli/output.rs", "cli/logs/print.rs", "cli/local/terminal.rs"];
    let words = [
        "print!(",
        "println!(",
        "stdout().write",
        "stderr().write",
        "io::stdout()\n",
    ];
    assert_eq!(
        breaches(&words, |path| !path.starts_with("cli")
            || may.iter().any(|may| path.ends_with(may))),
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

/// What touches the world outside of the process, or asks for the time or for randomness.
const IMPURE: [&str; 15] = [
    "tokio::",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "async fn",
    "reqwest",
    "getrandom",
    "now_ms",
    "Clock",
    "Timestamp::now",
    "Instant::now",
    "SystemTime::now",
    "now_v7",
    "new_v4",
];

#[test]
fn pure_modules_do_no_io_and_read_no_clock() {
    let pure = LAYERS.iter().filter(|layer| layer.is_pure).map(|layer| layer.module);
    let pure: BTreeSet<&str> = pure.collect();
    for index in 0..SOURCES.files.len() {
        let module = SOURCES.module(index);
        if layer_of(&module).is_some_and(|layer| pure.contains(layer)) {
            let path = &SOURCES.files[index].path;
            assert_eq!(breaches(&IMPURE, |other| other != path), Vec::<String>::new());
        }
    }
}

#[test]
fn attempts_end_in_one_place() {
    let may = |path: &Path| path.starts_with("queue") || path.starts_with("store");
    assert_eq!(breaches(&["end_attempt(", "release_job("], may), Vec::<String>::new());
}

#[test]
fn files_stay_small() {
    let large: Vec<String> = SOURCES
        .files
        .iter()
        .filter(|file| file.text.lines().count() > 400)
        .map(|file| format!("{}: {} lines", file.path.display(), file.text.lines().count()))
        .collect();
    assert_eq!(large, Vec::<String>::new());
}
