//! The queue: jobs wait here until a host claims them. Only this module ends attempts. Whatever the cause (an exit, a
//! timeout, a lost host, a cancellation), every attempt ends in [`Queue::end`].

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

/// The length of a lease after a renewal, in milliseconds.
pub const LEASE_MS: i64 = 60_000;

/// The length of the first lease, in milliseconds. A host that has received its claim renews the lease within seconds.
const FIRST_LEASE_MS: i64 = 15_000;

/// The time after an absence of the coordinator in which no attempt is overdue, in milliseconds. Hosts deliver their
/// spools in it.
const DELIVERY_MS: i64 = 600_000;

#[derive(Clone)]
pub struct Queue {
    store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    /// Notified whenever a job may have become claimable.
    work: Notify,
    /// The number of notifications of `work`.
    announced: AtomicU64,
    /// The value of `announced` when no job was due.
    empty_at: AtomicU64,
    claims: claim::PendingClaims,
    /// Decides which projects are related.
    trust: Trust,
    /// The time before which no attempt is overdue, in milliseconds UTC.
    overdue_from: AtomicI64,
    /// The leased attempts that hosts have to end.
    unwanted: watch::Sender<BTreeSet<AttemptId>>,
}

impl Queue {
    /// Builds a queue that treats all projects as maintained.
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

    /// Wakes the hosts that wait for jobs.
    pub fn announce(&self) {
        self.shared.announced.fetch_add(1, Ordering::SeqCst);
        self.shared.work.notify_waiters();
    }

    /// Resolves when a job may have become claimable. Does not miss an announcement after its `enable`.
    pub fn work(&self) -> Notified<'_> {
        self.shared.work.notified()
    }

    /// Returns whether a claim found that no job is due, for whatever host, and nothing was announced since. When a
    /// hundred hosts wake up for one job, this saves most of them a query.
    pub fn is_empty(&self) -> bool {
        self.shared.empty_at.load(Ordering::SeqCst) == self.shared.announced.load(Ordering::SeqCst)
    }

    /// Renews a lease. Also renews one that has run out, unless the job was given to another host. Returns a conflict
    /// if another host has the job, if the fence is wrong, or if the attempt has ended with a report.
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

    /// Ends the attempts of silent hosts, whose leases ran out, as failures of the infrastructure. Returns how many it
    /// ended. Logs an attempt that it fails to end, and goes on with the next one.
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

    /// Ends the attempts that exceed the time limits of their jobs, even if their hosts renew the leases. Ends none
    /// within `DELIVERY_MS` after [`Queue::grant_grace`]. Returns how many it ended.
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

    /// Renews every lease, after the coordinator was away or the clock jumped: hosts could not renew their leases, or
    /// the times of the renewals are wrong. Also shortens waits and back-offs that a fast clock has set, and keeps
    /// [`Queue::end_overdue`] from ending attempts for a while. Returns the number of leases.
    pub async fn grant_grace(&self, now: Timestamp) -> Result<u64> {
        let longest = end::RETRY_MS.into_iter().max().unwrap_or(0);
        // too long waits for sources are shortened first: `hasten_jobs` skips each job whose wait ends with that of a
        // source
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

    /// Ends all leased attempts of a host that has started again, as failures of the infrastructure. Returns how many
    /// it ended.
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

    /// Queues jobs again whose last attempt ended as `infra` on this host, which starts and may have been fixed. Jobs
    /// that failed on other hosts stay, and so do jobs of investigations and of recipes that are not in force. Returns
    /// how many jobs it queued.
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
