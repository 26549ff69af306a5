//! Locks by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// A lock for each name. Clones share them.
#[derive(Clone, Default)]
pub struct NameLocks {
    names: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl NameLocks {
    /// Waits for the lock of a name, and takes it.
    pub async fn hold(&self, name: &str) -> OwnedMutexGuard<()> {
        self.lock(name).lock_owned().await
    }

    /// Returns the lock of a name, or `None` if somebody holds it.
    pub fn hold_if_free(&self, name: &str) -> Option<OwnedMutexGuard<()>> {
        self.lock(name).try_lock_owned().ok()
    }

    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // drop the locks that nobody holds or waits for
        names.retain(|_, lock| Arc::strong_count(lock) > 1);
        names.entry(name.to_owned()).or_default().clone()
    }
}
