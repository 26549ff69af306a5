//! What attempts leave on the engine. Whoever ends one removes what it made; where that fails, or where it was
//! broken off while the engine was still at it, somebody has to look again.

use super::Host;
use crate::runtime::{ATTEMPT_LABEL, Owned, Result};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long after something went wrong things may still appear that nobody wants any more.
const DOUBT: Duration = Duration::from_secs(60);

/// What is at work, and whether something may have been left. Cheap to clone.
#[derive(Clone)]
pub struct Leftovers(Arc<Mutex<State>>);

struct State {
    at_work: BTreeSet<String>,
    doubtful_until: Instant,
}

/// An attempt is at work as long as it is held. Whoever drops it unended has broken the attempt off.
pub struct AtWork {
    leftovers: Leftovers,
    attempt: String,
    ended: bool,
}

impl Default for Leftovers {
    /// At the start, too, an earlier life may have left something.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            at_work: BTreeSet::new(),
            doubtful_until: Instant::now() + DOUBT,
        })))
    }
}

impl Leftovers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn at_work(&self, attempt: &str) -> AtWork {
        self.state().at_work.insert(attempt.to_owned());
        AtWork {
            leftovers: self.clone(),
            attempt: attempt.to_owned(),
            ended: false,
        }
    }

    /// Something may be left.
    pub fn doubt(&self) {
        self.state().doubtful_until = Instant::now() + DOUBT;
    }
}

impl AtWork {
    pub fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.ended {
            self.leftovers.doubt();
        }
        self.leftovers.state().at_work.remove(&self.attempt);
    }
}

impl Host {
    /// Removes what an attempt has made.
    pub(super) async fn clear(&self, attempt: &str) {
        if let Err(error) = self.runtime.reap(ATTEMPT_LABEL, attempt).await {
            tracing::warn!(attempt, %error, "failed to remove what an attempt left; it goes when the engine answers");
            self.leftovers.doubt();
        }
    }

    /// Removes what attempts have left that are not at work any more, if there is reason to look.
    pub async fn clear_left(&self) {
        if self.leftovers.state().doubtful_until < Instant::now() {
            return;
        }
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "failed to remove what attempts left");
            self.leftovers.doubt();
        }
    }

    async fn sweep(&self) -> Result<()> {
        let mut owned = self.runtime.users().await?.attempts;
        let volumes = self.runtime.volumes(ATTEMPT_LABEL).await?;
        owned.extend(volumes.iter().filter_map(|volume| Owned::read(&volume.labels)));
        for Owned { host, attempt } in owned {
            // after the look at the engine: who came to work since is not taken for one that has ended
            if host == self.id && !self.leftovers.state().at_work.contains(&attempt) {
                let count = self.runtime.reap(ATTEMPT_LABEL, &attempt).await?;
                tracing::info!(attempt, count, "removed what an attempt had left");
            }
        }
        Ok(())
    }
}
