//! The lock of a run: everything that it fetched, version by version. A host reports a lock, and another host may
//! install it. So a lock is parsed and written out again before it is stored. Text of any other shape never reaches a
//! resolver or a shell. A lock is also compared with the recipe: it may name the commit of a branch, but no other
//! source of the project.

use super::digest::is_sha256;
use super::names::names;
use super::suite::{Fetch, Source, source_key};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most packages in a lock.
const PACKAGES_MOST: usize = 5_000;
const VARIABLES_MOST: usize = 100;
const NAME_MOST: usize = 200;
/// The most bytes of the address of a project's source.
const ADDRESS_MOST: usize = 2_000;
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub packages: Vec<LockedPackage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<LockedProject>,
    /// Variables by which builds learn their version, where tags of the source state it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// One fetched file, or an extra source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// The name of the file. `None` for an extra source.
    #[serde(default)]
    pub file: Option<String>,
    pub name: String,
    pub role: PackageRole,
    /// 64 hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
}

/// The purpose for which a run fetched a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageRole {
    /// Build back ends use it.
    Build,
    /// The suites use it.
    Run,
    /// It is an extra source of the recipe.
    Source,
    /// A role of a later version of this program.
    #[serde(other)]
    Other,
}

names!(
    PackageRole,
    "role of a package": Build = "build",
    Run = "run",
    Source = "source",
    Other = "other",
);

/// The project, and the source that it was fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedProject {
    pub name: String,
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
}

impl Lock {
    /// Reads a lock that this program wrote, such as a stored one. Returns `None` if it is no lock.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Reads a lock that somebody else wrote. Returns `None` if a part of it is not of the shape that fetching writes.
    pub fn parse(text: &str) -> Option<Self> {
        let lock = Self::read(text)?;
        let fine = lock.packages.len() <= PACKAGES_MOST
            && lock.packages.iter().all(LockedPackage::is_sane)
            && lock.project.as_ref().is_none_or(LockedProject::is_sane)
            && lock.variables.len() <= VARIABLES_MOST
            && lock
                .variables
                .iter()
                .all(|(name, value)| is_variable(name) && is_revision(value));
        fine.then_some(lock)
    }

    /// Returns the packages that were fetched for one purpose.
    pub fn in_role(&self, role: PackageRole) -> impl Iterator<Item = &LockedPackage> {
        self.packages.iter().filter(move |package| package.role == role)
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Checks that a fetch of a job can have produced the lock. The error says what differs.
    pub fn fits(&self, fetch: &Fetch) -> Result<(), String> {
        let (Some(origin), Some((own, extra))) = (&self.project, fetch.sources.split_first()) else {
            return Err("it names no project".to_owned());
        };
        if origin.name != fetch.project {
            return Err(format!("its project is {}, not {}", origin.name, fetch.project));
        }
        let address = address_in_lock(own);
        if let Some(source) = &origin.source
            && source_key(source) != source_key(&address)
        {
            return Err(format!("its project comes from {source}, not from {address}"));
        }
        keeps(own, &origin.name, origin.version.as_deref(), origin.sha256.as_deref())?;
        let sources = || self.in_role(PackageRole::Source);
        if sources().count() != extra.len() {
            return Err("it has other extra sources".to_owned());
        }
        for source in extra {
            let name = source.name.as_deref().unwrap_or_default();
            let Some(package) = sources().find(|package| package.name == name) else {
                return Err(format!("it lacks the source {name}"));
            };
            keeps(source, name, package.version.as_deref(), package.sha256.as_deref())?;
        }
        Ok(())
    }
}

/// Returns the address of a source in the form in which locks hold it.
fn address_in_lock(source: &Source) -> String {
    match (&source.pypi, source.address()) {
        (Some(name), _) => format!("pypi:{name}"),
        (None, Some(address)) => address.to_owned(),
        (None, None) => "path".to_owned(),
    }
}

/// Checks that a lock keeps what the recipe pins of a source: a version, a digest, a whole commit or a revision of
/// Subversion. The error says what differs.
fn keeps(source: &Source, name: &str, version: Option<&str>, sha256: Option<&str>) -> Result<(), String> {
    let differs = |what: &str| Err(format!("the {what} of {name} is not the one that the recipe pins"));
    if let Some(pinned) = &source.sha256
        && !sha256.is_some_and(|sha256| sha256.eq_ignore_ascii_case(pinned))
    {
        return differs("SHA-256");
    }
    if let Some(pinned) = &source.version
        && !version.is_some_and(|version| is_same_version(version, pinned))
    {
        return differs("version");
    }
    let is_fixed = |rev: &&String| source.svn.is_some() || is_commit(rev);
    if let Some(pinned) = source.rev.as_ref().filter(is_fixed)
        && !version.is_some_and(|version| version.eq_ignore_ascii_case(pinned))
    {
        return differs("revision");
    }
    Ok(())
}

/// Returns whether two texts are one version: `1.0` and `1.0.0` are.
fn is_same_version(one: &str, other: &str) -> bool {
    let version = |text: &str| text.parse::<pep440_rs::Version>().ok();
    one == other || (version(one).is_some() && version(one) == version(other))
}

/// Returns whether a git revision is a whole commit id, rather than a branch, a tag or an abbreviation.
pub fn is_commit(rev: &str) -> bool {
    matches!(rev.len(), 40 | 64) && rev.bytes().all(|b| b.is_ascii_hexdigit())
}

impl LockedPackage {
    fn is_sane(&self) -> bool {
        is_name(&self.name)
            && self.role != PackageRole::Other
            && self.version.as_deref().is_none_or(is_revision)
            && self.sha256.as_deref().is_none_or(is_sha256)
            && self.file.as_deref().is_none_or(is_file)
    }
}

impl LockedProject {
    fn is_sane(&self) -> bool {
        let is_address = |text: &str| text.len() <= ADDRESS_MOST && !text.chars().any(char::is_control);
        is_name(&self.name)
            && self.version.as_deref().is_none_or(is_revision)
            && self.sha256.as_deref().is_none_or(is_sha256)
            && self.source.as_deref().is_none_or(is_address)
    }
}

fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=NAME_MOST).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(fine)
}

fn is_variable(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    (1..=NAME_MOST).contains(&text.len()) && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(fine)
}

/// Returns whether a text can be a version or a revision: one word that is not an option.
fn is_revision(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-+!/".contains(&b);
    text.len() <= NAME_MOST && !text.starts_with('-') && text.bytes().all(fine)
}

fn is_file(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-+!".contains(&b);
    text.len() <= 2 * NAME_MOST && !text.starts_with(['-', '.']) && text.bytes().all(fine)
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
