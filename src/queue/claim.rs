//! Claims of jobs. One transaction serves all claims that arrive at the same time. Separate transactions would choose
//! the same job and wait for each other, and each would pay for a commit.

use super::choose::{JobChoice, QueuedGroups};
use super::{FIRST_LEASE_MS, Queue};
use crate::domain::host::Capabilities;
use crate::domain::id::{HostId, ImageId};
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::protocol::Claim;
use crate::store::attempts::Attempt;
use crate::store::claims::Taker;
use crate::store::jobs::Job;
use crate::store::{Tx, is_deadlock};
use anyhow::Result;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// The most claims that one transaction serves.
const AT_ONCE: usize = 64;

#[derive(Default)]
pub(super) struct PendingClaims {
    pending: std::sync::Mutex<Vec<PendingClaim>>,
    /// The lock whose holder serves the pending claims.
    turn: tokio::sync::Mutex<()>,
}

struct PendingClaim {
    host: HostId,
    builds: bool,
    pulls: bool,
    most: Option<i64>,
    capabilities: Capabilities,
    now: Timestamp,
    answer: oneshot::Sender<Option<Claim>>,
}

/// A claim, and what its host gets.
type ServedClaim = (PendingClaim, Option<(Job, Attempt)>);

impl PendingClaim {
    fn taker(&self) -> Taker<'_> {
        Taker {
            host: &self.host,
            builds: self.builds,
            pulls: self.pulls,
            most: self.most,
            capabilities: &self.capabilities,
        }
    }
}

impl Queue {
    /// Leases the next job to a host. Returns `None` if there is none for this host, or if the host has as many jobs as
    /// it may have.
    pub async fn claim(&self, taker: &Taker<'_>, now: Timestamp) -> Result<Option<Claim>> {
        let claims = &self.shared.claims;
        loop {
            if self.is_empty() {
                return Ok(None);
            }
            let (sender, mut answer) = oneshot::channel();
            let pending = PendingClaim {
                host: taker.host.clone(),
                builds: taker.builds,
                pulls: taker.pulls,
                most: taker.most,
                capabilities: taker.capabilities.clone(),
                now,
                answer: sender,
            };
            claims
                .pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(pending);
            let _turn = claims.turn.lock().await;
            match answer.try_recv() {
                Ok(claim) => return Ok(claim),
                Err(TryRecvError::Empty) => {
                    // in a separate task, so that the other claims are served even if this caller is dropped
                    let queue = self.clone();
                    tokio::spawn(async move { queue.serve().await }).await??;
                    if let Ok(claim) = answer.try_recv() {
                        return Ok(claim);
                    }
                }
                // the batch failed, or the job's spec can't be read: claim again
                Err(TryRecvError::Closed) => {}
            }
        }
    }

