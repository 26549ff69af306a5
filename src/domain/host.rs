//! A registered host: its state, its labels, and the capabilities that it reports.

use super::id::HostId;
use super::names::names;
use super::text::is_odd;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use utoipa::ToSchema;

/// The capabilities of a host, which it reports when it starts and with each claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The version of Pybots on the host.
    pub version: String,
    /// Operating system and architecture, such as `linux/amd64`.
    pub platform: String,
    /// How many jobs the host does at the same time.
    pub slots: u32,
    /// The projects that the host accepts; all of them if this is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<String>>,
    /// The branches that the host accepts; all of them if this is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branches: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Labels::is_none")]
    pub labels: Labels,
    /// How many processors each run may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// How much memory each run may use. A run gets what its recipe asks for if this is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// How much of its engine's disk Pybots may use; all free space if this is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
    /// The hours at which the host works, as text for people; always if this is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The reason why the host takes no jobs at present, or `None` if it takes jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<String>,
}

/// The most names in one list of capabilities, and the most bytes of one name.
const NAMES_MOST: usize = 64;
const NAME_MOST: usize = 100;
/// The most bytes of a text for people.
const TEXT_MOST: usize = 2_000;
const SLOTS_MOST: u32 = 1_000;
const CPUS_LEAST: f64 = 0.01;
const CPUS_MOST: f64 = 100_000.0;
/// The most mebibytes of memory, and gibibytes of disk.
const AMOUNT_MOST: u64 = 1 << 30;

impl Capabilities {
    /// Checks capabilities that another machine sent. The error says what is wrong.
    pub fn sane(&self) -> Result<(), String> {
        let lists = [self.projects.as_ref(), self.branches.as_ref(), Some(&*self.labels)];
        for names in lists.into_iter().flatten() {
            if names.len() > NAMES_MOST {
                return Err(format!(
                    "capabilities name {NAMES_MOST} projects, branches or labels at most"
                ));
            }
            if let Some(name) = names.iter().find(|name| !is_plain(name)) {
                return Err(format!("{name:?} can't be the name of a project, branch or label"));
            }
        }
        if let Some(label) = self.labels.iter().find(|label| label.starts_with(ONLY)) {
            return Err(format!("a host can't label itself {label:?}"));
        }
        if self.slots > SLOTS_MOST {
            return Err(format!("capabilities have {SLOTS_MOST} slots at most"));
        }
        if self.cpus.is_some_and(|cpus| !(CPUS_LEAST..=CPUS_MOST).contains(&cpus)) {
            return Err(format!(
                "capabilities have between {CPUS_LEAST} and {CPUS_MOST} processors"
            ));
        }
        let amounts = [self.memory_mib, self.disk_gib].into_iter().flatten();
        if let Some(amount) = amounts.into_iter().find(|amount| *amount > AMOUNT_MOST) {
            return Err(format!("no host has {amount} MiB of memory, or GiB of disk"));
        }
        if let Some(text) = [&self.hours, &self.pause]
            .into_iter()
            .flatten()
            .find(|text| text.contains(is_odd))
        {
            return Err(format!(
                "hours and pause are a line of visible characters, not {text:?}"
            ));
        }
        let texts = [&self.hours, &self.pause].into_iter().flatten();
        if let Some(long) = texts.into_iter().find(|text| text.len() > TEXT_MOST) {
            return Err(format!(
                "hours and pause have {TEXT_MOST} bytes at most, not {}",
                long.len()
            ));
        }
        if [&self.version, &self.platform].into_iter().any(|text| !is_plain(text)) {
            return Err("capabilities need a version and a platform".to_owned());
        }
        Ok(())
    }
}

/// Words that a host has, or that a job requires, such as `gpu`. As text they are `|gpu||big|`, so that a query can
/// search for one of them; the text of no labels is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeSet<String>);

impl Labels {
    fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether only one host may do a job with these labels; see [`only`].
    pub fn name_one_host(&self) -> bool {
        self.0.iter().any(|label| label.starts_with(ONLY) && label != PROVEN)
    }
}

impl Deref for Labels {
    type Target = BTreeSet<String>;

    fn deref(&self) -> &BTreeSet<String> {
        &self.0
    }
}

impl DerefMut for Labels {
    fn deref_mut(&mut self) -> &mut BTreeSet<String> {
        &mut self.0
    }
}

impl From<BTreeSet<String>> for Labels {
    fn from(labels: BTreeSet<String>) -> Self {
        Self(labels)
    }
}

impl IntoIterator for Labels {
    type Item = String;
    type IntoIter = std::collections::btree_set::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<String> for Labels {
    fn from_iter<I: IntoIterator<Item = String>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|label| write!(f, "|{label}|"))
    }
}

impl FromStr for Labels {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let labels = text.split('|').filter(|label| !label.is_empty());
        Ok(labels.map(str::to_owned).collect())
    }
}

/// A job that only one host may take, or no new host, requires a label with this prefix. No host can report such a
/// label.
const ONLY: &str = "only:";

