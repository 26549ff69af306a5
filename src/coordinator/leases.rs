//! The beat of the queue: leases that ran out, times that have come, what maintainers and owners are to know.

use super::Coordinator;
use crate::clock::{Clock, now_ms};
use anyhow::Result;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_secs(1);

impl Coordinator {
    pub(super) async fn leases(&self) {
        let mut clock = Clock::default();
        loop {
            let passed = clock.passed(now_ms(), Instant::now());
            if let Err(error) = self.look_at_leases(passed).await {
                tracing::error!(error = format!("{error:#}"), "failed to look at leases");
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    /// `passed`: since the look before, time has passed as it should.
    async fn look_at_leases(&self, passed: bool) -> Result<()> {
        let Self { queue, .. } = self;
        if passed {
            queue.expire(now_ms()).await?;
        } else {
            // a lease that ran out while nobody could renew it says nothing of its host
            let held = queue.grant_grace(now_ms()).await?;
            if held > 0 {
                tracing::info!(held, "leases hold for their time from now on");
            }
        }
        queue.look_for_wishes().await?;
        super::silent::look(self, now_ms()).await?;
        // a job's time to be tried again may have come, or another process has brought one
        queue.announce();
        Ok(())
    }
}
