//! The limits of a run, with the units that people write: `30m`, `2GiB`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A number of bytes, written as `512MiB` or `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A duration in seconds, written as `90s`, `30m` or `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

/// The limits of one run. The settings of the operator bound them, and a recipe may only lower these bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long each phase may take.
    pub timeout: Seconds,
    /// How long a phase may go without output, CPU time or I/O.
    pub silence: Seconds,
    /// How much memory a container may use, without swap.
    pub memory: Size,
    /// How large the work folder may become, with sources, environment and all that the tests write.
    pub work: Size,
    /// How much log of each phase is kept: half of it from the beginning, half from the end.
    pub log: Size,
    /// How many processes and threads a container may have.
    pub pids: u64,
    /// How many processors a container may use.
    pub cpus: f64,
    /// How long all phases together may take.
    pub run_timeout: Seconds,
    /// How much log of all phases together is kept.
    pub run_log: Size,
}

/// Container engines refuse less memory.
const MEMORY_LEAST: Size = Size(6 << 20);
/// Engines refuse a smaller share of a processor.
const CPUS_LEAST: f64 = 0.01;
/// The shells and the Python of a phase.
const PIDS_LEAST: u64 = 8;
/// The files that Pybots puts into a work folder.
const WORK_LEAST: Size = Size(4 << 20);

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Seconds(30 * 60),
            silence: Seconds(5 * 60),
            memory: Size(2 << 30),
            work: Size(2 << 30),
            log: Size(16 << 20),
            pids: 512,
            cpus: 2.0,
            run_timeout: Seconds(4 * 3600),
            run_log: Size(64 << 20),
        }
    }
}

impl Limits {
    /// Returns the lower value of each limit.
    pub fn capped_by(&self, cap: &Limits) -> Limits {
        Limits {
            timeout: self.timeout.min(cap.timeout),
            silence: self.silence.min(cap.silence),
            memory: self.memory.min(cap.memory),
            work: self.work.min(cap.work),
            log: self.log.min(cap.log),
            pids: self.pids.min(cap.pids),
            cpus: self.cpus.min(cap.cpus),
            run_timeout: self.run_timeout.min(cap.run_timeout),
            run_log: self.run_log.min(cap.run_log),
        }
    }

    /// Returns limits that bound nothing, to check the limits of a recipe apart from any settings.
    pub fn unbounded() -> Self {
        Self {
            timeout: Seconds(u64::MAX),
            silence: Seconds(u64::MAX),
            memory: Size(u64::MAX),
            work: Size(u64::MAX),
            log: Size(u64::MAX),
            pids: u64::MAX,
            cpus: f64::MAX,
            run_timeout: Seconds(u64::MAX),
            run_log: Size(u64::MAX),
        }
    }

    /// Returns why no container can have these limits, or `None` if one can.
    pub fn impossible(&self) -> Option<String> {
        let least = |name: &str, least: &dyn fmt::Display| Some(format!("`{name}` must be at least {least}"));
        match self {
            _ if self.memory < MEMORY_LEAST => least("memory", &MEMORY_LEAST),
            _ if self.work < WORK_LEAST => least("work", &WORK_LEAST),
            _ if self.pids < PIDS_LEAST => least("pids", &PIDS_LEAST),
            // NaN is not a number of processors either
            _ if !(self.cpus >= CPUS_LEAST && self.cpus.is_finite()) => least("cpus", &CPUS_LEAST),
            _ => None,
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or_else(|| bad_size(text))?;
        let shift = match unit {
            "B" | "" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(bad_size(text)),
        };
        let bytes = number.checked_mul(1 << shift).filter(|n| *n > 0);
        bytes.map(Size).ok_or_else(|| bad_size(text))
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or_else(|| bad_time(text))?;
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(bad_time(text)),
        };
        let seconds = number.checked_mul(factor).filter(|n| *n > 0);
        seconds.map(Seconds).ok_or_else(|| bad_time(text))
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

fn bad_size(text: &str) -> String {
    format!("`{text}` is not a size; write a number with a unit, e.g. `512MiB` or `2GiB`")
}

fn bad_time(text: &str) -> String {
    format!("`{text}` is not a duration; write e.g. `90s`, `30m` or `2h`")
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % 3600 == 0 => write!(f, "{}h", n / 3600),
            n if n % 60 == 0 => write!(f, "{}m", n / 60),
            n => write!(f, "{n}s"),
        }
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Size);
as_text!(Seconds);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_round_trip() {
        for text in ["2GiB", "512MiB", "3KiB", "7B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["90s", "30m", "2h"] {
            assert_eq!(text.parse::<Seconds>().unwrap().to_string(), text);
        }
        for text in ["", "m", "0s", "1.5m", "5 minutes", "-1s", "99999999999999999999s"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
        assert!("2GB".parse::<Size>().unwrap_err().contains("GiB"));
        assert!("99999999999GiB".parse::<Size>().is_err());
    }

    #[test]
    fn limits_that_no_engine_accepts_are_impossible() {
        assert_eq!(Limits::default().impossible(), None);
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.impossible().unwrap_or_default()
        };
        assert_eq!(
            with(|l| l.memory = Size((6 << 20) - 1)),
            "`memory` must be at least 6MiB"
        );
        assert_eq!(with(|l| l.work = Size(1)), "`work` must be at least 4MiB");
        assert_eq!(with(|l| l.pids = 7), "`pids` must be at least 8");
        for cpus in [0.001, -1e308, f64::NAN, f64::INFINITY] {
            let limits = Limits {
                cpus,
                ..Limits::default()
            };
            assert_eq!(limits.impossible().unwrap(), "`cpus` must be at least 0.01", "{cpus}");
        }
    }

    #[test]
    fn a_recipe_only_lowers() {
        let asked = Limits {
            memory: Size(64 << 30),
            timeout: Seconds(5),
            ..Limits::default()
        };
        let got = asked.capped_by(&Limits::default());
        assert_eq!(got.memory, Limits::default().memory);
        assert_eq!(got.timeout, Seconds(5));
    }
}
