//! How the locks of two runs differ.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What changed besides CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockDifference {
    /// Dependencies of the project, and perhaps the project too.
    Dependencies,
    /// Only the project: its release, or the revision of its own repository.
    Project,
}

/// The parts of a lock that are compared. `fetch.py` writes locks.
#[derive(Deserialize, PartialEq)]
struct ParsedLock {
    project: Value,
    packages: Vec<Value>,
}

impl ParsedLock {
    /// Returns name and version of each package in a role.
    fn versions(&self, role: &str) -> Vec<[Option<&Value>; 2]> {
        let packages = self.packages.iter();
        let in_role = packages.filter(|package| package.get("role").and_then(Value::as_str) == Some(role));
        in_role
            .map(|package| ["name", "version"].map(|key| package.get(key)))
            .collect()
    }
}

/// Returns how two locks (JSON) differ, or `None` if they are equal or one is missing. A lock that can't be parsed counts
/// as one with other dependencies.
pub fn lock_difference(base: Option<&str>, now: Option<&str>) -> Option<LockDifference> {
    let (base, now) = base.zip(now).filter(|(base, now)| base != now)?;
    let read = |lock: &str| serde_json::from_str::<ParsedLock>(lock).ok();
    let Some((base, now)) = read(base).zip(read(now)) else {
        return Some(LockDifference::Dependencies);
    };
    // Sources that are unpacked beside the project count as part of it. File names are ignored: wheels differ between
    // versions of Python.
    let is_same_project = base.project == now.project && base.versions("source") == now.versions("source");
    match (base == now, base.versions("run") == now.versions("run")) {
        (true, _) => None,
        (false, true) if !is_same_project => Some(LockDifference::Project),
        (false, _) => Some(LockDifference::Dependencies),
    }
}

/// Returns the versions that a lock (JSON) holds, by name: of the project, of its dependencies, and of the sources beside it.
/// Returns `None` if the lock can't be parsed.
pub(super) fn versions(lock: &str) -> Option<BTreeMap<String, String>> {
    let lock: ParsedLock = serde_json::from_str(lock).ok()?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut versions = BTreeMap::new();
    let project = ["name", "version"].map(|key| lock.project.get(key));
    for [name, version] in ["run", "source"]
        .iter()
        .flat_map(|role| lock.versions(role))
        .chain([project])
    {
        if let Some((name, version)) = text(name).zip(text(version)) {
            versions.insert(name, version);
        }
    }
    Some(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_project_is_separated_from_one_of_its_dependencies() {
        let lock = |project: &str, dependency: &str, beside: &str| {
            serde_json::json!({
                "project": { "name": "p", "version": project },
                "packages": [
                    { "name": "d", "version": dependency, "role": "run", "file": format!("d-{project}") },
                    { "name": "s", "version": beside, "role": "source" },
                ],
            })
            .to_string()
        };
        let base = lock("1", "1", "1");
        for (now, expected) in [
            (lock("1", "1", "1"), None),
            (lock("2", "1", "1"), Some(LockDifference::Project)),
            (lock("1", "1", "2"), Some(LockDifference::Project)),
            (lock("1", "2", "1"), Some(LockDifference::Dependencies)),
            (lock("2", "2", "1"), Some(LockDifference::Dependencies)),
            ("not a lock".to_owned(), Some(LockDifference::Dependencies)),
        ] {
            assert_eq!(lock_difference(Some(&base), Some(&now)), expected, "{now}");
        }
        assert_eq!(
            (lock_difference(None, Some(&base)), lock_difference(Some(&base), None)),
            (None, None)
        );
        // The same versions in other files.
        assert_eq!(
            lock_difference(Some(&base), Some(&base.replace("d-1", "d-2"))),
            Some(LockDifference::Dependencies)
        );
        // The same lock, formatted differently.
        assert_eq!(lock_difference(Some(&base), Some(&base.replace(',', ", "))), None);
    }
}
