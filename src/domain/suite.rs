//! The parts of a run that depend on its project: the sources, the input of the fetch phase, and the suites. A recipe
//! names them, and a job carries them.

use super::address::Address;
use super::day::Day;
use super::modes::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a tree of sources comes from. It has exactly one of `pypi`, `git`, `svn`, `url`, `path`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The name of the folder beside the project's own. Only extra sources have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of the project on the package index, whose source distribution is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pypi: Option<String>,
    /// The version of a `pypi` source. The default is the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The SHA-256 of the file of a `pypi` or `url` source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The address of a git repository. It needs `rev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// An address in a Subversion repository. It needs `rev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svn: Option<String>,
    /// A commit, tag or branch of git, or the number of a revision of Subversion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// The address of an archive. It needs `sha256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A folder beside the recipe; its files travel with the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The folder of the project within the source, if it is not at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subfolder: Option<String>,
    /// Whether a git source brings its submodules. The default is that it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submodules: Option<bool>,
}

impl Source {
    /// Returns the address that a recipe names. `None` if the source is a package of the index or a folder of the recipe.
    pub fn address(&self) -> Option<&str> {
        [&self.git, &self.svn, &self.url].into_iter().find_map(Option::as_deref)
    }

    /// Creates the source for a revision in a git repository.
    pub fn of_git(address: &str, rev: &str) -> Self {
        Self {
            git: Some(address.to_owned()),
            rev: Some(rev.to_owned()),
            ..Self::default()
        }
    }
}

/// One test command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// A name of its own, in lower case.
    pub name: String,
    /// A line for `sh -eu`, which runs in the project's source folder.
    pub run: String,
    /// The JUnit XML that it writes, relative to the source folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Options with which every Python of the suite runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", inner(regex(pattern = r"^(-X (dev|utf8)|-W .+|-OO?)$")))]
    pub modes: Vec<Mode>,
}

/// Returns the address of a source without its secret login and query values, for comparisons.
pub fn source_key(address: &str) -> String {
    Address::from(address).without_login()
}

/// The input of the fetch phase, as `fetch.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    pub project: String,
    /// The project's own source first. Each has a `name`.
    pub sources: Vec<Source>,
    pub requires: Vec<String>,
    /// Dependency groups of the project (PEP 735).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    pub python: String,
    pub free_threaded: bool,
    /// The digest of the folder's tar for each `path` source, by the source's name.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// The lock of an earlier run, as JSON. The fetch takes its versions and files, if the lock has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The day of the dependencies. Everything that the index received after this day is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Day>,
}

impl Fetch {
    /// Returns whether an address belongs to one of the sources. The login does not matter.
    pub fn is_source(&self, address: &str) -> bool {
        self.source_keys().contains(&source_key(address))
    }

    /// Returns the addresses of the sources, without logins.
    pub fn source_keys(&self) -> Vec<String> {
        self.sources
            .iter()
            .filter_map(Source::address)
            .map(source_key)
            .collect()
    }

    /// Returns the folder of the project, relative to the folder of all sources. Install and the suites begin there.
    pub fn project_folder(&self) -> String {
        let source = self.sources.first();
        match source.and_then(|source| source.subfolder.as_deref()) {
            Some(subfolder) => format!("{}/{subfolder}", self.project),
            None => self.project.clone(),
        }
    }
}
