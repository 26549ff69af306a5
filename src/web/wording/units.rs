//! Formats times, sizes and names for people.

use crate::clock;
use crate::domain::time::Timestamp;
use serde::Serialize;

/// A point in time for people and for machines.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Time {
    /// `2026-08-21T17:02Z`.
    pub machine: String,
    /// `2026-08-21 17:02 UTC`.
    pub at: String,
    /// `5 min ago`, `in 5 min`.
    pub ago: String,
}

/// Formats a point in time relative to `now`.
pub fn time(at: Timestamp, now: Timestamp) -> Time {
    let shown = clock::show(at);
    Time {
        machine: format!("{}Z", shown.replace(' ', "T")),
        ago: ago(at, now),
        at: format!("{shown} UTC"),
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let plural = |n: i64, word: &str| format!("{n} {word}{} ago", if n == 1 { "" } else { "s" });
    match (now - at) / 1000 {
        ahead @ ..-129_600 => format!("in {} days", (43_200 - ahead) / 86_400),
        ahead @ -129_600..-5400 => format!("in {} h", (1800 - ahead) / 3600),
        ahead @ -5400..-45 => format!("in {} min", (30 - ahead) / 60),
        ..45 => "just now".to_owned(),
        seconds @ 45..5400 => format!("{} min ago", (seconds + 30) / 60),
        seconds @ 5400..129_600 => format!("{} h ago", (seconds + 1800) / 3600),
        seconds @ 129_600..5_184_000 => plural((seconds + 43_200) / 86_400, "day"),
        seconds @ 5_184_000..63_072_000 => plural(seconds / 2_592_000, "month"),
        seconds => plural(seconds / 31_536_000, "year"),
    }
}

/// Formats a duration in seconds: `0.4 s`, `34 s`, `2 min 5 s`, `1 h 20 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Formats a duration in seconds for the width of a cell: `<1 s`, `34 s`, `2 min`, `1.3 h`.
pub fn brief_duration(seconds: f64) -> String {
    match seconds.max(0.0).round() as u64 {
        0 => "<1 s".to_owned(),
        n @ 1..100 => format!("{n} s"),
        n @ 100..3600 => format!("{} min", (n + 30) / 60),
        n => format!("{:.1} h", n as f64 / 3600.0),
    }
}

/// Formats a number of bytes: `17 B`, `3.2 KiB`, `470 MiB`.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 10.0 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}

/// Shortens the name of a revision: returns the first ten characters of an id, or the whole label (`r45321`).
pub fn short(name: &str) -> &str {
    match name.get(..10) {
        Some(beginning) if !name.starts_with('r') => beginning,
        _ => name,
    }
}

/// Returns the first 16 characters of a digest, without `sha256:`.
pub fn short_digest(digest: &str) -> String {
    let bare = digest.strip_prefix("sha256:").unwrap_or(digest);
    bare.get(..16).unwrap_or(bare).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_labels_are_not() {
        assert_eq!(short("0123456789abcdef"), "0123456789");
        assert_eq!(short("r123456789"), "r123456789");
        assert_eq!(short("r5"), "r5");
    }

    #[test]
    fn numbers_have_units_that_people_use() {
        for (seconds, shown) in [
            (0.42, "0.4 s"),
            (34.2, "34 s"),
            (59.9, "1 min 0 s"),
            (125.0, "2 min 5 s"),
            (4800.0, "1 h 20 min"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
        for (bytes, shown) in [
            (17, "17 B"),
            (3277, "3.2 KiB"),
            (470 << 20, "470 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        let day = 86_400_000;
        for (past, shown) in [
            (-3 * day, "in 3 days"),
            (-7_200_000, "in 2 h"),
            (-60_000, "in 1 min"),
            (-5, "just now"),
            (60_000, "1 min ago"),
            (7_200_000, "2 h ago"),
            (2 * day, "2 days ago"),
            (90 * day, "3 months ago"),
            (800 * day, "2 years ago"),
        ] {
            assert_eq!(time(Timestamp::default(), Timestamp::from_millis(past)).ago, shown);
        }
        assert_eq!(
            time(Timestamp::default(), Timestamp::default()).machine,
            "1970-01-01T00:00Z"
        );
    }
}
