//! What calls change.

use crate::coordinator::Coordinator;
use crate::queue::Queue;
use crate::store::Store;
use std::sync::Arc;

/// The store and the queue of a coordinator, whether it runs in this process or not.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub queue: Queue,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Desk {
    /// The desk of a coordinator in this process.
    pub fn of(coordinator: &Coordinator) -> Self {
        let woken = coordinator.clone();
        Self {
            store: coordinator.store.clone(),
            queue: coordinator.queue.clone(),
            wake: Arc::new(move || woken.nudge()),
        }
    }

    /// The desk of a coordinator that may run elsewhere, and sees changes in the store at its next pass.
    pub fn beside(store: &Store) -> Self {
        Self {
            store: store.clone(),
            queue: Queue::new(store.clone()),
            wake: Arc::new(|| ()),
        }
    }

    /// Lets the coordinator look at once.
    pub fn nudge(&self) {
        (self.wake)();
    }
}
