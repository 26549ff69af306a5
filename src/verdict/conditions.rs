//! Finds the differences between two runs besides CPython.

use super::locks::versions;
use std::collections::{BTreeMap, BTreeSet};

/// The conditions of one run, besides CPython.
#[derive(Clone, Copy, Debug)]
pub struct RunConditions<'a> {
    /// The name of its host.
    pub host: &'a str,
    /// The content ids of the images that the run used, by their kinds. See [`crate::domain::job::Report::images`].
    pub images: &'a BTreeMap<String, String>,
    /// The lock that the run installed, as JSON.
    pub lock: Option<&'a str>,
}

/// The kinds of images that are compared. Images of other kinds hold CPython, and differ between any two revisions.
const COMPARED: [&str; 3] = ["toolchain", "runtime", "base"];

/// The most lines of a comparison. Locks come from hosts, and may have any number of packages.
const LINES_MOST: usize = 20;

/// The number of characters of a content id that people need to compare.
const ID_SHOWN: usize = 19;

/// Returns the differences between two runs besides CPython, a line for each condition. A condition that only one of
/// the runs reports is no difference.
pub fn differing_conditions(good: RunConditions<'_>, bad: RunConditions<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, good: &str, bad: &str| {
        if good != bad {
            lines.push(format!("{what}: {good} in the passing run, {bad} in the failing one"));
        }
    };
    for kind in COMPARED {
        if let (Some(good), Some(bad)) = (good.images.get(kind), bad.images.get(kind)) {
            compare(&format!("{kind} image"), short(good), short(bad));
        }
    }
    compare("host", good.host, bad.host);
    if let (Some(good), Some(bad)) = (good.lock, bad.lock) {
        for change in version_changes(good, bad) {
            let shown = |version: Option<String>| version.unwrap_or_else(|| "none".to_owned());
            compare(&change.name, &shown(change.from), &shown(change.to));
        }
    }
    if lines.len() > LINES_MOST {
        let more = lines.len() - LINES_MOST;
        lines.truncate(LINES_MOST);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn short(id: &str) -> &str {
    id.get(..ID_SHOWN).unwrap_or(id)
}

/// A package, or a source, whose version differs between two locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionChange {
    pub name: String,
    /// The version in the first lock, or `None` if that does not have the package.
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Returns the versions that differ between two locks (JSON), by name: of the project, its dependencies, and the
/// sources beside it. Packages that only builds use are left out. If a lock can't be parsed, nothing differs.
pub fn version_changes(from: &str, to: &str) -> Vec<VersionChange> {
    let (Some(from), Some(to)) = (versions(from), versions(to)) else {
        return Vec::new();
    };
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let changes = names.into_iter().filter_map(|name| {
        let (from, to) = (from.get(name).cloned(), to.get(name).cloned());
        (from != to).then(|| VersionChange {
            name: name.clone(),
            from,
            to,
        })
    });
    changes.collect()
}

/// Versions that a sentence names.
const NAMED_MOST: usize = 5;

/// Returns changes of versions as a part of a sentence: `foo 1.0 -> 2.0, bar none -> 1.1`. Of many, it names the first ones, and says
/// how many there are besides.
pub fn describe_changes(changes: &[VersionChange]) -> String {
    let shown = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
    let named = changes
        .iter()
        .take(NAMED_MOST)
        .map(|change| format!("{} {} -> {}", change.name, shown(&change.from), shown(&change.to)));
    let more = changes.len().saturating_sub(NAMED_MOST);
    let more = (more > 0).then(|| format!("and {more} more"));
    named.chain(more).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(project: &str, dependency: &str) -> String {
        serde_json::json!({
            "project": { "name": "p", "version": project },
            "packages": [
                { "name": "d", "version": dependency, "role": "run" },
                { "name": "setuptools", "version": dependency, "role": "build" },
            ],
        })
        .to_string()
    }

    #[test]
    fn everything_but_cpython_is_named() {
        let images = |runtime: &str, cpython: &str| {
            BTreeMap::from([
                ("runtime".to_owned(), format!("sha256:{runtime:0<64}")),
                ("cpython".to_owned(), cpython.to_owned()),
            ])
        };
        let (one, other) = (images("aa", "c1"), images("bb", "c2"));
        let (old, new) = (lock("1", "1.0"), lock("1", "2.0"));
        let run = |host, images, lock: &'static str| RunConditions {
            host,
            images,
            lock: Some(lock),
        };
        let (old, new): (&str, &str) = (old.leak(), new.leak());
        assert_eq!(
            differing_conditions(run("h", &one, old), run("h", &one, old)),
            Vec::<String>::new()
        );
        assert_eq!(
            differing_conditions(run("h", &one, old), run("g", &other, new)),
            [
                "runtime image: sha256:aa0000000000 in the passing run, sha256:bb0000000000 in the failing one",
                "host: h in the passing run, g in the failing one",
                "d: 1.0 in the passing run, 2.0 in the failing one",
            ]
        );
        // a host of an earlier version reports no images
        let nothing = BTreeMap::new();
        assert_eq!(
            differing_conditions(run("h", &nothing, old), run("h", &other, old)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn versions_that_came_and_went_are_named() {
        let change = |name: &str, from: Option<&str>, to: Option<&str>| VersionChange {
            name: name.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        assert_eq!(
            version_changes(&lock("1", "1"), &lock("2", "1")),
            [change("p", Some("1"), Some("2"))]
        );
        let without = r#"{"project":{"name":"p","version":"1"},"packages":[]}"#;
        assert_eq!(
            version_changes(&lock("1", "1"), without),
            [change("d", Some("1"), None)]
        );
        assert_eq!(
            version_changes(without, &lock("1", "1")),
            [change("d", None, Some("1"))]
        );
        assert_eq!(version_changes("no lock", without), []);
    }
}
