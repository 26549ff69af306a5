//! Jobs wait here until a host leases them. The one place that ends an attempt: whatever happened
//! (an exit, a timeout, a lost host), it goes through [`Queue::finish`].

use crate::domain::job::{JobSpec, Report};
use crate::domain::outcome::Outcome;
use crate::store::jobs::{For, Taker};
use crate::store::{Conflict, Store, Tx};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How long a lease holds without a renewal.
pub const LEASE_MS: i64 = 60_000;

/// Attempts at a job before the machinery gives up on it.
const TRIES: i64 = 3;

/// Waiting time before the second and the third attempt.
const AGAIN_MS: [i64; 2] = [5_000, 60_000];

#[derive(Clone)]
pub struct Queue {
    store: Store,
    /// Told whenever a job may have become claimable.
    work: Arc<Notify>,
}

/// A leased job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub attempt: String,
    pub number: i64,
    /// Whoever ends the attempt must know it: a holder of an earlier lease does not.
    pub fence: String,
    pub spec: JobSpec,
}

impl Queue {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            work: Arc::new(Notify::new()),
        }
    }

    /// Adds a job inside the caller's transaction; call [`Queue::announce`] after its commit.
    pub async fn add(&self, tx: &mut Tx, what: For<'_>, priority: i64, spec: &JobSpec, now: i64) -> Result<()> {
        self.store.insert_job(tx, what, priority, spec, now).await
    }

    /// Wakes the hosts that wait for work.
    pub fn announce(&self) {
        self.work.notify_waiters();
    }

    /// Resolves when work may be there; what is announced after its `enable` is not missed.
    pub fn work(&self) -> Notified<'_> {
        self.work.notified()
    }

    /// Leases the most urgent job to a host.
    pub async fn claim(&self, taker: &Taker<'_>, now: i64) -> Result<Option<Claim>> {
        loop {
            let mut tx = self.store.begin().await?;
            let Some(job) = self.store.take_job(&mut tx, taker, now).await? else {
                drop(tx);
                // no work, or somebody else was faster: then there may be more
                if self.store.is_job_due(taker, now).await? {
                    continue;
                }
                return Ok(None);
            };
            let attempt = self
                .store
                .insert_attempt(&mut tx, &job.id, taker.host, now + LEASE_MS, now)
                .await?;
            tx.commit().await?;
            match serde_json::from_str(&job.spec) {
                Ok(spec) => {
                    return Ok(Some(Claim {
                        attempt: attempt.id,
                        number: attempt.number,
                        fence: attempt.fence,
                        spec,
                    }));
                }
                // one job that another version of the program planned must not hold up the others
                Err(error) => {
                    let reason = format!("the job's spec can't be read: {error}");
                    tracing::error!(job = job.id, reason, "a job can't be done");
                    let report = Report::of(Outcome::Infra { reason });
                    let _ = self.finish(&attempt.id, &attempt.fence, &report, now).await?;
                }
            }
        }
    }

    /// Prolongs a lease, or says that it is lost.
    pub async fn renew(&self, attempt: &str, fence: &str, now: i64) -> Result<Result<(), Conflict>> {
        let renewed = self.store.renew_attempt(attempt, fence, now + LEASE_MS).await?;
        Ok(if renewed {
            Ok(())
        } else {
            Err(conflict(attempt, "is not leased under this fence"))
        })
    }

    /// Ends an attempt, and with it its job, or queues the job again when the machinery failed.
    /// The same report sent twice changes nothing; a stale holder is refused.
    pub async fn finish(
        &self,
        attempt_id: &str,
        fence: &str,
        report: &Report,
        now: i64,
    ) -> Result<Result<(), Conflict>> {
        let Some(attempt) = self.store.attempt(attempt_id).await? else {
            return Ok(Err(conflict(attempt_id, "does not exist")));
        };
        if attempt.fence != fence {
            return Ok(Err(conflict(attempt_id, "belongs to another lease")));
        }
        let mut tx = self.store.begin().await?;
        if !self.store.end_attempt(&mut tx, attempt_id, report, now).await? {
            // one connection at a time: holders of one that wait for another starve each other
            tx.rollback().await?;
            let same = self.store.attempt(attempt_id).await?.and_then(|ended| ended.report());
            return Ok(if same.as_ref() == Some(report) {
                Ok(())
            } else {
                Err(conflict(attempt_id, "has ended before"))
            });
        }
        let job = self
            .store
            .job(&mut tx, &attempt.job_id)
            .await?
            .context("an attempt without its job")?;
        let again_at = again(&report.outcome, attempt.number).map(|wait| now + wait);
        if !self.store.release_job(&mut tx, &job.id, again_at).await? {
            anyhow::bail!("job {} cannot move from {} to finished", job.id, job.state);
        }
        if let Some(image_id) = job.image_id.as_deref().filter(|_| again_at.is_none()) {
            let decided = report.image.is_some() || !matches!(report.outcome, Outcome::Infra { .. });
            if decided {
                self.store
                    .image_built(&mut tx, image_id, report.image.as_ref(), now)
                    .await?;
            }
        }
        tx.commit().await?;
        self.announce();
        Ok(Ok(()))
    }

    /// Ends the attempts whose hosts fell silent. Returns how many.
    pub async fn expire(&self, now: i64) -> Result<usize> {
        let expired = self.store.expired_attempts(now).await?;
        let mut ended = 0;
        for attempt in expired {
            let report = Report::of(Outcome::Infra {
                reason: format!("host {} fell silent; its lease ran out", attempt.host),
            });
            if self.finish(&attempt.id, &attempt.fence, &report, now).await?.is_ok() {
                tracing::warn!(
                    attempt = attempt.id,
                    host = attempt.host,
                    "lease ran out; the job is queued again"
                );
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Ends what a host had leased in an earlier life, of which it knows nothing any more.
    pub async fn abandon(&self, host: &str, now: i64) -> Result<usize> {
        let mut ended = 0;
        for attempt in self.store.leased_by(host).await? {
            let report = Report::of(Outcome::Infra {
                reason: format!("host {host} was started again"),
            });
            match self.finish(&attempt.id, &attempt.fence, &report, now).await {
                Ok(finished) => ended += usize::from(finished.is_ok()),
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

/// How long to wait before another attempt, if there is to be one.
fn again(outcome: &Outcome, number: i64) -> Option<i64> {
    match (outcome, number % TRIES) {
        (Outcome::Infra { .. }, 0) => None,
        (Outcome::Infra { .. }, n) => AGAIN_MS.get(n as usize - 1).copied(),
        _ => None,
    }
}

fn conflict(id: &str, why: &str) -> Conflict {
    Conflict {
        what: "attempt",
        id: id.to_owned(),
        why: why.to_owned(),
    }
}
