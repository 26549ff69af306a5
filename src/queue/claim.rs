//! Claims. Those that come at the same time are served in one transaction, by the first of them: two that chose the
//! same job would only stand in each other's way, and what a commit costs is shared.

use super::choose::{Next, Stand};
use super::{Claim, FIRST_LEASE_MS, Queue};
use crate::domain::host::Offer;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::store::Tx;
use crate::store::attempts::Attempt;
use crate::store::claims::Taker;
use crate::store::jobs::Job;
use anyhow::Result;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// So many claims are served in one transaction.
const AT_ONCE: usize = 64;

#[derive(Default)]
pub(super) struct Claims {
    waiting: std::sync::Mutex<Vec<Waiting>>,
    /// Whoever holds it serves.
    turn: tokio::sync::Mutex<()>,
}

struct Waiting {
    host: String,
    builds: bool,
    pulls: bool,
    most: Option<i64>,
    offer: Offer,
    now: i64,
    answer: oneshot::Sender<Option<Claim>>,
}

impl Waiting {
    fn taker(&self) -> Taker<'_> {
        Taker {
            host: &self.host,
            builds: self.builds,
            pulls: self.pulls,
            most: self.most,
            offer: &self.offer,
        }
    }
}

impl Queue {
    /// Leases the job that is next for a host.
    pub async fn claim(&self, taker: &Taker<'_>, now: i64) -> Result<Option<Claim>> {
        let claims = &self.shared.claims;
        loop {
            if self.is_empty() {
                return Ok(None);
            }
            let (sender, mut answer) = oneshot::channel();
            let waiting = Waiting {
                host: taker.host.to_owned(),
                builds: taker.builds,
                pulls: taker.pulls,
                most: taker.most,
                offer: taker.offer.clone(),
                now,
                answer: sender,
            };
            claims
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(waiting);
            let _turn = claims.turn.lock().await;
            match answer.try_recv() {
                Ok(claim) => return Ok(claim),
                Err(TryRecvError::Empty) => {
                    // on its own: a caller that goes away takes nobody else's claim along
                    let queue = self.clone();
                    tokio::spawn(async move { queue.serve().await }).await??;
                    if let Ok(claim) = answer.try_recv() {
                        return Ok(claim);
                    }
                }
                // who served has failed, or what it got can't be done: ask again
                Err(TryRecvError::Closed) => {}
            }
        }
    }

    /// Serves those that wait, in the order in which they came.
    async fn serve(&self) -> Result<()> {
        let announced = self.shared.announced.load(Ordering::SeqCst);
        let batch = {
            let mut waiting = self
                .shared
                .claims
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|waiting| !waiting.answer.is_closed());
            let most = waiting.len().min(AT_ONCE);
            waiting.drain(..most).collect::<Vec<_>>()
        };
        let Some(now) = batch.iter().map(|waiting| waiting.now).max() else {
            return Ok(());
        };
        let mut served = Vec::new();
        let mut tx = self.store.begin().await?;
        let mut stand = self.stand(&mut tx, &batch, now).await?;
        for waiting in batch {
            let taken = self.take(&mut tx, &mut stand, &waiting.taker(), now).await?;
            served.push((waiting, taken));
        }
        tx.commit().await?;
        let somebody_has_nothing = served.iter().any(|(_, taken)| taken.is_none());
        // what is leased is handed over, whatever fails from here on
        if somebody_has_nothing {
            match self.store.is_job_due(now).await {
                Ok(true) => {}
                Ok(false) => self.shared.empty_at.store(announced, Ordering::SeqCst),
                Err(error) => tracing::error!(error = format!("{error:#}"), "failed to look at the queue"),
            }
        }
        for (waiting, taken) in served {
            let claim = match taken {
                Some((job, attempt)) => match self.readable(job, attempt, &waiting).await {
                    Ok(Some(claim)) => Some(claim),
                    // it asks again
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "failed to end what can't be done");
                        continue;
                    }
                },
                None => None,
            };
            // a host that has gone meanwhile is like one that did not get its answer: the lease runs out
            let _ = waiting.answer.send(claim);
        }
        Ok(())
    }

    async fn stand(&self, tx: &mut Tx, batch: &[Waiting], now: i64) -> Result<Stand> {
        let pulls = batch.iter().any(|waiting| waiting.pulls);
        let groups = self.store.waiting_groups(tx, pulls, now).await?;
        let heads = self.store.heads(tx, &groups).await?;
        let unique = |names: BTreeSet<&String>| names.into_iter().cloned().collect::<Vec<_>>();
        let hosts = unique(batch.iter().map(|waiting| &waiting.host).collect());
        let images = unique(heads.iter().filter_map(|head| head.uses.as_ref()).collect());
        let held = self.store.held(tx, &hosts, &images).await?;
        Ok(Stand::new(groups, heads, held, now))
    }

    /// Leases the best job that there is for a host.
    async fn take(
        &self,
        tx: &mut Tx,
        stand: &mut Stand,
        taker: &Taker<'_>,
        now: i64,
    ) -> Result<Option<(Job, Attempt)>> {
        if let Some(most) = taker.most
            && self.store.working(tx, taker.host).await? >= most
        {
            return Ok(None);
        }
        let mut order = stand.order(taker);
        while let Some(Reverse(Next { group, job, .. })) = order.pop() {
            let Some(job) = job else {
                if let Some((head, held)) = self.store.first_for(tx, stand.group(group), taker, now).await? {
                    order.push(Reverse(stand.at(group, &head, !held)));
                }
                continue;
            };
            // whoever was quicker has the group's turn
            stand.took(group);
            if let Some(job) = self.store.take_job(tx, &job).await? {
                let until = now + FIRST_LEASE_MS;
                let attempt = self.store.insert_attempt(tx, &job.id, taker.host, until, now).await?;
                return Ok(Some((job, attempt)));
            }
        }
        Ok(None)
    }

    /// One job that another version of the program planned must not hold up the others.
    async fn readable(&self, job: Job, attempt: Attempt, waiting: &Waiting) -> Result<Option<Claim>> {
        match serde_json::from_str(&job.spec) {
            Ok(spec) => Ok(Some(Claim {
                attempt: attempt.id,
                number: attempt.number,
                fence: attempt.fence,
                builds: waiting.builds,
                spec,
            })),
            Err(error) => {
                let reason = format!("the job's spec can't be read: {error}");
                tracing::error!(job = job.id, reason, "a job can't be done");
                let report = Report::of(Outcome::Infra { reason });
                self.give_up(&attempt, &report, false, waiting.now).await?;
                Ok(None)
            }
        }
    }
}
