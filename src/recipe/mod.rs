//! Recipes: `projects/*.toml`, how a registered project is fetched, installed and tested.
//! [`check`] reads one with messages for people; [`choose`] picks what holds for one Python.

mod check;
mod choose;
mod folder;
pub mod modes;

pub use check::{Checked, check};
pub use check::{Problem, nearest, toml_problem};
pub use choose::{Choice, choose};
pub use folder::{Refused, Registered, load_folder, register};
pub use modes::Mode;

use crate::clock::end_of_day;
use crate::domain::limits::{Seconds, Size};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use toml::Spanned;

/// Defines a table of a recipe with its own keys and those of [`Steps`]: serde's `flatten` would do
/// the same, but lets unknown keys pass.
macro_rules! with_steps {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$own:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$own])* pub $field: $type,)*
            source: Option<Spanned<Source>>,
            extra_sources: Option<Vec<Spanned<Source>>>,
            system: Option<Vec<Spanned<String>>>,
            requires: Option<Vec<String>>,
            install: Option<Vec<String>>,
            install_network: Option<bool>,
            env: Option<BTreeMap<String, String>>,
            limits: Option<Spanned<LimitsAsked>>,
            suite: Option<Vec<Spanned<Suite>>>,
        }

        impl $name {
            pub fn steps(&self) -> Steps<'_> {
                Steps {
                    source: self.source.as_ref(),
                    extra_sources: self.extra_sources.as_deref(),
                    system: self.system.as_deref(),
                    requires: self.requires.as_deref(),
                    install: self.install.as_deref(),
                    install_network: self.install_network,
                    env: self.env.as_ref(),
                    limits: self.limits.as_ref(),
                    suite: self.suite.as_deref(),
                }
            }
        }
    };
}

with_steps! {
    /// A recipe file, as written. Its steps hold for every Python; a section replaces those that it
    /// names.
    pub struct Recipe {
        pub name: Spanned<String>,
        #[serde(default)]
        pub summary: String,
        #[serde(default)]
        pub homepage: String,
        /// Who answers for it: a mail address or a handle.
        #[serde(default)]
        pub owners: Vec<String>,
        /// Free words.
        #[serde(default)]
        pub labels: Vec<String>,
        /// Labels of the hosts on which it may run.
        #[serde(default)]
        pub needs: Vec<Spanned<String>>,
        /// 1: a break should hold a release; 3: nice to know. 2 where absent.
        pub tier: Option<Spanned<u8>>,
        /// Pythons it runs on at all.
        pub when: Option<Specifiers>,
        /// Only these watched branches; all where absent.
        pub branches: Option<Vec<String>>,
        #[serde(default)]
        pub section: Vec<Section>,
        #[serde(default)]
        pub exclude: Vec<Exclude>,
        #[serde(default)]
        pub known_failure: Vec<Spanned<KnownFailure>>,
    }
}

with_steps! {
    /// What holds for the Pythons of `when`; the first section that matches counts.
    pub struct Section {
        pub when: Specifiers,
    }
}

/// The keys that say what is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps<'a> {
    pub source: Option<&'a Spanned<Source>>,
    pub extra_sources: Option<&'a [Spanned<Source>]>,
    pub system: Option<&'a [Spanned<String>]>,
    pub requires: Option<&'a [String]>,
    pub install: Option<&'a [String]>,
    pub install_network: Option<bool>,
    pub env: Option<&'a BTreeMap<String, String>>,
    pub limits: Option<&'a Spanned<LimitsAsked>>,
    pub suite: Option<&'a [Spanned<Suite>]>,
}

impl<'a> Steps<'a> {
    /// These steps, and where they are silent those of `other`.
    pub fn or(self, other: Steps<'a>) -> Steps<'a> {
        Steps {
            source: self.source.or(other.source),
            extra_sources: self.extra_sources.or(other.extra_sources),
            system: self.system.or(other.system),
            requires: self.requires.or(other.requires),
            install: self.install.or(other.install),
            install_network: self.install_network.or(other.install_network),
            env: self.env.or(other.env),
            limits: self.limits.or(other.limits),
            suite: self.suite.or(other.suite),
        }
    }
}

/// Where a tree of sources comes from; exactly one of `pypi`, `git`, `svn`, `url`, `path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The folder's name beside the project's own; of extra sources only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pypi: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A folder beside the recipe; its files travel with the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One test command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    pub name: String,
    /// A line for `sh -eu`, in the project's source folder.
    pub run: String,
    /// JUnit XML that it writes, relative to the source folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// How each Python runs that it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<Mode>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclude {
    pub variant: String,
    pub reason: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    pub test: String,
    pub reason: String,
    pub expires: toml::value::Datetime,
}

/// For so long after its time a known failure is asked about: a fortnight.
const LATELY_MS: i64 = 14 * 24 * 3_600_000;

impl KnownFailure {
    /// Whether it holds at a time, milliseconds UTC: up to the end of its day.
    pub fn holds(&self, now: i64) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    /// Whether it held until lately, and what it excused is to be asked about.
    pub fn is_over_lately(&self, now: i64) -> bool {
        self.end().is_some_and(|end| (end..end + LATELY_MS).contains(&now))
    }

    fn end(&self) -> Option<i64> {
        let date = self.expires.date?;
        let (year, month, day) = (i16::try_from(date.year).ok()?, date.month as i8, date.day as i8);
        end_of_day(jiff::civil::Date::new(year, month, day).ok()?).ok()
    }
}

/// Limits that a recipe names; the others stay as they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsAsked {
    pub timeout: Option<Seconds>,
    pub silence: Option<Seconds>,
    pub memory: Option<Size>,
    pub work: Option<Size>,
    pub log: Option<Size>,
    pub pids: Option<u64>,
    pub cpus: Option<f64>,
}

/// What the fetch phase gets, as `fetch.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    pub project: String,
    /// The project's own first; each with its `name`.
    pub sources: Vec<Source>,
    pub requires: Vec<String>,
    pub python: String,
    pub free_threaded: bool,
    /// Of `path` sources: the source's name and the digest of its folder's tar.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// The lock of an earlier run, JSON: its versions and files are taken again, where it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
}

/// A PEP 440 set of versions, e.g. `>=3.9,<3.15`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specifiers(pub pep440_rs::VersionSpecifiers);

impl Serialize for Specifiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Specifiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Specifiers).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is no set of Python versions; write e.g. `>=3.9` or `>=3.9,<3.15`"
            ))
        })
    }
}
