//! A registered host: what it is, and what it offers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The protocol that this program speaks, as host and as coordinator. Counted up when a call changes so
/// that the other side would misunderstand it.
pub const PROTOCOL: u32 = 1;

/// What a host says of itself, when it starts and whenever it asks for work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Of the program that it runs.
    pub version: String,
    /// e.g. `linux/amd64`.
    pub platform: String,
    /// Jobs at the same time.
    pub slots: u32,
    /// Projects that it takes; None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<String>>,
    /// Branches that it takes; None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branches: Option<BTreeSet<String>>,
    /// What it has beside the ordinary, e.g. `gpu`. A run that asks for labels goes where they all are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// Processors that each run may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory that each run may use; None: as much as it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// What it may take of its engine's disk; None: all that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
    /// When it works, for people; None: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Why it takes nothing at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<String>,
}

/// Most names in one list of an offer, and most bytes of one.
const NAMES_MOST: usize = 64;
const NAME_MOST: usize = 100;
/// Bytes of what an offer tells people.
const TOLD_MOST: usize = 2_000;
/// Jobs at the same time on one host.
const SLOTS_MOST: u32 = 1_000;

impl Offer {
    /// Whether a coordinator can work with it; it comes from outside. Otherwise why not.
    pub fn sane(&self) -> Result<(), String> {
        let lists = [self.projects.as_ref(), self.branches.as_ref(), Some(&self.labels)];
        for names in lists.into_iter().flatten() {
            if names.len() > NAMES_MOST {
                return Err(format!(
                    "an offer names {NAMES_MOST} projects, branches or labels at most"
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
            return Err(format!("an offer has {SLOTS_MOST} slots at most"));
        }
        let told = [&self.hours, &self.pause].into_iter().flatten();
        if let Some(long) = told.into_iter().find(|text| text.len() > TOLD_MOST) {
            return Err(format!(
                "an offer says why in {TOLD_MOST} bytes at most, not {}",
                long.len()
            ));
        }
        if [&self.version, &self.platform].into_iter().any(|text| !is_plain(text)) {
            return Err("an offer needs a version and a platform".to_owned());
        }
        Ok(())
    }
}

/// Jobs that are for one host alone have a label that begins so; none can say of itself that it has one.
const ONLY: &str = "only:";

/// The label of jobs that are for one host, by its id.
pub fn only(host: &str) -> String {
    format!("{ONLY}{host}")
}

/// Short, and without what a list of names is told apart by.
fn is_plain(name: &str) -> bool {
    (1..=NAME_MOST).contains(&name.len()) && !name.contains(|c: char| c.is_control() || c == '|')
}

/// Whether a host gets work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    Active,
    /// Ends what it has, and gets nothing new.
    Draining,
    /// Failed so often that it gets nothing until a person has looked at it.
    Quarantined,
    /// Known for its history only.
    Removed,
}

const STATES: [HostState; 4] = [
    HostState::Active,
    HostState::Draining,
    HostState::Quarantined,
    HostState::Removed,
];

impl HostState {
    pub fn name(self) -> &'static str {
        match self {
            HostState::Active => "active",
            HostState::Draining => "draining",
            HostState::Quarantined => "quarantined",
            HostState::Removed => "removed",
        }
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for HostState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        STATES
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| format!("there is no state {name:?} of a host"))
    }
}

/// So many jobs in a row that fail in the machinery of one host are no chance any more.
pub const STRIKES: i64 = 3;

/// How long a host rests after so many strikes, in milliseconds: 10 s, doubled up to an hour. After that it gets
/// one job at a time, until one of them ends well. None: it does not rest.
pub fn rest_ms(strikes: i64) -> Option<i64> {
    let doublings = u32::try_from(strikes - STRIKES).ok()?;
    Some(10_000_i64.saturating_mul(1 << doublings.min(20)).min(3_600_000))
}

/// Whether rest does not help: also after hours of it the host fails.
pub fn is_beyond_rest(strikes: i64) -> bool {
    // the ninth doubling is the first that makes an hour
    strikes > STRIKES + 9 + 2
}

/// A name that can stand in an address and in a shell: letters, digits, `-`, `_` and `.`.
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
    fn a_host_that_fails_rests_longer_each_time() {
        assert_eq!(rest_ms(2), None);
        assert_eq!([3, 4, 5].map(rest_ms), [Some(10_000), Some(20_000), Some(40_000)]);
        assert_eq!([12, 1_000_000].map(rest_ms), [Some(3_600_000); 2]);
        // no rest is left out before somebody has to come
        assert!(!is_beyond_rest(14) && is_beyond_rest(15));
    }

    #[test]
    fn offers_from_outside_are_looked_at() {
        let offer = |labels: &[String], platform: &str| Offer {
            version: "1".into(),
            platform: platform.into(),
            labels: labels.iter().cloned().collect(),
            ..Offer::default()
        };
        assert_eq!(offer(&["gpu".into()], "linux/amd64").sane(), Ok(()));
        let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
        for bad in [
            offer(&many, "x"),
            offer(&["a|b".into()], "x"),
            offer(&[String::new()], "x"),
            offer(&[], "a\0b"),
            offer(&[], ""),
            Offer {
                pause: Some("x".repeat(2_001)),
                ..offer(&[], "x")
            },
            Offer {
                slots: u32::MAX,
                ..offer(&[], "x")
            },
        ] {
            assert!(bad.sane().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in STATES {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!("asleep".parse::<HostState>().is_err());
    }
}