/// The label of jobs that no new host may take. The coordinator gives it to all other hosts.
pub const PROVEN: &str = "only:proven";

/// Returns the label of jobs that only the host with this id may take.
pub fn only(host: &HostId) -> String {
    format!("{ONLY}{host}")
}

/// Returns whether a name is short and has no character that separates names in a list.
fn is_plain(name: &str) -> bool {
    (1..=NAME_MOST).contains(&name.len()) && !name.contains(|c: char| is_odd(c) || c == '|')
}

/// Converts mebibytes to the number that a row holds.
pub fn stored_mib(mib: u64) -> i64 {
    i64::try_from(mib).unwrap_or(i64::MAX)
}

/// The state of a host, which decides whether it gets jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    Active,
    /// The host finishes its jobs and gets no new ones.
    Draining,
    /// The host failed too many jobs, or too few of its first results had the same outcome on other hosts. It gets none
    /// until a person resumes it.
    Quarantined,
    /// The host is gone; its attempts stay in the history.
    Removed,
}

names!(
    HostState,
    "state of a host": Active = "active",
    Draining = "draining",
    Quarantined = "quarantined",
    Removed = "removed",
);

/// The number of consecutive failed jobs after which a host is backed off. So many are no coincidence.
pub const CONSECUTIVE_FAILURES_MOST: i64 = 3;

/// Returns how long a host is backed off after consecutive failures, in milliseconds: 10 s, doubled with each further
/// failure, an hour at most. Afterwards the host gets one job at a time until one of them ends well. Returns `None` if
/// the host is not backed off.
pub fn backoff_ms(consecutive_failures: i64) -> Option<i64> {
    let doublings = u32::try_from(consecutive_failures - CONSECUTIVE_FAILURES_MOST).ok()?;
    Some(10_000_i64.saturating_mul(1 << doublings.min(20)).min(3_600_000))
}

/// Returns the time until which a host is backed off whose last consecutive failure happened now, or `None` if it is
/// not backed off.
pub fn backoff_until(consecutive_failures: i64, now: Timestamp) -> Option<Timestamp> {
    backoff_ms(consecutive_failures).map(|ms| now + ms)
}

/// Returns whether back-offs no longer help: the host failed again after several back-offs of an hour.
pub fn is_beyond_backoff(consecutive_failures: i64) -> bool {
    // the ninth doubling is the first that makes an hour; two more failures follow it
    consecutive_failures > CONSECUTIVE_FAILURES_MOST + 9 + 2
}

/// Returns whether a name can stand in an address and in a shell: up to 64 letters, digits, `-`, `_` and `.`, of which
/// the first is a letter or a digit.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_typed() {
        for name in ["a", "arm-1", "Build.Host_2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-x", ".x", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn each_failure_doubles_the_backoff() {
        assert_eq!(backoff_ms(2), None);
        assert_eq!([3, 4, 5].map(backoff_ms), [Some(10_000), Some(20_000), Some(40_000)]);
        assert_eq!([12, 1_000_000].map(backoff_ms), [Some(3_600_000); 2]);
        // a person is needed only after every back-off was tried
        assert!(!is_beyond_backoff(14) && is_beyond_backoff(15));
    }

    #[test]
    fn capabilities_from_another_machine_are_checked() {
        let capabilities = |labels: &[String], platform: &str| Capabilities {
            version: "1".into(),
            platform: platform.into(),
            labels: labels.iter().cloned().collect(),
            ..Capabilities::default()
        };
        assert_eq!(capabilities(&["gpu".into()], "linux/amd64").sane(), Ok(()));
        let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
        for bad in [
            capabilities(&many, "x"),
            capabilities(&["a|b".into()], "x"),
            capabilities(&[String::new()], "x"),
            capabilities(&[], "a\0b"),
            capabilities(&[], ""),
            Capabilities {
                pause: Some("x".repeat(2_001)),
                ..capabilities(&[], "x")
            },
            Capabilities {
                slots: u32::MAX,
                ..capabilities(&[], "x")
            },
            Capabilities {
                cpus: Some(-1e308),
                ..capabilities(&[], "x")
            },
            Capabilities {
                cpus: Some(f64::NAN),
                ..capabilities(&[], "x")
            },
            Capabilities {
                memory_mib: Some(u64::MAX),
                ..capabilities(&[], "x")
            },
            Capabilities {
                hours: Some("always\u{1b}]52;c;x".into()),
                ..capabilities(&[], "x")
            },
            capabilities(&["a\u{202e}b".into()], "x"),
        ] {
            assert!(bad.sane().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_read_as_they_are_written() {
        let labels: Labels = ["big", "gpu"].map(str::to_owned).into_iter().collect();
        assert_eq!(labels.to_string(), "|big||gpu|");
        assert_eq!(labels.to_string().parse(), Ok(labels));
        assert_eq!("".parse(), Ok(Labels::default()));
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in HostState::ALL {
            assert_eq!(state.name().parse(), Ok(*state));
        }
        assert!("asleep".parse::<HostState>().is_err());
    }
}
