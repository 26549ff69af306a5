//! The queue: jobs wait here until a host claims them. This is the only place that ends an attempt. Whatever the cause (an
//! exit, a timeout, a lost host, a cancellation), it ends by [`Queue::finish`] or [`Queue::give_up`].

mod choose;
mod claim;
mod end;
mod requests;
mod sources;

pub use choose::fits;
pub use requests::Requested;

use crate::domain::host::backoff_until;
use crate::domain::id::{AttemptId, HostId, JobId};
use crate::domain::job::{ATTEMPT_LEAST_MS, Report, attempt_most_ms};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::domain::trust::Trust;
use crate::store::attempts::Attempt;
use crate::store::jobs::NewJob;
use crate::store::{Conflict, Store, Tx};
use anyhow::Result;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::{Notify, futures::Notified, watch};

/// How long a lease is valid after a renewal.
pub const LEASE_MS: i64 = 60_000;

/// How long the first lease is valid. A host renews it within seconds; one that does not has not got its claim.
const FIRST_LEASE_MS: i64 = 15_000;

/// How long no attempt is overdue after the coordinator was away. Hosts then deliver what they have kept.
const DELIVERY_MS: i64 = 600_000;

#[derive(Clone)]
pub struct Queue {
    store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    /// Notified whenever a job may have become claimable.
    work: Notify,
    /// How often `work` was notified.
    announced: AtomicU64,
    /// The value of `announced` when nothing was left to claim.
    empty_at: AtomicU64,
    claims: claim::PendingClaims,
    /// Decides which projects are related.
    trust: Trust,
    /// The time before which no attempt is overdue, in milliseconds UTC.
    overdue_from: AtomicI64,
    /// Leased attempts that are to end.
    unwanted: watch::Sender<BTreeSet<AttemptId>>,
}

impl Queue {
    /// Makes a queue for which all projects are maintained.
    pub fn new(store: Store) -> Self {
        Self::with_trust(store, Trust::all())
    }

    pub fn with_trust(store: Store, trust: Trust) -> Self {
        let shared = Shared {
            work: Notify::new(),
            announced: AtomicU64::new(1),
            empty_at: AtomicU64::new(0),
            claims: claim::PendingClaims::default(),
            trust,
            overdue_from: AtomicI64::new(0),
            unwanted: watch::Sender::new(BTreeSet::new()),
        };
        Self {
            store,
            shared: Arc::new(shared),
        }
    }

    /// Adds a job in the caller's transaction and returns its id. Call [`Queue::announce`] after the commit.
    pub async fn add(&self, tx: &mut Tx, new: &NewJob<'_>, now: Timestamp) -> Result<JobId> {
        self.store.insert_job(tx, new, now).await
    }

    /// Wakes the hosts that wait for work.
    pub fn announce(&self) {
        self.shared.announced.fetch_add(1, Ordering::SeqCst);
        self.shared.work.notify_waiters();
    }