    /// Serves the oldest pending claims in the order of their arrival, [`AT_ONCE`] at most. The hosts of claims whose
    /// senders it drops must claim again.
    async fn serve(&self) -> Result<()> {
        let announced = self.shared.announced.load(Ordering::SeqCst);
        let batch = {
            let mut pending = self
                .shared
                .claims
                .pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            pending.retain(|claim| !claim.answer.is_closed());
            let most = pending.len().min(AT_ONCE);
            pending.drain(..most).collect::<Vec<_>>()
        };
        let Some(now) = batch.iter().map(|pending| pending.now).max() else {
            return Ok(());
        };
        let served = match self.take_all(batch, now).await {
            // dropping the senders makes the hosts' claims start again
            Err(error) if is_deadlock(&error) => {
                tracing::warn!(error = format!("{error:#}"), "claims start again");
                return Ok(());
            }
            served => served?,
        };
        let somebody_has_nothing = served.iter().any(|(_, taken)| taken.is_none());
        // the jobs are leased: from here on, an error must not withhold them from their hosts
        if somebody_has_nothing {
            match self.store.is_job_due(now).await {
                Ok(true) => {}
                Ok(false) => self.shared.empty_at.store(announced, Ordering::SeqCst),
                Err(error) => tracing::error!(error = format!("{error:#}"), "failed to look at the queue"),
            }
        }
        for (pending, taken) in served {
            let claim = match taken {
                Some((job, attempt)) => match self.readable(job, attempt, &pending).await {
                    Ok(Some(claim)) => Some(claim),
                    // dropping the sender makes the host's claim start again
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "failed to end a job that can't be done");
                        continue;
                    }
                },
                None => None,
            };
            // if the host is gone, the lease runs out
            let _ = pending.answer.send(claim);
        }
        Ok(())
    }

    /// Leases the best job for the host of each claim, in one transaction.
    async fn take_all(&self, batch: Vec<PendingClaim>, now: Timestamp) -> Result<Vec<ServedClaim>> {
        let mut served = Vec::new();
        let mut turns = BTreeMap::new();
        let mut tx = self.store.begin().await?;
        let mut queued = self.queued_groups(&mut tx, &batch, now).await?;
        for pending in batch {
            let taken = self.take(&mut tx, &mut queued, &pending.taker(), now).await?;
            if let Some(group) = taken.as_ref().and_then(|(job, _)| job.group_id.clone()) {
                *turns.entry(group).or_default() += 1;
            }
            served.push((pending, taken));
        }
        self.store.take_turns(&mut tx, &turns).await?;
        tx.commit().await?;
        Ok(served)
    }

    async fn queued_groups(&self, tx: &mut Tx, batch: &[PendingClaim], now: Timestamp) -> Result<QueuedGroups> {
        let pulls = batch.iter().any(|pending| pending.pulls);
        let groups = self.store.waiting_groups(tx, pulls, now).await?;
        let heads = self.store.heads(tx, &groups).await?;
        let hosts: BTreeSet<HostId> = batch.iter().map(|pending| pending.host.clone()).collect();
        let images: BTreeSet<ImageId> = heads.iter().filter_map(|head| head.target_image_id.clone()).collect();
        let (hosts, images) = (Vec::from_iter(hosts), Vec::from_iter(images));
        let held = self.store.held(tx, &hosts, &images).await?;
        Ok(QueuedGroups::new(groups, heads, held, now))
    }

    /// Leases the best job for a host. Returns `None` if there is none, or if the host has as many jobs as it may have.
    async fn take(
        &self,
        tx: &mut Tx,
        queued: &mut QueuedGroups,
        taker: &Taker<'_>,
        now: Timestamp,
    ) -> Result<Option<(Job, Attempt)>> {
        if let Some(most) = taker.most
            && self.store.working(tx, taker.host).await? >= most
        {
            return Ok(None);
        }
        let mut choices = queued.choices(taker);
        while let Some(Reverse(JobChoice { group, job, .. })) = choices.pop() {
            let Some(job) = job else {
                if let Some((head, held)) = self.store.first_for(tx, queued.group(group), taker, now).await? {
                    choices.push(Reverse(queued.choice_of(group, &head, !held)));
                }
                continue;
            };
            // even if another transaction takes the job first, the group has had its turn
            queued.took(group);
            if let Some(job) = self.store.take_job(tx, &job).await? {
                let until = now + FIRST_LEASE_MS;
                let attempt = self.store.insert_attempt(tx, &job.id, taker.host, until, now).await?;
                return Ok(Some((job, attempt)));
            }
        }
        Ok(None)
    }

    /// Returns the claim of a leased job. If its spec can't be read, because another version of Pybots planned it, ends
    /// the attempt and returns `None`. The job then does not hold up the others.
    async fn readable(&self, job: Job, attempt: Attempt, pending: &PendingClaim) -> Result<Option<Claim>> {
        match job.spec {
            Ok(spec) => Ok(Some(Claim {
                attempt: attempt.id,
                number: attempt.number,
                fence: attempt.fence,
                builds: pending.builds,
                spec,
            })),
            Err(error) => {
                let reason = format!("the job's spec can't be read: {}", error.problem);
                tracing::error!(job = %job.id, reason, "a job can't be done");
                let report = Report::of(Outcome::Infra { reason });
                self.give_up(&attempt, &report, false, pending.now).await?;
                Ok(None)
            }
        }
    }
}
