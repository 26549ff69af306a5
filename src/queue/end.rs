//! Ends attempts, and updates their jobs and hosts.

use super::sources::UNANSWERED_ATTEMPTS_MOST;
use super::{Queue, conflict};
use crate::domain::host::{CONSECUTIVE_FAILURES_MOST, HostState, backoff_ms, is_beyond_backoff};
use crate::domain::id::{AttemptId, HostId};
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::domain::state::Repetition;
use crate::domain::streak::FailureStreak;
use crate::domain::time::{HOUR_MS, Timestamp};
use crate::domain::waiting::ONLINE_MS;
use crate::protocol::Receipt;
use crate::store::attempts::Attempt;
use crate::store::hosts::HostRow;
use crate::store::jobs::{Job, Release, Request};
use crate::store::{Conflict, Tx, is_deadlock};
use anyhow::{Context, Result, bail};

/// The number of attempts that ended as `infra` and count against their job, after which the job is finished.
const INFRA_ATTEMPTS_MOST: i64 = 3;

/// The waits before another attempt at a job after its first and its second failure in the infrastructure, in
/// milliseconds.
pub(super) const RETRY_MS: [i64; 2] = [5_000, 60_000];

/// Returns the wait in milliseconds before another attempt at a job that failed so many times in the infrastructure.
pub(super) fn retry_ms(failures: i64) -> i64 {
    let earlier = usize::try_from(failures).unwrap_or(0).checked_sub(1);
    earlier.and_then(|earlier| RETRY_MS.get(earlier)).copied().unwrap_or(0)
}

/// The number of tries of [`Queue::finish`] if the attempt changes while it is being ended.
const FINISH_TRIES: usize = 3;

/// The party that ends an attempt.
#[derive(Clone, Copy, PartialEq)]
enum EndedBy<'a> {
    /// The host that has the lease. `None` if the host is no longer registered.
    Host(Option<&'a HostRow>),
    /// The coordinator. `lost` is true if the host fell silent and may come back.
    Coordinator { lost: bool },
    /// The coordinator, because the attempt takes longer than its job allows. This counts against the host.
    Deadline(Option<&'a HostRow>),
}

impl<'a> EndedBy<'a> {
    /// Returns the host against which a failure counts.
    fn accountable(self) -> Option<&'a HostRow> {
        match self {
            EndedBy::Host(host) | EndedBy::Deadline(host) => host,
            EndedBy::Coordinator { .. } => None,
        }
    }
}

impl Queue {
    /// Ends an attempt with its host's report. The job ends too, or is queued again if the infrastructure failed, a
    /// source did not answer, or a person requested a rerun. Sending the same report twice changes nothing. A report
    /// after the lease ran out counts unless the job was given to another host; otherwise it is stored as late. Returns
    /// a conflict if there is no such attempt, if the fence is wrong, or if the attempt has ended in another way.
    pub async fn finish(
        &self,
        attempt_id: &AttemptId,
        fence: &str,
        report: &Report,
        now: Timestamp,
    ) -> Result<Result<Receipt, Conflict>> {
        // between reading and writing, the lease may run out, or a renewal may regain it
        for _ in 0..FINISH_TRIES {
            match self.try_finish(attempt_id, fence, report, now).await {
                Ok(Some(decided)) => return Ok(decided),
                Ok(None) => {}
                Err(error) if is_deadlock(&error) => {
                    tracing::warn!(attempt = %attempt_id, error = format!("{error:#}"), "ending starts again");
                }
                Err(error) => return Err(error),
            }
        }
        bail!("attempt {attempt_id} changes faster than it can be ended")
    }

    /// Tries to end an attempt once. Returns `None` if the attempt changed between reading and writing.
    async fn try_finish(
        &self,
        attempt_id: &AttemptId,
        fence: &str,
        report: &Report,
        now: Timestamp,
    ) -> Result<Option<Result<Receipt, Conflict>>> {
        let Some(attempt) = self.store.attempt(attempt_id).await? else {
            return Ok(Some(Err(conflict(attempt_id, "does not exist"))));
        };
        if attempt.fence != fence {
            return Ok(Some(Err(conflict(attempt_id, "belongs to another lease"))));
        }
        let host = self.store.host(attempt.host.as_str()).await?;
        let mut tx = self.store.begin().await?;
        if attempt.is_lost() && !self.store.regain_attempt(&mut tx, &attempt, now).await? {
            if !self.store.keep_late(&mut tx, &attempt.id, report, now).await? {
                // another delivery was faster: the job must not stay leased for an attempt that has ended
                tx.rollback().await?;
                return Ok(None);
            }
            tx.commit().await?;
            return Ok(Some(Ok(Receipt::Late)));
        }
        if self
            .end(&mut tx, &attempt, report, EndedBy::Host(host.as_ref()), now)
            .await?
        {
            tx.commit().await?;
            self.announce();
            return Ok(Some(Ok(Receipt::Counted)));
        }
        // release the connection first: tasks that hold one and wait for another could block each other
        tx.rollback().await?;
        let ended = self.store.attempt(attempt_id).await?;
        // a failure of the infrastructure after a cancel request is stored as cancelled
        let was_cancelled =
            |earlier: &Report| earlier.outcome == Outcome::Cancelled && matches!(report.outcome, Outcome::Infra { .. });
        let same =
            |earlier: Option<&Report>| earlier.is_some_and(|earlier| earlier == report || was_cancelled(earlier));
        Ok(match ended {
            Some(ended) if same(ended.report()) => Some(Ok(Receipt::Counted)),
            Some(ended) if same(ended.late_report()) => Some(Ok(Receipt::Late)),
            Some(ended) if ended.is_lost() && !attempt.is_lost() => None,
            _ => Some(Err(conflict(attempt_id, "has ended before"))),
        })
    }

