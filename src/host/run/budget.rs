//! The limits of all phases of a run together. Each phase has limits of its own, but a recipe chooses how many suites
//! there are.

use crate::domain::limits::{Limits, Seconds, Size};
use crate::host::log::Log;
use std::time::{Duration, Instant};

/// The time and the log that a run may use.
pub struct Budget {
    end: Instant,
    /// The offset in the attempt's log up to which phases write freely.
    log_end: u64,
}

/// The least bytes of log that each phase keeps, however much the phases before it wrote. Its end says why it failed.
const LOG_LEAST: u64 = 64 << 10;

impl Budget {
    /// Creates the budget of a run that begins now.
    pub fn of(limits: &Limits, log: &Log) -> Self {
        // a duration that no clock can add counts as no limit; each phase still has its own
        let most = Duration::from_secs(limits.run_timeout.0.min(u64::from(u32::MAX)));
        Self {
            end: Instant::now() + most,
            log_end: log.position().saturating_add(limits.run_log.0),
        }
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Returns the time for a phase whose own limit is `most`. A run whose time is over gives a second.
    pub fn time(&self, most: Seconds) -> Seconds {
        let left = self.end.saturating_duration_since(Instant::now()).as_secs();
        most.min(Seconds(left.max(1)))
    }

    /// Returns how much log is kept of a phase whose own limit is `most`.
    pub fn log(&self, most: Size, log: &Log) -> Size {
        let left = self.log_end.saturating_sub(log.position());
        most.min(Size(left.max(LOG_LEAST)))
    }
}
