//! What a maintainer asks of a job: that it ends, or that it is done again.

use super::Queue;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::store::jobs::{Job, Wish};
use anyhow::Result;
use std::collections::BTreeSet;
use tokio::sync::watch;

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wished {
    /// It holds at once.
    Done,
    /// A host is at it, and learns of it within seconds.
    Told,
    /// There is nothing to do: the job is in that state already.
    Needless,
}

impl Queue {
    /// Ends the job of a run or an image. None: there is no such job.
    pub async fn cancel(&self, run_or_image: &str, now: i64) -> Result<Option<Wished>> {
        let Some(job) = self.store.job_of(run_or_image).await? else {
            return Ok(None);
        };
        if self.store.wish_of_leased(&job.id, Wish::Cancel).await? {
            return Ok(Some(Wished::Told));
        }
        if self.cancel_queued(&job.id, now).await? {
            return Ok(Some(Wished::Done));
        }
        // a host may just have taken it
        let told = self.store.wish_of_leased(&job.id, Wish::Cancel).await?;
        Ok(Some(if told { Wished::Told } else { Wished::Needless }))
    }

    /// Ends a job that waits. False: it does not.
    pub async fn cancel_queued(&self, job_id: &str, now: i64) -> Result<bool> {
        let mut tx = self.store.begin().await?;
        if !self.store.take_queued(&mut tx, job_id).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        // an attempt of nobody says when and how it ended
        let attempt = self.store.insert_attempt(&mut tx, job_id, "", now, now).await?;
        self.give_up_in(&mut tx, &attempt, &Report::of(Outcome::Cancelled), false, now)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Does the job of a run or an image once more; one in work begins again. None: there is no such job.
    pub async fn again(&self, run_or_image: &str, now: i64) -> Result<Option<Wished>> {
        let Some(job) = self.store.job_of(run_or_image).await? else {
            return Ok(None);
        };
        if self.store.wish_of_leased(&job.id, Wish::Again).await? {
            return Ok(Some(Wished::Told));
        }
        let queued = self.store.requeue(&job.id, now).await?;
        self.announce();
        Ok(Some(if queued { Wished::Done } else { Wished::Needless }))
    }

    /// Attempts in work that are to end; hosts are told when they renew.
    pub fn unwanted(&self) -> watch::Receiver<BTreeSet<String>> {
        self.shared.unwanted.subscribe()
    }

    /// Learns what was wished, also by another process.
    pub async fn look_for_wishes(&self) -> Result<()> {
        let now: BTreeSet<String> = self.store.unwanted_attempts().await?.into_iter().collect();
        self.shared.unwanted.send_if_modified(|unwanted| {
            let changed = *unwanted != now;
            *unwanted = now;
            changed
        });
        Ok(())
    }
}

impl Job {
    pub(super) fn wish(&self) -> Option<Wish> {
        [Wish::Cancel, Wish::Again]
            .into_iter()
            .find(|wish| self.wish.as_deref() == Some(wish.name()))
    }
}
