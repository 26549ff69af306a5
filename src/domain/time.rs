//! Points in time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// A day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A point in time: milliseconds since 1970-01-01 00:00 UTC. Rows, JSON and calls between hosts and the coordinator
/// hold it as this number. An `i64` that is added or subtracted counts milliseconds, and so does the difference of
/// two points; no operation overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// Writes the number of milliseconds. To write a date, use [`show`].
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Add<i64> for Timestamp {
    type Output = Self;

    fn add(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl Sub<i64> for Timestamp {
    type Output = Self;

    fn sub(self, ms: i64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}

impl Sub for Timestamp {
    type Output = i64;

    fn sub(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self + millis(duration)
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        self - millis(duration)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a time in UTC as `2026-08-21 17:02`, or an empty text if no calendar has the time.
pub fn show(time: Timestamp) -> String {
    format(time, "%Y-%m-%d %H:%M")
}

/// Returns a time in UTC as `2026-08-21T17:02:03.004Z`, or an empty text if no calendar has the time.
pub fn show_exactly(time: Timestamp) -> String {
    format(time, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn format(time: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(time.as_millis()) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_by_durations_and_never_overflow() {
        let (noon, last) = (Timestamp::from_millis(12), Timestamp::from_millis(i64::MAX));
        assert_eq!(noon + Duration::from_millis(3), noon + 3);
        assert_eq!(noon - Duration::from_millis(13), Timestamp::from_millis(-1));
        assert_eq!((noon - 2) - noon, -2);
        assert_eq!(last + Duration::MAX, last);
        assert_eq!(serde_json::to_string(&noon).unwrap(), "12");
    }
}
