//! A recipe file, as its owner wrote it.

use crate::clock::end_of_day;
use crate::domain::day::Day;
use crate::domain::limits::{Seconds, Size};
use crate::domain::specifiers::Specifiers;
use crate::domain::suite::{Source, Suite};
use crate::domain::time::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Defines a table of a recipe with its own keys and those of [`Steps`]. Serde's `flatten` would do the same, but
/// accepts unknown keys.
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
            as_of: Option<AsOf>,
            requires: Option<Vec<Spanned<String>>>,
            groups: Option<Vec<Spanned<String>>>,
            install: Option<Vec<String>>,
            install_network: Option<bool>,
            env: Option<BTreeMap<String, String>>,
            limits: Option<Spanned<RequestedLimits>>,
            suite: Option<Vec<Spanned<Suite>>>,
        }

        impl $name {
            pub fn steps(&self) -> Steps<'_> {
                Steps {
                    source: self.source.as_ref(),
                    extra_sources: self.extra_sources.as_deref(),
                    system: self.system.as_deref(),
                    requires: self.requires.as_deref(),
                    as_of: self.as_of.map(|AsOf(day)| day),
                    groups: self.groups.as_deref(),
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
    /// A recipe file. Its steps apply to every version of Python. For the versions that a section matches, the keys of
    /// the section replace those of the file.
    pub struct Recipe {
        pub name: Spanned<String>,
        #[serde(default)]
        pub summary: String,
        #[serde(default)]
        pub homepage: String,
        /// The owners of the project: mail addresses or handles.
        #[serde(default)]
        pub owners: Vec<String>,
        /// Words of the owner's choice, for people. Pybots ignores them.
        #[serde(default)]
        pub labels: Vec<String>,
        /// Labels that a host must have to run the project.
        #[serde(default)]
        pub needs: Vec<Spanned<String>>,
        /// How much a regression matters, from 1 (it should hold a release) to 3 (it is nice to know). Pybots checks
        /// the number, and does not use it yet.
        pub tier: Option<Spanned<u8>>,
        /// The versions of Python on which the project runs.
        pub when: Option<Specifiers>,
        /// The watched branches on which the project runs. The default is all.
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
    /// Steps for the versions of Python in `when`. If several sections match a version, the first one applies.
    pub struct Section {
        pub when: Specifiers,
    }
}

/// The keys that say what a run does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps<'a> {
    pub source: Option<&'a Spanned<Source>>,
    pub extra_sources: Option<&'a [Spanned<Source>]>,
    pub system: Option<&'a [Spanned<String>]>,
    /// The day of whose index dependencies are taken.
    pub as_of: Option<Day>,
    pub requires: Option<&'a [Spanned<String>]>,
    pub groups: Option<&'a [Spanned<String>]>,
    pub install: Option<&'a [String]>,
    pub install_network: Option<bool>,
    pub env: Option<&'a BTreeMap<String, String>>,
    pub limits: Option<&'a Spanned<RequestedLimits>>,
    pub suite: Option<&'a [Spanned<Suite>]>,
}

impl<'a> Steps<'a> {
    /// Returns these steps, with those of `other` for missing keys.
    pub fn or(self, other: Steps<'a>) -> Steps<'a> {
        Steps {
            source: self.source.or(other.source),
            extra_sources: self.extra_sources.or(other.extra_sources),
            system: self.system.or(other.system),
            requires: self.requires.or(other.requires),
            as_of: self.as_of.or(other.as_of),
            groups: self.groups.or(other.groups),
            install: self.install.or(other.install),
            install_network: self.install_network.or(other.install_network),
            env: self.env.or(other.env),
            limits: self.limits.or(other.limits),
            suite: self.suite.or(other.suite),
        }
    }
}

/// A day, as TOML writes dates.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
struct AsOf(Day);

impl TryFrom<toml::value::Datetime> for AsOf {
    type Error = String;

    fn try_from(date: toml::value::Datetime) -> Result<Self, String> {
        // one with a time or a zone is no day
        date.to_string().parse().map(Self)
    }
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

/// For two weeks after a known failure has expired, a failure of its test is compared with the test's last pass.
const LATELY_MS: i64 = 14 * 24 * 3_600_000;

impl KnownFailure {
    /// Returns whether the known failure applies at a time. It applies until the end of the day `expires`, in UTC.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.end().is_some_and(|end| now < end)
    }

    /// Returns whether the known failure expired in the last two weeks, so that its test may raise a suspicion again.
    pub fn is_over_lately(&self, now: Timestamp) -> bool {
        self.end().is_some_and(|end| (end..end + LATELY_MS).contains(&now))
    }

    /// Returns whether the known failure has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    fn end(&self) -> Option<Timestamp> {
        let date = self.expires.date?;
        let (year, month, day) = (i16::try_from(date.year).ok()?, date.month as i8, date.day as i8);
        end_of_day(jiff::civil::Date::new(year, month, day).ok()?).ok()
    }
}

/// Limits that a recipe names. The others stay as they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedLimits {
    pub timeout: Option<Seconds>,
    pub silence: Option<Seconds>,
    pub memory: Option<Size>,
    pub work: Option<Size>,
    pub log: Option<Size>,
    pub pids: Option<u64>,
    pub cpus: Option<f64>,
    pub run_timeout: Option<Seconds>,
    pub run_log: Option<Size>,
}

impl Recipe {
    /// Returns every `path` that a source of any section names.
    pub fn paths(&self) -> BTreeSet<String> {
        let steps = std::iter::once(self.steps()).chain(self.section.iter().map(Section::steps));
        steps
            .flat_map(|steps| steps.source.into_iter().chain(steps.extra_sources.unwrap_or_default()))
            .filter_map(|source| source.get_ref().path.clone())
            .collect()
    }
}
