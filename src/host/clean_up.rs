//! Removes what attempts have left on the engine.

use super::Host;
use crate::runtime::{ATTEMPT_LABEL, Owned, Result};

impl Host {
    /// Removes everything that an attempt created. A failure is logged, and [`Host::clear_left`] tries again.
    pub(super) async fn clear(&self, attempt: &str) {
        if let Err(error) = self.runtime.reap(ATTEMPT_LABEL, attempt).await {
            tracing::warn!(attempt, %error, "failed to clean up after an attempt; trying again when the engine answers");
            self.leftovers.doubt();
        }
    }

    /// Removes what attempts that have ended left on the engine, if there is reason to look for it.
    pub async fn clear_left(&self) {
        if !self.leftovers.is_doubtful() {
            return;
        }
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "failed to clean up after attempts");
            self.leftovers.doubt();
        }
    }

    async fn sweep(&self) -> Result<()> {
        let mut owned = self.runtime.users().await?.attempts;
        let volumes = self.runtime.volumes(ATTEMPT_LABEL).await?;
        owned.extend(volumes.iter().filter_map(|volume| Owned::read(&volume.labels)));
        for Owned {
            host,
            instance,
            attempt,
        } in owned
        {
            // checked after the engine was listed: an attempt that started since then is not taken for one that has
            // ended
            let is_ours = host == self.id && self.instances.may_remove(instance.as_deref());
            if is_ours && !self.leftovers.is_at_work(&attempt) {
                let count = self.runtime.reap(ATTEMPT_LABEL, &attempt).await?;
                tracing::info!(attempt, count, "cleaned up after an attempt");
            }
        }
        Ok(())
    }
}
