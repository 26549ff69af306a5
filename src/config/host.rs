//! `[host]`: the host policy, by which the owner of a machine decides what it does and for whom.

use crate::domain::host::{Capabilities, is_name};
use crate::domain::hours::{Window, open};
use crate::domain::job::JobSpec;
use crate::domain::limits::{Limits, Size};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The table `[host]`. A running host reads it again when the file changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSettings {
    /// The projects that may run here. If empty, all may.
    pub projects: BTreeSet<String>,
    /// The branches whose revisions may be built and run here. If empty, all may.
    pub branches: BTreeSet<String>,
    /// Labels of this host. A recipe requires labels with `needs`.
    pub labels: BTreeSet<String>,
    /// The hours in which the host takes jobs. If empty, it always does.
    pub hours: Vec<Window>,
    /// The time zone of `hours`, such as `Europe/Berlin`. If empty, the zone of the machine.
    pub time_zone: String,
    /// Processors that each run may use, as a quota.
    pub cpus: f64,
    /// Memory that each run may use. If `None`, only the recipe limits it.
    #[serde(with = "or_all")]
    pub memory: Option<Size>,
    /// Disk space of the engine that Pybots may use. If `None`, it may use all that is free.
    #[serde(with = "or_all")]
    pub disk: Option<Size>,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            projects: BTreeSet::new(),
            branches: BTreeSet::new(),
            labels: BTreeSet::new(),
            hours: Vec::new(),
            time_zone: String::new(),
            cpus: std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64),
            memory: None,
            disk: None,
        }
    }
}

impl HostSettings {
    /// Checks the values. The error says what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        if !(self.cpus >= 0.01 && self.cpus.is_finite()) {
            return Err("`host.cpus` must be above zero, e.g. `cpus = 1.5`".to_owned());
        }
        if let Some(label) = self.labels.iter().find(|label| !is_name(label)) {
            return Err(format!(
                "`host.labels`: {label:?} can't be a label; write up to 64 letters, digits, `-`, `_` and `.`"
            ));
        }
        self.zone().map(drop)
    }

    fn zone(&self) -> Result<TimeZone, String> {
        if self.time_zone.is_empty() {
            return Ok(TimeZone::system());
        }
        TimeZone::get(&self.time_zone).map_err(|error| {
            format!(
                "`host.time_zone`: there is no zone {:?} here ({error}); write e.g. `Europe/Berlin`, or remove the setting",
                self.time_zone
            )
        })
    }

    /// Returns why the host takes no job at this time, or `None` if the time is within its hours.
    pub fn rests(&self, at: Timestamp) -> Option<String> {
        // the zone was checked when the settings were read
        let local = at.to_zoned(self.zone().unwrap_or(TimeZone::UTC));
        let day = local.weekday().to_monday_zero_offset();
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let is_open = open(
            &self.hours,
            usize::try_from(day).unwrap_or(0),
            u16::try_from(minute).unwrap_or(0),
        );
        match (is_open, self.shown_hours()) {
            (false, Some(hours)) => Some(format!(
                "it is {}; this host works {hours}",
                local.strftime("%a %H:%M %Z")
            )),
            _ => None,
        }
    }

    /// Returns the hours as text: `22:00-07:00, sat-sun 00:00-24:00 (Europe/Berlin)`. Returns `None` if the host always
    /// takes jobs.
    pub fn shown_hours(&self) -> Option<String> {
        let windows: Vec<String> = self.hours.iter().map(Window::to_string).collect();
        let zone = match self.time_zone.as_str() {
            "" => TimeZone::system().iana_name().unwrap_or("local time").to_owned(),
            zone => zone.to_owned(),
        };
        (!windows.is_empty()).then(|| format!("{} ({zone})", windows.join(", ")))
    }

    /// Returns the capabilities that the host reports under this policy.
    pub fn capabilities(&self, capabilities: &Capabilities) -> Capabilities {
        let some = |names: &BTreeSet<String>| (!names.is_empty()).then(|| names.clone());
        Capabilities {
            projects: some(&self.projects),
            branches: some(&self.branches),
            labels: self.labels.clone().into(),
            cpus: Some(self.cpus),
            memory_mib: self.memory.map(|size| size.0 >> 20),
            disk_gib: self.disk.map(|size| size.0 >> 30),
            hours: self.shown_hours(),
            ..capabilities.clone()
        }
    }

    /// Returns why this host refuses a job, or `None` if it accepts the job. The host policy takes precedence over the
    /// coordinator. [`HostSettings::rests`] checks the hours, which this function ignores.
    pub fn refuses(&self, spec: &JobSpec) -> Option<String> {
        let none_of = |accepted: &BTreeSet<String>, name: &str| !accepted.is_empty() && !accepted.contains(name);
        let branch = &spec.build().branch;
        if none_of(&self.branches, branch) {
            return Some(format!("the policy of this host excludes the branch {branch}"));
        }
        let JobSpec::Run(run) = spec else { return None };
        let missing: Vec<&str> = run.labels.difference(&self.labels).map(String::as_str).collect();
        match self.memory {
            _ if none_of(&self.projects, &run.project) => {
                Some(format!("the policy of this host excludes the project {}", run.project))
            }
            _ if !missing.is_empty() => Some(format!("this host lacks the labels {}", missing.join(", "))),
            // with less memory than its limit, the run could fail, and the code would be blamed
            Some(given) if run.limits.memory > given => Some(format!(
                "this host gives a run {given} of memory, and this one may use {}",
                run.limits.memory
            )),
            _ => None,
        }
    }

    /// Returns the limits of a run with no more processors than `cpus`. Fewer processors make a run slower, but do not
    /// change its result. The other limits stay: the host refuses a run that may use more than its memory.
    pub fn cap(&self, limits: &Limits) -> Limits {
        Limits {
            cpus: limits.cpus.min(self.cpus),
            ..limits.clone()
        }
    }
}

/// Reads and writes a size, or the word `all` for `None`, so that a setting without a limit has a value that can be
/// shown.
mod or_all {
    use crate::domain::limits::Size;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(size: &Option<Size>, serializer: S) -> Result<S::Ok, S::Error> {
        match size {
            Some(size) => serializer.collect_str(size),
            None => serializer.serialize_str("all"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "all" => Ok(None),
            text => text.parse().map(Some).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> HostSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let policy = policy("hours = [\"22:00-07:00\"]\ntime_zone = \"Asia/Tokyo\"");
        // Tokyo is nine hours ahead, all year round
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(policy.rests(at("2026-11-23T13:30:00Z")), None);
        let why = policy.rests(at("2026-11-23T22:30:00Z")).unwrap();
        assert_eq!(why, "it is Tue 07:30 JST; this host works 22:00-07:00 (Asia/Tokyo)");
        assert_eq!(HostSettings::default().rests(at("2026-11-23T22:30:00Z")), None);
    }

    #[test]
    fn nonsense_says_what_to_write() {
        for (text, part) in [
            ("cpus = 0.0", "above zero"),
            ("labels = [\"a b\"]", "can't be a label"),
            ("time_zone = \"Europe/Nowhere\"", "Europe/Berlin"),
        ] {
            let error = policy(text).sane().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        for (text, part) in [("memory = \"2GB\"", "2GiB"), ("hours = [\"always\"]", "22:00-07:00")] {
            let error = toml::from_str::<HostSettings>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(policy("").sane(), Ok(()));
        assert_eq!(policy("memory = \"all\"").memory, None);
    }
}
