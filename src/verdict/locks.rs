//! What differs between the versions of two runs.

use serde::Deserialize;
use serde_json::Value;

/// What changed beside CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differ {
    /// What the project needs; perhaps the project as well.
    Dependencies,
    /// The project alone: a release, or the check-in of its own repository.
    Project,
}

/// A lock, as `fetch.py` writes it.
#[derive(Deserialize, PartialEq)]
struct Lock {
    project: Value,
    packages: Vec<Value>,
}

impl Lock {
    /// Names and versions of the packages in a role.
    fn versions(&self, role: &str) -> Vec<[Option<&Value>; 2]> {
        let packages = self.packages.iter();
        let its = packages.filter(|package| package.get("role").and_then(Value::as_str) == Some(role));
        its.map(|package| ["name", "version"].map(|key| package.get(key)))
            .collect()
    }
}

/// What differs between two locks, JSON; None: nothing, or there are not two.
pub fn differ(base: Option<&str>, now: Option<&str>) -> Option<Differ> {
    let (base, now) = base.zip(now).filter(|(base, now)| base != now)?;
    let read = |lock: &str| serde_json::from_str::<Lock>(lock).ok();
    let Some((base, now)) = read(base).zip(read(now)) else {
        return Some(Differ::Dependencies);
    };
    // what is unpacked beside the project is as good as the project's own; files differ with the line of Python
    let is_same_project = base.project == now.project && base.versions("source") == now.versions("source");
    match (base == now, base.versions("run") == now.versions("run")) {
        (true, _) => None,
        (false, true) if !is_same_project => Some(Differ::Project),
        (false, _) => Some(Differ::Dependencies),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_told_from_what_it_needs() {
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
            (lock("2", "1", "1"), Some(Differ::Project)),
            (lock("1", "1", "2"), Some(Differ::Project)),
            (lock("1", "2", "1"), Some(Differ::Dependencies)),
            (lock("2", "2", "1"), Some(Differ::Dependencies)),
            ("no lock of ours".to_owned(), Some(Differ::Dependencies)),
        ] {
            assert_eq!(differ(Some(&base), Some(&now)), expected, "{now}");
        }
        assert_eq!((differ(None, Some(&base)), differ(Some(&base), None)), (None, None));
        // other files of the same versions
        assert_eq!(
            differ(Some(&base), Some(&base.replace("d-1", "d-2"))),
            Some(Differ::Dependencies)
        );
        // the same, but for how it is written
        assert_eq!(differ(Some(&base), Some(&base.replace(',', ", "))), None);
    }
}
