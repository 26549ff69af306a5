//! Jobs wait here until a host leases them. The one place that ends an attempt: whatever happened
//! (an exit, a timeout, a lost host, a cancel), it goes through [`Queue::finish`] or [`Queue::give_up`].

mod choose;
mod claim;
mod end;
mod wishes;

pub use choose::fits;
pub use wishes::Wished;

use crate::domain::host::rest_ms;
use crate::domain::job::{JobSpec, Report};
use crate::domain::outcome::Outcome;
use crate::store::attempts::Attempt;
use crate::store::jobs::NewJob;
use crate::store::{Conflict, Store, Tx};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, futures::Notified, watch};

/// How long a lease holds without a renewal.
pub const LEASE_MS: i64 = 60_000;

/// How long the first one holds: a host renews within seconds, or has not got the answer to its claim.
const FIRST_LEASE_MS: i64 = 15_000;

#[derive(Clone)]
pub struct Queue {
    store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    /// Told whenever a job may have become claimable.
    work: Notify,
    /// How often it was told.
    announced: AtomicU64,
    /// What it was when nothing was left to claim.
    empty_at: AtomicU64,
    claims: claim::Claims,
    /// Attempts in work that are to end.
    unwanted: watch::Sender<BTreeSet<String>>,
}

/// A leased job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub attempt: String,
    pub number: i64,
    /// Whoever ends the attempt must know it: a holder of an earlier lease does not.
    pub fence: String,
    /// The host may build images.
    pub builds: bool,
    pub spec: JobSpec,
}

/// What a report was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Taken {
    Counted,
    /// Somebody else had been given the job meanwhile: it is kept, and does not count.
    Late,
}

impl Queue {
    pub fn new(store: Store) -> Self {
        let shared = Shared {
            work: Notify::new(),
            announced: AtomicU64::new(1),
            empty_at: AtomicU64::new(0),
            claims: claim::Claims::default(),
            unwanted: watch::Sender::new(BTreeSet::new()),
        };
        Self {
            store,
            shared: Arc::new(shared),
        }
    }

    /// Adds a job inside the caller's transaction; call [`Queue::announce`] after its commit. Returns its id.
    pub async fn add(&self, tx: &mut Tx, new: &NewJob<'_>, now: i64) -> Result<String> {
        self.store.insert_job(tx, new, now).await
    }

    /// Wakes the hosts that wait for work.
    pub fn announce(&self) {
        self.shared.announced.fetch_add(1, Ordering::SeqCst);
        self.shared.work.notify_waiters();
    }

    /// Resolves when work may be there; what is announced after its `enable` is not missed.
    pub fn work(&self) -> Notified<'_> {
        self.shared.work.notified()
    }

    /// Whether nothing was left when somebody last looked, and nothing was announced since: of a hundred
    /// hosts that are woken for one job, most need not ask the database.
    pub fn is_empty(&self) -> bool {
        self.shared.empty_at.load(Ordering::SeqCst) == self.shared.announced.load(Ordering::SeqCst)
    }

    /// Prolongs a lease, also one that had run out as long as nobody else was given the job; or says that it
    /// is lost.
    pub async fn renew(&self, attempt: &Attempt, fence: &str, now: i64) -> Result<Result<(), Conflict>> {
        let until = now + LEASE_MS;
        if self.store.renew_attempt(&attempt.id, fence, until).await? {
            return Ok(Ok(()));
        }
        if attempt.fence == fence && attempt.lost == 1 {
            let mut tx = self.store.begin().await?;
            if self.store.regain_attempt(&mut tx, attempt, until).await? {
                tx.commit().await?;
                tracing::info!(attempt = attempt.id, "a host is back before its job was given away");
                return Ok(Ok(()));
            }
            tx.rollback().await?;
        }
        Ok(Err(conflict(&attempt.id, "is not leased under this fence")))
    }

    /// Ends the attempts whose hosts fell silent. Returns how many.
    pub async fn expire(&self, now: i64) -> Result<usize> {
        let mut ended = 0;
        for attempt in self.store.expired_attempts(now).await? {
            let reason = format!("host {} fell silent; its lease ran out", attempt.host);
            let report = Report::of(Outcome::Infra { reason });
            match self.give_up(&attempt, &report, true, now).await {
                Ok(true) => {
                    tracing::warn!(
                        attempt = attempt.id,
                        host = attempt.host,
                        "lease ran out; the job is queued again"
                    );
                    ended += 1;
                }
                Ok(false) => {}
                // the others are not to wait for a row that is damaged
                Err(error) => tracing::error!(attempt = attempt.id, error = format!("{error:#}"), "failed to end"),
            }
        }
        Ok(ended)
    }

    /// Lets every lease hold for its time from now on: hosts could not renew while the coordinator was away,
    /// and after a clock has jumped nobody knows how long ago they did. What a clock that was ahead has put off
    /// does not wait until that time comes.
    pub async fn grant_grace(&self, now: i64) -> Result<u64> {
        let longest = end::AGAIN_MS.into_iter().max().unwrap_or(0);
        self.store.hasten_jobs(now + longest).await?;
        let hosts = self.store.hosts().await?;
        let mut tx = self.store.begin().await?;
        for host in hosts {
            let rest = rest_ms(host.strikes).map(|rest| now + rest);
            if host.rests_until > rest {
                self.store.set_strikes(&mut tx, &host.id, host.strikes, rest).await?;
            }
        }
        tx.commit().await?;
        self.store.prolong_leases(now + LEASE_MS).await
    }

    /// Ends what a host had leased in an earlier life, of which it knows nothing any more.
    pub async fn abandon(&self, host: &str, now: i64) -> Result<usize> {
        let mut ended = 0;
        for attempt in self.store.leased_by(host).await? {
            let reason = format!("host {host} was started again");
            match self
                .give_up(&attempt, &Report::of(Outcome::Infra { reason }), false, now)
                .await
            {
                Ok(finished) => ended += usize::from(finished),
                // the others are not to wait for a row that is damaged; its lease will run out
                Err(error) => tracing::error!(attempt = attempt.id, error = format!("{error:#}"), "failed to end"),
            }
        }
        Ok(ended)
    }

    /// Jobs that gave up on the machinery are tried again: when a host starts, it may be mended.
    pub async fn revive(&self, now: i64) -> Result<u64> {
        let revived = self.store.revive_jobs(now).await?;
        self.announce();
        Ok(revived)
    }
}

fn conflict(id: &str, why: &str) -> Conflict {
    Conflict {
        what: "attempt",
        id: id.to_owned(),
        why: why.to_owned(),
    }
}
