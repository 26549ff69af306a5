//! A recipe file, in the form in which its owner writes it.

use super::texts;
use crate::clock::end_of_day;
use crate::domain::day::Day;
use crate::domain::limits::{Seconds, Size};
use crate::domain::project::ProjectTags;
use crate::domain::specifiers::Specifiers;
use crate::domain::suite::{Source, Suite};
use crate::domain::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Defines a table of a recipe with its own keys and those of [`Steps`]. Serde's `flatten` would do the same, but
/// accepts unknown keys.
macro_rules! with_steps {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$own:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$own])* pub $field: $type,)*
            /// Where the project comes from.
            #[schemars(with = "Option<Source>")]
            source: Option<Spanned<Source>>,
            /// Further sources, which lie beside the project's own. Each needs a `name`.
            #[schemars(with = "Option<Vec<Source>>")]
            extra_sources: Option<Vec<Spanned<Source>>>,
            /// Packages of the distribution that the run needs.
            #[schemars(with = "Option<Vec<String>>")]
            system: Option<Vec<Spanned<String>>>,
            /// Dependencies are installed as the index had them at the end of this day.
            #[schemars(with = "Option<texts::Date>")]
            as_of: Option<AsOf>,
            /// What to install beside the project, such as `pytest>=8`, and extras of the project: `.[test]`.
            #[schemars(with = "Option<Vec<String>>")]
            requires: Option<Vec<Spanned<String>>>,
            /// Dependency groups of the project (PEP 735).
            #[schemars(with = "Option<Vec<String>>")]
            groups: Option<Vec<Spanned<String>>>,
            /// Lines for `sh -eu` that install the project.
            install: Option<Vec<String>>,
            /// Whether install may use the network.
            install_network: Option<bool>,
            /// Variables for install and suites.
            env: Option<BTreeMap<String, String>>,
            /// Limits that are lower than those of the settings.
            #[schemars(with = "Option<RequestedLimits>")]
            limits: Option<Spanned<RequestedLimits>>,
            /// The commands that test the project, in this order.
            #[schemars(with = "Option<Vec<Suite>>")]
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
        /// The name of the project and of the file.
        #[schemars(with = "String", regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,63}$"))]
        pub name: Spanned<String>,
        /// A few words for the pages.
        #[serde(default)]
        pub summary: String,
        /// A link for the pages.
        #[serde(default)]
        pub homepage: String,
        /// The owners of the project: mail addresses or handles.
        #[serde(default)]
        pub owners: Vec<String>,
        /// Words of the owner's choice, by which people choose projects in the matrix.
        #[serde(default)]
        pub labels: Vec<String>,
        /// Labels that a host must have to run the project.
        #[serde(default)]
        #[schemars(with = "Vec<String>")]
        pub needs: Vec<Spanned<String>>,
        /// How much a regression matters, from 1 (it should hold a release) to 3 (it is nice to know). People
        /// choose projects by it in the matrix.
        #[schemars(with = "Option<u8>", range(min = 1, max = 3))]
        pub tier: Option<Spanned<u8>>,
        /// The versions of Python on which the project runs.
        #[schemars(with = "Option<texts::Versions>")]
        pub when: Option<Specifiers>,
        /// The watched branches on which the project runs. The default is all.
        pub branches: Option<Vec<String>>,
        /// Steps for some versions of Python.
        #[serde(default)]
        pub section: Vec<Section>,
        /// Variants on which the project does not run.
        #[serde(default)]
        pub exclude: Vec<Exclude>,
        /// Tests that are expected to fail. They raise no suspicion until they expire.
        #[serde(default)]
        #[schemars(with = "Vec<KnownFailure>")]
        pub known_failure: Vec<Spanned<KnownFailure>>,
    }
}

with_steps! {
    /// Steps for the versions of Python in `when`. If several sections match a version, the first one applies.
    pub struct Section {
        /// The versions of Python to which these steps apply.
        #[schemars(with = "texts::Versions")]
        pub when: Specifiers,
    }
}

/// The keys that describe a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps<'a> {
    pub source: Option<&'a Spanned<Source>>,
    pub extra_sources: Option<&'a [Spanned<Source>]>,
    pub system: Option<&'a [Spanned<String>]>,
    /// The day of the package index from which dependencies are installed.
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
    /// Returns these steps, with each list cut to its first `most` entries.
    pub fn first(self, most: usize) -> Steps<'a> {
        fn first<T>(list: Option<&[T]>, most: usize) -> Option<&[T]> {
            list.map(|list| &list[..list.len().min(most)])
        }
        Steps {
            extra_sources: first(self.extra_sources, most),
            system: first(self.system, most),
            requires: first(self.requires, most),
            groups: first(self.groups, most),
            install: first(self.install, most),
            suite: first(self.suite, most),
            ..self
        }
    }

    /// Returns these steps, with missing keys filled from `other`.
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
        // a date with a time or a zone is not a day
        date.to_string().parse().map(Self)
    }
}

/// A variant on which the project does not run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclude {
    /// The name of the variant.
    pub variant: String,
    /// Why the project does not run on it.
    pub reason: String,
}

/// A test that is expected to fail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// The test, by the name that pages show.
    pub test: String,
    /// Why it fails.
    pub reason: String,
    /// The last day on which its failure raises no suspicion, in UTC.
    #[schemars(with = "texts::Date")]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedLimits {
    /// How long each phase may take.
    #[schemars(with = "Option<texts::Duration>")]
    pub timeout: Option<Seconds>,
    /// How long a phase may go without output, CPU time or I/O.
    #[schemars(with = "Option<texts::Duration>")]
    pub silence: Option<Seconds>,
    /// How much memory a container may use.
    #[schemars(with = "Option<texts::Bytes>")]
    pub memory: Option<Size>,
    /// How large the work folder may become.
    #[schemars(with = "Option<texts::Bytes>")]
    pub work: Option<Size>,
    /// How much log of each phase is kept.
    #[schemars(with = "Option<texts::Bytes>")]
    pub log: Option<Size>,
    /// How many processes and threads a container may have.
    pub pids: Option<u64>,
    /// How many processors a container may use.
    pub cpus: Option<f64>,
    /// How long all phases together may take.
    #[schemars(with = "Option<texts::Duration>")]
    pub run_timeout: Option<Seconds>,
    /// How much log of all phases together is kept.
    #[schemars(with = "Option<texts::Bytes>")]
    pub run_log: Option<Size>,
}

impl Recipe {
    /// Returns what the recipe says about the project itself.
    pub fn tags(&self) -> ProjectTags {
        ProjectTags {
            owners: self.owners.clone(),
            labels: self.labels.clone(),
            tier: self.tier.as_ref().map(|tier| *tier.get_ref()),
        }
    }

    /// Returns every `path` that a source of any section names.
    pub fn paths(&self) -> BTreeSet<String> {
        let steps = std::iter::once(self.steps()).chain(self.section.iter().map(Section::steps));
        steps
            .flat_map(|steps| steps.source.into_iter().chain(steps.extra_sources.unwrap_or_default()))
            .filter_map(|source| source.get_ref().path.clone())
            .collect()
    }
}
