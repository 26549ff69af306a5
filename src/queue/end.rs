//! How an attempt ends, and what becomes of its job.

use super::{Queue, Taken, conflict};
use crate::domain::host::{HostState, STRIKES, is_beyond_rest, rest_ms};
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::store::attempts::Attempt;
use crate::store::hosts::HostRow;
use crate::store::jobs::{Job, Release, Wish};
use crate::store::{Conflict, Tx};
use anyhow::{Context, Result, bail};

/// Attempts at a job before the machinery gives up on it.
const TRIES: i64 = 3;

/// Waiting time before the second and the third attempt.
pub(super) const AGAIN_MS: [i64; 2] = [5_000, 60_000];

const HOUR_MS: i64 = 3_600_000;

/// So often a report looks at its attempt.
const LOOKS: usize = 3;

/// A host that made a call since so long is there.
const THERE_MS: i64 = 120_000;

/// Who says that an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By<'a> {
    /// The host that has it.
    Host(Option<&'a HostRow>),
    /// We: the host is lost (true), or knows nothing of it.
    Us(bool),
}

impl Queue {
    /// Ends an attempt by its host's report, and with it its job, or queues the job again when the machinery
    /// failed. The same report sent twice changes nothing. What comes after the lease ran out counts if nobody
    /// else was given the job; else it is kept as late. Any other stale holder is refused.
    pub async fn finish(
        &self,
        attempt_id: &str,
        fence: &str,
        report: &Report,
        now: i64,
    ) -> Result<Result<Taken, Conflict>> {
        // what was read may be old when it is its turn to write: a lease runs out, or comes back by a renewal
        for _ in 0..LOOKS {
            if let Some(decided) = self.try_finish(attempt_id, fence, report, now).await? {
                return Ok(decided);
            }
        }
        bail!("attempt {attempt_id} changes faster than it can be ended")
    }

    /// None: the attempt has changed meanwhile.
    async fn try_finish(
        &self,
        attempt_id: &str,
        fence: &str,
        report: &Report,
        now: i64,
    ) -> Result<Option<Result<Taken, Conflict>>> {
        let Some(attempt) = self.store.attempt(attempt_id).await? else {
            return Ok(Some(Err(conflict(attempt_id, "does not exist"))));
        };
        if attempt.fence != fence {
            return Ok(Some(Err(conflict(attempt_id, "belongs to another lease"))));
        }
        let host = self.store.host(&attempt.host).await?;
        let mut tx = self.store.begin().await?;
        if attempt.is_lost() && !self.store.regain_attempt(&mut tx, &attempt, now).await? {
            let kept = self.store.keep_late(&mut tx, &attempt.id, report, now).await?;
            tx.commit().await?;
            return Ok(kept.then_some(Ok(Taken::Late)));
        }
        if self
            .end(&mut tx, &attempt, report, By::Host(host.as_ref()), now)
            .await?
        {
            tx.commit().await?;
            self.announce();
            return Ok(Some(Ok(Taken::Counted)));
        }
        // one connection at a time: holders of one that wait for another starve each other
        tx.rollback().await?;
        let ended = self.store.attempt(attempt_id).await?;
        let same = |earlier: Option<Report>| earlier.as_ref() == Some(report);
        Ok(match ended {
            Some(ended) if same(ended.report()) => Some(Ok(Taken::Counted)),
            Some(ended) if same(ended.late_report()) => Some(Ok(Taken::Late)),
            Some(ended) if ended.is_lost() && !attempt.is_lost() => None,
            _ => Some(Err(conflict(attempt_id, "has ended before"))),
        })
    }

    /// Ends an attempt without its host. `lost`: the host may come back with it. False: it had ended before.
    pub(super) async fn give_up(&self, attempt: &Attempt, report: &Report, lost: bool, now: i64) -> Result<bool> {
        let mut tx = self.store.begin().await?;
        let ended = self.give_up_in(&mut tx, attempt, report, lost, now).await?;
        if ended {
            tx.commit().await?;
            self.announce();
        } else {
            tx.rollback().await?;
        }
        Ok(ended)
    }

    /// [`Queue::give_up`] inside the caller's transaction.
    pub(super) async fn give_up_in(
        &self,
        tx: &mut Tx,
        attempt: &Attempt,
        report: &Report,
        lost: bool,
        now: i64,
    ) -> Result<bool> {
        self.end(tx, attempt, report, By::Us(lost), now).await
    }

