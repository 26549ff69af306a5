//! The time of day.

pub use crate::domain::time::{show, show_exactly};

use crate::domain::time::Timestamp;
use std::time::Instant;

pub fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Returns the end of a day in UTC.
pub fn end_of_day(day: jiff::civil::Date) -> Result<Timestamp, jiff::Error> {
    let end = day.tomorrow()?.to_zoned(jiff::tz::TimeZone::UTC)?;
    Ok(Timestamp::from_millis(end.timestamp().as_millisecond()))
}

/// Finds out whether the process was stopped, or the clock of the machine set, since it last looked.
#[derive(Default)]
pub struct Clock {
    last: Option<(Timestamp, Instant)>,
}

/// The longest time between two looks, in milliseconds. Looks are a second apart, so a longer time means that the
/// process was stopped or the clock set.
const STRIDE_MS: i64 = 15_000;

impl Clock {
    /// Returns whether time passed normally since the last look. Returns `false` at the first look.
    pub fn passed(&mut self, now: Timestamp, instant: Instant) -> bool {
        let Some((then, earlier)) = self.last.replace((now, instant)) else {
            return false;
        };
        let stood_still = instant.duration_since(earlier).as_millis() > STRIDE_MS as u128;
        !stood_still && (0..=STRIDE_MS).contains(&(now - then))
    }
}
