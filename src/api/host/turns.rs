//! Turns in calls that cost the coordinator much. Each host and all hosts together have a limited number at the same
//! time; further calls wait. A host that calls again and again delays only itself.

use crate::domain::id::HostId;
use crate::web::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns in each kind of costly call.
#[derive(Debug)]
pub struct CostlyCalls {
    /// Each call runs `git archive` until the host has read the tree.
    pub trees: Turns,
    /// Each call compares two revisions.
    pub changes: Turns,
    /// Each call keeps a source folder in memory until the host has read it.
    pub folders: Turns,
    /// Each call reads and writes a row for each image.
    pub inventories: Turns,
}

impl Default for CostlyCalls {
    fn default() -> Self {
        Self {
            trees: Turns::new(2, 16),
            changes: Turns::new(2, 16),
            // every host may read folders, so the limit of all is high: one host must not fill it
            folders: Turns::new(2, 64),
            inventories: Turns::new(1, 4),
        }
    }
}

/// The turns in one kind of call.
#[derive(Debug)]
pub struct Turns {
    of_one: usize,
    of_all: Arc<Semaphore>,
    by_host: Mutex<HashMap<HostId, Arc<Semaphore>>>,
}

/// The right to make one call. Dropping it passes the turn on.
#[derive(Debug)]
pub struct CallPermit {
    _of_one: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// Allows `of_one` calls at a time of one host, and `all` calls of all hosts together.
    fn new(of_one: usize, all: usize) -> Self {
        Self {
            of_one,
            of_all: Arc::new(Semaphore::new(all)),
            by_host: Mutex::default(),
        }
    }

    /// Waits for a turn. Turns come in the order of the calls.
    pub async fn wait(&self, host: &HostId) -> Result<CallPermit, Error> {
        // a host that waits for its own limit takes no turn from other hosts
        let of_one = take(self.of(host)).await?;
        let of_all = take(self.of_all.clone()).await?;
        Ok(CallPermit {
            _of_one: of_one,
            _of_all: of_all,
        })
    }

    fn of(&self, host: &HostId) -> Arc<Semaphore> {
        let mut by_host = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
        // each permit and each waiting call holds its host's semaphore: the others can go
        by_host.retain(|_, turns| Arc::strong_count(turns) > 1);
        let turns = by_host
            .entry(host.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.of_one)));
        turns.clone()
    }
}

async fn take(turns: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let taken = turns.acquire_owned().await;
    // the semaphore is never closed
    taken.map_err(|_| Error::Unavailable("the coordinator stops; try again in a minute".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_host_waits_for_itself_and_keeps_nobody_out() {
        let turns = Turns::new(1, 2);
        let [one, two, three] = ["one", "two", "three"].map(HostId::from);
        let first = turns.wait(&one).await.unwrap();
        let mut second = Box::pin(turns.wait(&one));
        assert!(second.as_mut().now_or_never().is_none());
        let _other = turns.wait(&two).await.unwrap();
        let mut third = Box::pin(turns.wait(&three));
        assert!(third.as_mut().now_or_never().is_none(), "two have a turn");
        drop(first);
        // the call that waited for a turn among all hosts comes before the one that waited for its own host
        drop(third.await.unwrap());
        drop(second.await.unwrap());
        drop(turns.wait(&two).now_or_never());
        assert_eq!(
            turns.by_host.lock().unwrap().len(),
            1,
            "hosts without a turn are left out"
        );
    }
}
