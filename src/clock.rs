//! The time of day, in the one form that is stored.

use std::time::Instant;

/// Milliseconds since the epoch, UTC.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The end of a day, UTC, in milliseconds.
pub fn end_of_day(day: jiff::civil::Date) -> Result<i64, jiff::Error> {
    let end = day.tomorrow()?.to_zoned(jiff::tz::TimeZone::UTC)?;
    Ok(end.timestamp().as_millisecond())
}

/// `2026-08-21 17:02` in UTC; empty for a time that no calendar holds.
pub fn show(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => String::new(),
    }
}

/// `2026-08-21T17:02:03.004Z`; empty for a time that no calendar holds.
pub fn show_exactly(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => String::new(),
    }
}

/// Tells whether the time of day went on as it should: no process was stopped, no clock was set.
#[derive(Default)]
pub struct Clock {
    last: Option<(i64, Instant)>,
}

/// Between two looks, a second apart, no more than this may pass by either clock.
const STRIDE_MS: i64 = 15_000;

impl Clock {
    /// Whether it did since the last look; not at the first.
    pub fn passed(&mut self, now_ms: i64, now: Instant) -> bool {
        let Some((then_ms, then)) = self.last.replace((now_ms, now)) else {
            return false;
        };
        let stood_still = now.duration_since(then).as_millis() > STRIDE_MS as u128;
        !stood_still && (0..=STRIDE_MS).contains(&(now_ms - then_ms))
    }
}
