//! Wheels that install builds from sdists, cached for later revisions with the same ABI.
//!
//! Only dependencies are cached. The project under test and its extra sources are built each time, because a run tests
//! that they build on the new CPython. Code of strangers builds the wheels. So each project has a cache of its own, and
//! only containers without such code mount it: one before install and one after it.

use super::environment::{self, CACHE_AT, OURS};
use crate::domain::digest::{digest, is_sha256};
use crate::domain::job::{Facts, RunSpec};
use crate::domain::lock::{Lock, LockedPackage, PackageRole};
use crate::domain::package::normalized;
use crate::domain::retention::VolumeKind;
use crate::host::quote;
use crate::runtime::{ABI_LABEL, KIND_LABEL, OWNER_LABEL, PROJECT_LABEL, Volume};
use std::collections::BTreeSet;

/// Copies wheels between the cache and the work folder, and builds the wheels that the cache lacks.
pub const SCRIPT: &str = include_str!("wheels.sh");

/// The most KiB of one volume: enough for one project's dependencies on one ABI, and little for a host with hundreds
/// of projects.
pub const MOST_KIB: u64 = 1 << 20;

/// The most bytes of a list, which is an argument of a program. No real project needs a longer one.
const LIST_MOST: usize = 100_000;

/// The cache of one project on one ABI, and the entries to look for.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheels {
    pub volume: Volume,
    /// The ABI key as logs show it.
    pub abi: String,
    /// A line for each sdist, in the format of `wheels.sh`.
    pub list: String,
}

impl Wheels {
    /// Returns the command that copies wheels from the cache to the work folder.
    pub fn take(&self) -> Vec<String> {
        self.command(&["take", &self.list, CACHE_AT, &MOST_KIB.to_string()])
    }

    /// Returns the command that copies newly built wheels to the cache.
    pub fn keep(&self) -> Vec<String> {
        self.command(&["keep", &self.list, CACHE_AT, &MOST_KIB.to_string()])
    }

    /// Returns the lines of install that put a wheel beside each sdist.
    pub fn build(&self) -> String {
        let list = quote(&self.list);
        format!("sh {OURS}/wheels.sh build {list} {}", quote(&self.abi))
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let shell = ["/bin/sh", "-c", SCRIPT, "wheels.sh"];
        shell.iter().chain(words).map(|word| (*word).to_owned()).collect()
    }
}

/// Returns the cache that a run may use. Returns `None` if the run has nothing to cache, or must not use a cache.
/// `host` is the host's id: the hosts of two coordinators may share an engine, and have different projects of the same
/// name.
pub fn plan(host: &str, spec: &RunSpec, facts: &Facts, lock: &str) -> Option<Wheels> {
    // packages that an install fetches from the network are in no lock
    if spec.is_legacy() || spec.install_network {
        return None;
    }
    let abi = facts.abi_key.as_deref()?;
    let Lock { packages, .. } = Lock::read(lock)?;
    let inputs = inputs(spec, &packages);
    let own = own(spec);
    let mut lines: Vec<(bool, String)> = packages
        .iter()
        .filter(|package| !own.contains(&normalized(&package.name)))
        .filter_map(|package| line(package, &inputs))
        .collect();
    // build back ends first, so that the others are built with their cached wheels
    lines.sort();
    let list: String = lines.into_iter().map(|(_, line)| line).collect();
    (!list.is_empty() && list.len() <= LIST_MOST).then(|| Wheels {
        volume: volume(host, spec, abi),
        abi: abi.chars().take(12).collect(),
        list,
    })
}

/// Returns the names that the recipe's own sources provide, whatever the index has under the same names.
fn own(spec: &RunSpec) -> BTreeSet<String> {
    let names = spec.fetch.sources.iter().filter_map(|source| {
        let name = source.pypi.as_ref().or(source.name.as_ref())?;
        Some(normalized(name))
    });
    names.collect()
}

fn volume(host: &str, spec: &RunSpec, abi: &str) -> Volume {
    let runtime = spec.distribution.runtime_reference();
    let parts = [host, &spec.project, abi, &runtime];
    let key = digest(&parts.map(str::as_bytes));
    let labels = [
        (KIND_LABEL, VolumeKind::Wheels.name()),
        (PROJECT_LABEL, &spec.project),
        (ABI_LABEL, abi),
        (OWNER_LABEL, host),
    ];
    Volume {
        name: format!("pybots-wheels-{}-{}", spec.project, &key[..16]),
        size: None,
        labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
    }
}

/// Returns a digest of everything that a build can see besides its sdist: the image, the environment and all fetched
/// files. Only the build back end could say which fetched files it uses. So a change of any of them gives another key.
fn inputs(spec: &RunSpec, packages: &[LockedPackage]) -> String {
    let mut env = environment::environment(spec);
    env.extend(environment::install_environment(spec));
    let mut files: Vec<(&str, &str)> = packages
        .iter()
        .filter_map(|package| Some((package.file.as_deref()?, package.sha256.as_deref()?)))
        .collect();
    files.sort_unstable();
    let python = &spec.image.build.profile.python;
    let text = serde_json::json!([env, files, spec.system, python]).to_string();
    digest(&[text.as_bytes()])
}

/// Returns the line of an sdist that install may build, with a sort key: `false` comes first.
fn line(package: &LockedPackage, inputs: &str) -> Option<(bool, String)> {
    let file = package.file.as_deref().filter(|file| !file.ends_with(".whl"))?;
    let sha256 = package.sha256.as_deref()?;
    let version = package.version.as_deref()?;
    let (name, role) = (&package.name, package.role);
    // the index chose these names, and a shell will read them
    let plain = [file, sha256, version, name].iter().all(|word| is_plain(word));
    if !plain || !is_sha256(sha256) {
        return None;
    }
    let key = digest(&[sha256.as_bytes(), inputs.as_bytes()]);
    Some((
        role != PackageRole::Build,
        format!("{} {key} {sha256} {file} {name} {version}\n", role.name()),
    ))
}

fn is_plain(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "._+!-".contains(c))
}

#[cfg(test)]
#[path = "wheels_tests.rs"]
mod tests;
