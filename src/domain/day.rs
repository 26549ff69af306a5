//! A day of the calendar, in UTC.

use super::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A day in UTC, written `2025-12-03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// Returns the day of a time, or `None` if no calendar has it.
    pub fn of(time: Timestamp) -> Option<Self> {
        let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
        Some(Self(time.to_zoned(TimeZone::UTC).date()))
    }

    /// Returns the moment at which the day is over, or `None` if it is the last one of the calendar.
    pub fn end(self) -> Option<Timestamp> {
        let next = self.0.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let date = text
            .parse()
            .map_err(|_| format!("{text:?} is no day; write it like 2025-12-03"))?;
        Ok(Self(date))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_utc() {
        let day = Day::of(Timestamp::from_millis(1_764_806_399_999)).unwrap();
        assert_eq!(day.end(), Some(Timestamp::from_millis(1_764_806_400_000)));
        assert_eq!(day.to_string(), "2025-12-03");
        assert_eq!(
            Day::of(Timestamp::from_millis(1_764_806_400_000)).unwrap().to_string(),
            "2025-12-04"
        );
        assert_eq!(serde_json::to_string(&day).unwrap(), "\"2025-12-03\"");
        assert_eq!(serde_json::from_str::<Day>("\"2025-12-03\"").unwrap(), day);
        assert_eq!(Day::of(Timestamp::from_millis(i64::MAX)), None);
        for wrong in ["2025-13-01", "yesterday", "", "2025-12"] {
            assert!(wrong.parse::<Day>().unwrap_err().contains("is no day"), "{wrong}");
        }
    }
}
