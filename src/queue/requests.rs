//! Requests to cancel or rerun jobs.

use super::Queue;
use crate::domain::id::{AttemptId, HostId, JobId, RunId};
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::store::Tx;
use crate::store::jobs::Request;
use anyhow::Result;
use std::collections::BTreeSet;
use tokio::sync::watch;

/// The effect of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The job is cancelled, or queued again.
    Done,
    /// A host works on the job, and is informed of the request within seconds.
    Pending,
    /// Nothing changed, because the job is in that state already.
    Needless,
}

impl Queue {
    /// Cancels the newest job of a run or an image, given by its id; see
    /// [`Store::job_of`](crate::store::Store::job_of). Returns `None` if there is no such job.
    pub async fn cancel(&self, run_or_image: &str, now: Timestamp) -> Result<Option<Requested>> {
        let Some(job) = self.store.job_of(run_or_image).await? else {
            return Ok(None);
        };
        if self.store.request_of_leased(&job.id, Request::Cancel).await? {
            return Ok(Some(Requested::Pending));
        }
        if self.cancel_queued(&job.id, now).await? {
            return Ok(Some(Requested::Done));
        }
        // a host may have claimed the job since the first try
        let pending = self.store.request_of_leased(&job.id, Request::Cancel).await?;
        Ok(Some(if pending {
            Requested::Pending
        } else {
            Requested::Needless
        }))
    }

    /// Cancels a queued job, and records that as an attempt without a host. Returns `false` if the job is not queued.
    pub async fn cancel_queued(&self, job_id: &JobId, now: Timestamp) -> Result<bool> {
        let mut tx = self.store.begin().await?;
        let cancelled = self.cancel_queued_in(&mut tx, job_id, now).await?;
        match cancelled {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        Ok(cancelled)
    }

    /// Cancels a queued job whose recipe is no longer in force, and marks its run as withdrawn. Both happen in one
    /// transaction, so that the cell is always planned again. Returns `false` if the job is not queued.
    pub async fn withdraw(&self, job_id: &JobId, run_id: &RunId, now: Timestamp) -> Result<bool> {
        let mut tx = self.store.begin().await?;
        let cancelled = self.cancel_queued_in(&mut tx, job_id, now).await?;
        if cancelled {
            self.store.withdraw_run(&mut tx, run_id).await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(cancelled)
    }

    async fn cancel_queued_in(&self, tx: &mut Tx, job_id: &JobId, now: Timestamp) -> Result<bool> {
        if !self.store.take_queued(tx, job_id).await? {
            return Ok(false);
        }
        // an attempt without a host records when and how the job ended
        let nobody = HostId::default();
        let attempt = self.store.insert_attempt(tx, job_id, &nobody, now, now).await?;
        self.give_up_in(tx, &attempt, &Report::of(Outcome::Cancelled), false, now)
            .await
    }

    /// Reruns the newest job of a run or an image, given by its id. Its host has to end a leased job first. Returns
    /// `None` if there is no such job.
    pub async fn rerun(&self, run_or_image: &str, now: Timestamp) -> Result<Option<Requested>> {
        let Some(job) = self.store.job_of(run_or_image).await? else {
            return Ok(None);
        };
        if self.store.request_of_leased(&job.id, Request::Rerun).await? {
            return Ok(Some(Requested::Pending));
        }
        let queued = self.store.requeue(&job.id, now).await?;
        self.announce();
        Ok(Some(if queued { Requested::Done } else { Requested::Needless }))
    }

    /// Returns the leased attempts that have to end, as [`Queue::look_for_requests`] last read them. A host is informed
    /// when it renews its lease.
    pub fn unwanted(&self) -> watch::Receiver<BTreeSet<AttemptId>> {
        self.shared.unwanted.subscribe()
    }

    /// Reads the requests from the store, where this process and others add them, and passes changes to the receivers
    /// of [`Queue::unwanted`].
    pub async fn look_for_requests(&self) -> Result<()> {
        let now: BTreeSet<AttemptId> = self.store.unwanted_attempts().await?.into_iter().collect();
        self.shared.unwanted.send_if_modified(|unwanted| {
            let changed = *unwanted != now;
            *unwanted = now;
            changed
        });
        Ok(())
    }
}
