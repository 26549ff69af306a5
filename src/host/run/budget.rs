//! What all phases of a run may take together: each phase has limits of its own, and a recipe chooses how many suites there are.

use crate::domain::limits::{Limits, Seconds, Size};
use crate::host::log::Log;
use std::time::{Duration, Instant};

/// Time and log of a run.
pub struct Budget {
    end: Instant,
    /// The offset in the attempt's log up to which phases write freely.
    log_end: u64,
}

/// A phase keeps so much log, whatever the phases before it wrote: its end is there that says why it failed.
const LOG_LEAST: u64 = 64 << 10;

impl Budget {
    /// The budget of a run that begins now.
    pub fn of(limits: &Limits, log: &Log) -> Self {
        // a duration that no clock can add is no limit; each phase still has its own
        let most = Duration::from_secs(limits.run_timeout.0.min(u64::from(u32::MAX)));
        Self {
            end: Instant::now() + most,
            log_end: log.position().saturating_add(limits.run_log.0),
        }
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// The time that a phase gets, of `most`.
    pub fn time(&self, most: Seconds) -> Seconds {
        let left = self.end.saturating_duration_since(Instant::now()).as_secs();
        most.min(Seconds(left.max(1)))
    }

    /// The log that is kept of a phase, of `most`.
    pub fn log(&self, most: Size, log: &Log) -> Size {
        let left = self.log_end.saturating_sub(log.position());
        most.min(Size(left.max(LOG_LEAST)))
    }
}