    async fn end(&self, tx: &mut Tx, attempt: &Attempt, report: &Report, by: By<'_>, now: i64) -> Result<bool> {
        let store = &self.store;
        let job = store
            .job(tx, &attempt.job_id)
            .await?
            .context("an attempt without its job")?;
        let wish = job.wish();
        let cancelled = Report::of(Outcome::Cancelled);
        // what a maintainer ended is not tried again for having failed as it ended
        let report = match (&report.outcome, wish) {
            (Outcome::Infra { .. }, Some(Wish::Cancel)) => &cancelled,
            _ => report,
        };
        if !store
            .end_attempt(tx, &attempt.id, report, by == By::Us(true), now)
            .await?
        {
            return Ok(false);
        }
        // where there is nobody else, it is not to wait for somebody else
        let alone = !store.others_are_there(tx, &attempt.host, now - THERE_MS).await?;
        let avoid = (!alone).then_some(attempt.host.as_str());
        let on_trial = matches!(by, By::Host(Some(host)) if host.strikes >= STRIKES);
        // it was to show whether the host is well again; but one that keeps failing is not tried for ever
        let spared = on_trial && !store.failed_before(tx, attempt).await?;
        let to = next(&job, report, wish, spared, avoid, now);
        let is_over = matches!(to, Release::Finished);
        if !store.release_job(tx, &job.id, to).await? {
            bail!("job {} cannot move from {} to finished", job.id, job.state);
        }
        let infra = matches!(report.outcome, Outcome::Infra { .. });
        if !infra && let Some(group) = &job.group_id {
            store.group_took(tx, group, now - attempt.started_at).await?;
        }
        let holds = report.image.is_some() || (job.run_id.is_some() && matches!(report.outcome, Outcome::Passed));
        if holds && let Some(image) = &job.uses {
            store.holds(tx, &attempt.host, image, now).await?;
        }
        if let Some(image) = job.image_id.as_deref().filter(|_| is_over) {
            let undecided = infra || report.outcome == Outcome::Cancelled;
            if report.image.is_some() || !undecided {
                store.image_built(tx, image, report.image.as_ref(), now).await?;
            }
        }
        if let Some(image) = &job.image_id {
            store.build_is_news(tx, image).await?;
        }
        if let (Some(run), None) = (&job.run_id, &job.inquiry_id) {
            store.run_is_news(tx, run).await?;
        }
        if let By::Host(Some(host)) = by {
            self.judge(tx, host, attempt, report, now).await?;
        }
        Ok(true)
    }

    /// Counts what fails in the machinery of a host, and lets it rest.
    async fn judge(&self, tx: &mut Tx, host: &HostRow, attempt: &Attempt, report: &Report, now: i64) -> Result<()> {
        let store = &self.store;
        match &report.outcome {
            Outcome::Infra { reason } if !report.handed_back => {
                // what has failed before, here or elsewhere, may do so for reasons of its own
                if store.failed_before(tx, attempt).await? {
                    if let Some(rest) = rest_ms(host.strikes) {
                        store.set_strikes(tx, &host.id, host.strikes, Some(now + rest)).await?;
                    }
                    return Ok(());
                }
                let strikes = host.strikes + 1;
                let rest = rest_ms(strikes);
                store
                    .set_strikes(tx, &host.id, strikes, rest.map(|rest| now + rest))
                    .await?;
                if let Some(rest) = rest {
                    tracing::warn!(host = host.name, strikes, rest_s = rest / 1000, reason, "a host rests");
                }
                if is_beyond_rest(strikes) && store.others_do_well(tx, &host.id, now - HOUR_MS).await? {
                    store
                        .move_host_in(tx, &host.id, HostState::Active, HostState::Quarantined)
                        .await?;
                    tracing::error!(
                        host = host.name,
                        "a host is in quarantine: mend it, then `pybots host resume`"
                    );
                }
            }
            Outcome::Infra { .. } | Outcome::Cancelled => {}
            _ if host.strikes > 0 => store.set_strikes(tx, &host.id, 0, None).await?,
            _ => {}
        }
        Ok(())
    }
}

/// Where a job goes when an attempt at it has ended.
fn next<'a>(
    job: &Job,
    report: &Report,
    wish: Option<Wish>,
    spared: bool,
    avoid: Option<&'a str>,
    now: i64,
) -> Release<'a> {
    let at = |from, avoid, tries| Release::Queued { from, avoid, tries };
    let wait = |tried: i64| {
        usize::try_from(tried)
            .ok()
            .and_then(|tried| AGAIN_MS.get(tried))
            .copied()
    };
    match (&report.outcome, wish) {
        (_, Some(Wish::Again)) => at(now, None, 0),
        (_, Some(Wish::Cancel)) => Release::Finished,
        (Outcome::Infra { .. }, None) if report.handed_back || spared => {
            // a host that is alone does not take it again at once, again and again
            let from = if avoid.is_some() { now } else { now + AGAIN_MS[0] };
            at(from, avoid, job.tries)
        }
        (Outcome::Infra { .. }, None) => {
            let tries = job.tries + 1;
            match wait(tries - 1) {
                Some(wait) if tries < TRIES => at(now + wait, avoid, tries),
                _ => Release::Finished,
            }
        }
        _ => Release::Finished,
    }
}
