//! The loop over leases: ends attempts whose leases ran out, passes requests on, and notifies owners of silent hosts.

use super::{Coordinator, silent};
use crate::clock::{Clock, now};
use anyhow::Result;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_secs(1);

impl Coordinator {
    pub(super) async fn leases(&self) {
        let (mut clock, mut since) = (Clock::default(), Instant::now());
        let silent_after = Duration::from_secs(self.settings.owners.silent_after.0);
        loop {
            let passed = clock.passed(now(), Instant::now());
            if !passed {
                since = Instant::now();
            }
            let looked = self.look_at_leases(passed).await;
            if logged("leases", looked).is_none() {
                // while the coordinator could not read the store, hosts could not renew their leases either
                clock = Clock::default();
            }
            logged("requests", self.queue.look_for_requests().await);
            // a host counts as silent only if the coordinator ran all the time
            if since.elapsed() > silent_after {
                logged("silent hosts", silent::look(self, now()).await);
            }
            // a job's wait may be over, or another process may have added one
            self.queue.announce();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Ends the attempts whose leases or time limits ran out. If `passed` is false, time did not pass normally since
    /// the last look; then calls [`Queue::grant_grace`](crate::queue::Queue::grant_grace) instead.
    async fn look_at_leases(&self, passed: bool) -> Result<()> {
        if passed {
            self.queue.expire(now()).await?;
            self.queue.end_overdue(now()).await?;
            return Ok(());
        }
        // leases may have run out while no host could renew them
        let held = self.queue.grant_grace(now()).await?;
        if held > 0 {
            tracing::info!(held, "all leases are renewed");
        }
        Ok(())
    }
}

/// Logs the failure of one part, so that the others go on.
fn logged<T>(what: &str, looked: Result<T>) -> Option<T> {
    looked
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "failed to check {what}"))
        .ok()
}
