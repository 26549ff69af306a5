//! The parts of a coordinator that calls of the API change.

use crate::coordinator::Coordinator;
use crate::queue::Queue;
use crate::store::Store;
use std::sync::Arc;

/// The store and the queue of a coordinator, which may run in this process or in another.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub queue: Queue,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Desk {
    /// Returns the desk of a coordinator in this process.
    pub fn of(coordinator: &Coordinator) -> Self {
        let woken = coordinator.clone();
        Self {
            store: coordinator.store.clone(),
            queue: coordinator.queue.clone(),
            wake: Arc::new(move || woken.nudge()),
        }
    }

    /// Returns the desk of a coordinator that may run in another process. That coordinator sees changes at its next
    /// pass.
    pub fn beside(store: &Store) -> Self {
        Self {
            store: store.clone(),
            queue: Queue::new(store.clone()),
            wake: Arc::new(|| ()),
        }
    }

    /// Starts the coordinator's next pass at once, if it runs in this process.
    pub fn nudge(&self) {
        (self.wake)();
    }
}