    /// Resolves when a job may have become claimable. It misses nothing that is announced after its `enable`.
    pub fn work(&self) -> Notified<'_> {
        self.shared.work.notified()
    }

    /// Whether the last claim found nothing, and nothing was announced since. If a hundred hosts are woken for one job,
    /// most of them need not ask the database.
    pub fn is_empty(&self) -> bool {
        self.shared.empty_at.load(Ordering::SeqCst) == self.shared.announced.load(Ordering::SeqCst)
    }

    /// Renews a lease. One that has run out is renewed too, unless another host was given the job. Returns a conflict if the
    /// lease is lost.
    pub async fn renew(&self, attempt: &Attempt, fence: &str, now: Timestamp) -> Result<Result<(), Conflict>> {
        let until = now + LEASE_MS;
        if self.store.renew_attempt(&attempt.id, fence, until).await? {
            return Ok(Ok(()));
        }
        if attempt.fence == fence && attempt.lost {
            let mut tx = self.store.begin().await?;
            if self.store.regain_attempt(&mut tx, attempt, until).await? {
                tx.commit().await?;
                tracing::info!(attempt = %attempt.id, "a host is back before another one was given its job");
                return Ok(Ok(()));
            }
            tx.rollback().await?;
        }
        Ok(Err(conflict(&attempt.id, "is not leased under this fence")))
    }

    /// Ends the attempts whose leases ran out because their hosts fell silent. Returns how many there were.
    pub async fn expire(&self, now: Timestamp) -> Result<usize> {
        let mut ended = 0;
        for attempt in self.store.expired_attempts(now).await? {
            let host = self.store.host_name(&attempt.host).await?;
            let reason = format!("host {host} fell silent; its lease ran out");
            let report = Report::of(Outcome::Infra { reason });
            match self.give_up(&attempt, &report, true, now).await {
                Ok(true) => {
                    tracing::warn!(
                        attempt = %attempt.id,
                        host,
                        "lease ran out; the job is queued again"
                    );
                    ended += 1;
                }
                Ok(false) => {}
                // one damaged row must not keep the other attempts leased
                Err(error) => tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to end"),
            }
        }
        Ok(ended)
    }

    /// Ends the attempts that take longer than the limits of their jobs allow, however often their hosts renew them. Returns how many
    /// there were.
    pub async fn end_overdue(&self, now: Timestamp) -> Result<usize> {
        if now.as_millis() < self.shared.overdue_from.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let mut ended = 0;
        for (attempt, spec) in self.store.leased_since(now - ATTEMPT_LEAST_MS).await? {
            if now - attempt.started_at <= attempt_most_ms(spec.as_ref().ok()) {
                continue;
            }
            match self.give_up_overdue(&attempt, now).await {
                Ok(finished) => ended += usize::from(finished),
                // one damaged row must not keep the other attempts leased
                Err(error) => tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to end"),
            }
        }
        Ok(ended)
    }

    /// Renews every lease: hosts could not renew them while the coordinator was away, and after a jump of the clock nobody
    /// knows when they last did. Also shortens waits and back-offs that a clock which was ahead has set. Returns how many
    /// leases there are.
    pub async fn grant_grace(&self, now: Timestamp) -> Result<u64> {
        let longest = end::RETRY_MS.into_iter().max().unwrap_or(0);
        // first the waits that no source can ask for, so that the jobs which have them count as put off by a wrong clock
        self.store.shorten_source_waits(now + sources::WAIT_MOST_MS).await?;
        self.store.hasten_jobs(now + longest).await?;
        let hosts = self.store.hosts().await?;
        let mut tx = self.store.begin().await?;
        for host in hosts {
            let longest = backoff_until(host.consecutive_failures, now);
            if host.backoff_until > longest {
                self.store.set_backoff(&mut tx, &host.id, longest).await?;
            }
        }
        tx.commit().await?;
        let overdue_from = (now + DELIVERY_MS).as_millis();
        self.shared.overdue_from.store(overdue_from, Ordering::SeqCst);
        self.store.prolong_leases(now + LEASE_MS).await
    }

    /// Ends the attempts that a host leased before it was started again. Returns how many there were.
    pub async fn abandon(&self, host: &HostId, now: Timestamp) -> Result<usize> {
        let mut ended = 0;
        let name = self.store.host_name(host).await?;
        for attempt in self.store.leased_by(host).await? {
            let reason = format!("host {name} was started again");
            match self
                .give_up(&attempt, &Report::of(Outcome::Infra { reason }), false, now)
                .await
            {
                Ok(finished) => ended += usize::from(finished),
                // one damaged row must not keep the other attempts leased; its own lease will run out
                Err(error) => tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to end"),
            }
        }
        Ok(ended)
    }

    /// Queues the jobs again whose last attempt ended as `infra` on a host that starts: it may have been fixed. What other
    /// hosts failed says nothing about this one. Returns how many jobs there were.
    pub async fn revive(&self, host: &HostId, now: Timestamp) -> Result<u64> {
        let revived = self.store.revive_jobs(host, now).await?;
        self.announce();
        Ok(revived)
    }
}

fn conflict(id: &AttemptId, why: &str) -> Conflict {
    Conflict {
        what: "attempt",
        id: id.to_string(),
        why: why.to_owned(),
    }
}