    /// Ends an attempt without its host's report. `lost` is true if the host may come back with the attempt. Returns
    /// `false` if the attempt had ended before.
    pub(super) async fn give_up(&self, attempt: &Attempt, report: &Report, lost: bool, now: Timestamp) -> Result<bool> {
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

    /// Ends an attempt that takes longer than its job allows, which counts against its host. Returns `false` if the
    /// attempt had ended before.
    pub(super) async fn give_up_overdue(&self, attempt: &Attempt, now: Timestamp) -> Result<bool> {
        let host = self.store.host(attempt.host.as_str()).await?;
        let name = self.store.host_name(&attempt.host).await?;
        let hours = (now - attempt.started_at) / HOUR_MS;
        let reason = format!("host {name} did not end it within {hours} h, longer than its limits allow");
        tracing::warn!(attempt = %attempt.id, host = name, hours, "an attempt is overdue; the job is queued again");
        let report = Report::of(Outcome::Infra { reason });
        let mut tx = self.store.begin().await?;
        let ended = self
            .end(&mut tx, attempt, &report, EndedBy::Deadline(host.as_ref()), now)
            .await?;
        match ended {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        self.announce();
        Ok(ended)
    }

    /// Does the same as [`Queue::give_up`], inside the caller's transaction.
    pub(super) async fn give_up_in(
        &self,
        tx: &mut Tx,
        attempt: &Attempt,
        report: &Report,
        lost: bool,
        now: Timestamp,
    ) -> Result<bool> {
        self.end(tx, attempt, report, EndedBy::Coordinator { lost }, now).await
    }

    async fn end(
        &self,
        tx: &mut Tx,
        attempt: &Attempt,
        report: &Report,
        by: EndedBy<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let store = &self.store;
        let job = store
            .job(tx, &attempt.job_id)
            .await?
            .context("an attempt without its job")?;
        let request = job.request;
        let cancelled = Report::of(Outcome::Cancelled);
        // a failure that the cancellation caused must not lead to a retry
        let report = match (&report.outcome, request) {
            (Outcome::Infra { .. }, Some(Request::Cancel)) => &cancelled,
            _ => report,
        };
        if !store
            .end_attempt(tx, &attempt.id, report, by == EndedBy::Coordinator { lost: true }, now)
            .await?
        {
            return Ok(false);
        }
        // the job avoids this host only if another one is online
        let alone = !store.others_are_there(tx, &attempt.host, now - ONLINE_MS).await?;
        let avoid_host = (!alone).then_some(&attempt.host);
        let on_trial = matches!(by.accountable(), Some(host) if host.consecutive_failures >= CONSECUTIVE_FAILURES_MOST);
        // a failure on a host that keeps failing does not count for a job that has not failed before
        let spared = on_trial && !store.failed_before(tx, attempt).await?;
        let unanswered = self.note_sources(tx, &job, report, now).await?;
        self.count_refuted(tx, &job, attempt, report).await?;
        let to = match unanswered {
            Some(until) if job.request.is_none() => wait_for_source(&job, avoid_host, until),
            _ => release(&job, report, spared, avoid_host, now),
        };
        let is_over = matches!(to, Release::Finished);
        if !store.release_job(tx, &job.id, to).await? {
            bail!("job {} cannot move from {} to finished", job.id, job.state);
        }
        let infra = matches!(report.outcome, Outcome::Infra { .. });
        if !infra && let Some(group) = &job.group_id {
            store.group_took(tx, group, now - attempt.started_at).await?;
        }
        let holds = report.image.is_some() || (job.run_id.is_some() && matches!(report.outcome, Outcome::Passed));
        if holds && let Some(image) = &job.target_image_id {
            store.holds(tx, &attempt.host, image, now).await?;
        }
        if let Some(image) = job.image_id.as_ref().filter(|_| is_over) {
            let undecided = infra || report.outcome == Outcome::Cancelled;
            if report.image.is_some() || !undecided {
                store.image_built(tx, image, report.image.as_ref(), now).await?;
            }
        }
        if let Some(image) = &job.image_id {
            store.add_build_event(tx, image).await?;
        }
        // recorded in this transaction, before the run is evaluated
        if let (EndedBy::Host(Some(host)), Some(_), None) = (by, &job.run_id, &job.investigation_id)
            && host.is_new()
            && report.outcome.is_result()
        {
            store.set_repetition(tx, &attempt.id, Some(Repetition::Awaited)).await?;
        }
        if let (Some(run), None) = (&job.run_id, &job.investigation_id) {
            store.reevaluate_run(tx, run).await?;
        }
        if let (Some(host), None) = (by.accountable(), unanswered) {
            self.count_failures(tx, host, (&job, attempt), report, now).await?;
        }
        Ok(true)
    }

    /// Counts the consecutive jobs that failed in a host's infrastructure, and backs the host off or quarantines it.
    /// Failures that only concern related projects have neither effect. A job that failed before is not counted, and a
    /// result ends the streak and the back-off.
    async fn count_failures(
        &self,
        tx: &mut Tx,
        host: &HostRow,
        (job, attempt): (&Job, &Attempt),
        report: &Report,
        now: Timestamp,
    ) -> Result<()> {
        let store = &self.store;
        match &report.outcome {
            Outcome::Infra { reason } if !report.handed_back => {
                let (streak, longer) = (
                    host.streak(),
                    host.streak().with(job.spec.as_ref().ok(), &self.shared.trust),
                );
                let counts = longer.strikes() > streak.strikes();
                // the job may be the cause if it failed before, here or on another host
                let streak = match store.failed_before(tx, attempt).await? {
                    true => streak,
                    false => longer,
                };
                store.set_streak(tx, &host.id, &streak).await?;
                let consecutive_failures = streak.strikes();
                if let Some(backoff) = backoff_ms(consecutive_failures).filter(|_| counts) {
                    store.set_backoff(tx, &host.id, Some(now + backoff)).await?;
                    tracing::warn!(
                        host = host.name,
                        consecutive_failures,
                        backoff_s = backoff / 1000,
                        reason,
                        "a host is backed off"
                    );
                }
                let is_worse = consecutive_failures > host.consecutive_failures;
                if is_worse
                    && is_beyond_backoff(consecutive_failures)
                    && store.others_do_well(tx, &host.id, now - HOUR_MS).await?
                {
                    store
                        .move_host_in(tx, &host.id, HostState::Active, HostState::Quarantined)
                        .await?;
                    tracing::error!(
                        host = host.name,
                        "a host is in quarantine: fix it, then `pybots host resume`"
                    );
                }
            }
            Outcome::Infra { .. } | Outcome::Cancelled => {}
            _ if host.streak() != FailureStreak::default() => {
                store.set_streak(tx, &host.id, &FailureStreak::default()).await?;
                store.set_backoff(tx, &host.id, None).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns the next state of a job whose source did not answer: queued until `until`, or finished after
/// [`UNANSWERED_ATTEMPTS_MOST`] such attempts.
fn wait_for_source<'a>(job: &Job, avoid_host: Option<&'a HostId>, until: Timestamp) -> Release<'a> {
    let unanswered_attempts = job.unanswered_attempts + 1;
    match unanswered_attempts < UNANSWERED_ATTEMPTS_MOST {
        true => Release::Queued {
            from: until,
            avoid_host,
            infra_attempts: job.infra_attempts,
            unanswered_attempts,
        },
        false => Release::Finished,
    }
}

/// Returns the next state of a job after an attempt ended. `spared` is true if an infrastructure failure does not
/// count.
fn release<'a>(
    job: &Job,
    report: &Report,
    spared: bool,
    avoid_host: Option<&'a HostId>,
    now: Timestamp,
) -> Release<'a> {
    let queued = |from, avoid_host, infra_attempts| Release::Queued {
        from,
        avoid_host,
        infra_attempts,
        unanswered_attempts: match job.request {
            Some(Request::Rerun) => 0,
            _ => job.unanswered_attempts,
        },
    };
    match (&report.outcome, job.request) {
        (_, Some(Request::Rerun)) => queued(now, None, 0),
        (_, Some(Request::Cancel)) => Release::Finished,
        (Outcome::Infra { .. }, None) if report.handed_back || spared => {
            // the only host would otherwise take the job again at once, over and over
            let from = if avoid_host.is_some() { now } else { now + RETRY_MS[0] };
            queued(from, avoid_host, job.infra_attempts)
        }
        (Outcome::Infra { .. }, None) => {
            let infra_attempts = job.infra_attempts + 1;
            match infra_attempts < INFRA_ATTEMPTS_MOST {
                true => queued(now + retry_ms(infra_attempts), avoid_host, infra_attempts),
                false => Release::Finished,
            }
        }
        _ => Release::Finished,
    }
}
