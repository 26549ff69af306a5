//! Tracks attempts whose containers and volumes may still be on the engine: their clean-up failed, or they were broken
//! off while the engine was creating something.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after a failure the engine may still complete a request that nobody waits for any more.
const DOUBT: Duration = Duration::from_secs(60);

/// The running attempts, and the time until which leftovers are likely. Clones share the state.
#[derive(Clone)]
pub struct Leftovers(Arc<Mutex<LeftoversState>>);

struct LeftoversState {
    at_work: BTreeSet<String>,
    doubtful_until: Instant,
}

/// Marks an attempt as running. Dropping it without [`AtWork::end`] means that the attempt was broken off.
pub struct AtWork {
    leftovers: Leftovers,
    attempt: String,
    ended: bool,
}

impl Default for Leftovers {
    /// Begins in doubt, because an earlier process may have left something.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LeftoversState {
            at_work: BTreeSet::new(),
            doubtful_until: Instant::now() + DOUBT,
        })))
    }
}

impl Leftovers {
    fn state(&self) -> MutexGuard<'_, LeftoversState> {
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

    /// Returns whether an ended attempt may have left something.
    pub fn is_doubtful(&self) -> bool {
        Instant::now() <= self.state().doubtful_until
    }

    pub fn is_at_work(&self, attempt: &str) -> bool {
        self.state().at_work.contains(attempt)
    }

    /// Notes that an attempt may have left something.
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
