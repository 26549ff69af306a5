//! Locks on images. The engine counts an image as used only once a container exists. A job relies on the image earlier:
//! from the moment at which it finds that the image is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A lock for each build key: jobs share it, and a removal holds it alone.
#[derive(Clone, Default)]
pub struct ImageLocks {
    keys: Arc<Mutex<BTreeMap<String, Arc<RwLock<()>>>>>,
}

impl ImageLocks {
    /// Waits while the image is being removed, then takes a share of its lock.
    pub async fn share(&self, key: &str) -> OwnedRwLockReadGuard<()> {
        self.lock(key).read_owned().await
    }

    /// Returns the lock for a removal, or `None` if a job uses the image.
    pub fn alone(&self, key: &str) -> Option<OwnedRwLockWriteGuard<()>> {
        self.lock(key).try_write_owned().ok()
    }

    fn lock(&self, key: &str) -> Arc<RwLock<()>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, lock| Arc::strong_count(lock) > 1);
        keys.entry(key.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_is_shared_by_jobs_and_never_removed_under_them() {
        let uses = ImageLocks::default();
        let (first, second) = (uses.share("k").await, uses.share("k").await);
        assert!(uses.alone("k").is_none() && uses.alone("other").is_some());
        drop((first, second));
        let removal = uses.alone("k");
        assert!(removal.is_some());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(10), uses.share("k")).await;
        assert!(waits.is_err());
        drop(removal);
        drop(uses.share("k").await);
    }
}
