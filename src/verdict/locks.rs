//! Compares the locks of two runs.

use crate::domain::lock::{Lock, PackageRole};
use std::collections::BTreeMap;

/// The kind of difference between two locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockDifference {
    /// Dependencies of the project, and perhaps the project too.
    Dependencies,
    /// Only the project: its release, or the revision of its own repository.
    Project,
}

/// Returns how two locks (JSON) differ, or `None` if they are equal or one is missing. If a lock can't be read, its
/// dependencies count as different.
pub fn lock_difference(base: Option<&str>, now: Option<&str>) -> Option<LockDifference> {
    let (base, now) = base.zip(now).filter(|(base, now)| base != now)?;
    let Some((base, now)) = Lock::read(base).zip(Lock::read(now)) else {
        return Some(LockDifference::Dependencies);
    };
    // Sources that are unpacked beside the project count as parts of it. File names are ignored, because wheels differ
    // between versions of Python.
    let is_same = |role| versions_in_role(&base, role) == versions_in_role(&now, role);
    let is_same_project =
        base.project == now.project && base.variables == now.variables && is_same(PackageRole::Source);
    match (base == now, is_same(PackageRole::Run)) {
        (true, _) => None,
        (false, true) if !is_same_project => Some(LockDifference::Project),
        (false, _) => Some(LockDifference::Dependencies),
    }
}

/// Returns name and version of each package in a role.
fn versions_in_role(lock: &Lock, role: PackageRole) -> Vec<(&str, Option<&str>)> {
    let packages = lock.in_role(role);
    packages
        .map(|package| (package.name.as_str(), package.version.as_deref()))
        .collect()
}

/// Returns the versions in a lock (JSON), by name: of the project, its dependencies, and the sources beside it. Returns
/// `None` if the lock can't be read.
pub(super) fn versions(lock: &str) -> Option<BTreeMap<String, String>> {
    let lock = Lock::read(lock)?;
    let project = lock.project.iter();
    let project = project.map(|project| (project.name.as_str(), project.version.as_deref()));
    let packages = [PackageRole::Run, PackageRole::Source].map(|role| versions_in_role(&lock, role));
    let all = packages.into_iter().flatten().chain(project);
    let all = all.filter_map(|(name, version)| Some((name.to_owned(), version?.to_owned())));
    Some(all.collect())
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
        // the same commit, which has a tag by now
        let mut with_tag: serde_json::Value = serde_json::from_str(&base).unwrap();
        with_tag["variables"] = serde_json::json!({ "SETUPTOOLS_SCM_PRETEND_VERSION": "2" });
        let with_tag = with_tag.to_string();
        for (now, expected) in [
            (lock("1", "1", "1"), None),
            (lock("2", "1", "1"), Some(LockDifference::Project)),
            (lock("1", "1", "2"), Some(LockDifference::Project)),
            (lock("1", "2", "1"), Some(LockDifference::Dependencies)),
            (lock("2", "2", "1"), Some(LockDifference::Dependencies)),
            (with_tag, Some(LockDifference::Project)),
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
