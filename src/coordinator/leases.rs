//! The beat of the queue: leases that ran out, times that have come, what maintainers and owners are to know.

use super::{Coordinator, silent};
use crate::clock::{Clock, now_ms};
use anyhow::Result;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_secs(1);

impl Coordinator {
    pub(super) async fn leases(&self) {
        let (mut clock, mut since) = (Clock::default(), Instant::now());
        let silent_after = Duration::from_secs(self.settings.owners.silent_after.0);
        loop {
            let passed = clock.passed(now_ms(), Instant::now());
            if !passed {
                since = Instant::now();
            }
            let looked = self.look_at_leases(passed).await;
            if said("leases", looked).is_none() {
                // hosts could not renew either: what ran out meanwhile says nothing of them
                clock = Clock::default();
            }
            said("wishes", self.queue.look_for_wishes().await);
            // nobody has fallen silent towards a coordinator that was not there to listen
            if since.elapsed() > silent_after {
                said("silent hosts", silent::look(self, now_ms()).await);
            }
            // a job's time to be tried again may have come, or another process has brought one
            self.queue.announce();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// `passed`: since the look before, time has passed as it should.
    async fn look_at_leases(&self, passed: bool) -> Result<()> {
        if passed {
            self.queue.expire(now_ms()).await?;
            return Ok(());
        }
        // a lease that ran out while nobody could renew it says nothing of its host
        let held = self.queue.grant_grace(now_ms()).await?;
        if held > 0 {
            tracing::info!(held, "leases hold for their time from now on");
        }
        Ok(())
    }
}

/// One part that fails does not hold up the others.
fn said<T>(what: &str, looked: Result<T>) -> Option<T> {
    looked
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "failed to look at {what}"))
        .ok()
}
