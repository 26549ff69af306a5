//! The time of day.

use crate::domain::time::Timestamp;
use std::time::Instant;

pub fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// The end of a day in UTC.
pub fn end_of_day(day: jiff::civil::Date) -> Result<Timestamp, jiff::Error> {
    let end = day.tomorrow()?.to_zoned(jiff::tz::TimeZone::UTC)?;
    Ok(Timestamp::from_millis(end.timestamp().as_millisecond()))
}

/// `2026-08-21 17:02` in UTC; empty if no calendar has the time.
pub fn show(time: Timestamp) -> String {
    format(time, "%Y-%m-%d %H:%M")
}

/// `2026-08-21T17:02:03.004Z`; empty if no calendar has the time.
pub fn show_exactly(time: Timestamp) -> String {
    format(time, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn format(time: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(time.as_millis()) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => String::new(),
    }
}

/// Finds out whether the process was stopped, or the clock of the machine set, since it last looked.
#[derive(Default)]
pub struct Clock {
    last: Option<(Timestamp, Instant)>,
}

/// Looks are a second apart. More time than this between two of them means that the process was stopped or the clock set.
const STRIDE_MS: i64 = 15_000;

impl Clock {
    /// Whether time passed normally since the last look. Returns false at the first look.
    pub fn passed(&mut self, now: Timestamp, instant: Instant) -> bool {
        let Some((then, earlier)) = self.last.replace((now, instant)) else {
            return false;
        };
        let stood_still = instant.duration_since(earlier).as_millis() > STRIDE_MS as u128;
        !stood_still && (0..=STRIDE_MS).contains(&(now - then))
    }
}
