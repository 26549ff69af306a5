//! Handles sources of projects that do not answer. A run that waits for one is retried at growing intervals, and its
//! host gets no strike.

use super::Queue;
use super::end::retry_ms;
use crate::domain::host::backoff_until;
use crate::domain::job::{JobSpec, Report};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::store::Tx;
use crate::store::attempts::Attempt;
use crate::store::jobs::Job;
use anyhow::Result;

/// The number of attempts without an answer of the source after which a job is finished. They do not count as
/// infrastructure failures.
pub const UNANSWERED_ATTEMPTS_MOST: i64 = 7;

/// A host gets a strike if it reported a source as unreachable at most this many milliseconds before another host began
/// an attempt that reached the source.
const REFUTED_WITHIN_MS: i64 = 300_000;

/// The longest wait for a source, in milliseconds.
pub const WAIT_MOST_MS: i64 = 3_600_000;

/// Returns the wait in milliseconds after so many failures of a source in a row: a minute, doubled each time, at most
/// an hour.
fn wait_ms(failures: i64) -> i64 {
    let doublings = u32::try_from(failures - 1).unwrap_or(0);
    60_000_i64.saturating_mul(1 << doublings.min(20)).min(WAIT_MOST_MS)
}

/// Returns the key of the source that did not answer. Returns `None` for any other outcome, or if the reported address
/// is not a source of the job. Hosts are not trusted here.
fn unanswered(job: &Job, report: &Report) -> Option<String> {
    let address = report.unreachable.as_deref()?;
    let (Outcome::Infra { .. }, Ok(JobSpec::Run(run))) = (&report.outcome, &job.spec) else {
        return None;
    };
    run.fetch
        .is_source(address)
        .then(|| crate::domain::suite::source_key(address))
}

impl Queue {
    /// If an attempt reached the sources of its job, adds the job to the streak of each other host that recently
    /// reported a source of the job as unreachable, and backs that host off if need be. Otherwise a host could delay
    /// jobs again and again.
    pub(super) async fn count_refuted(&self, tx: &mut Tx, job: &Job, attempt: &Attempt, report: &Report) -> Result<()> {
        if job.unanswered_attempts == 0 || matches!(report.outcome, Outcome::Infra { .. } | Outcome::Cancelled) {
            return Ok(());
        }
        let since = attempt.started_at - REFUTED_WITHIN_MS;
        let hosts = self
            .store
            .hosts_without_source(tx, (&job.id, &attempt.host), since)
            .await?;
        for host in hosts {
            let streak = host.streak().with(job.spec.as_ref().ok(), &self.shared.trust);
            self.store.set_streak(tx, &host.id, &streak).await?;
            let is_longer = streak.strikes() > host.streak().strikes();
            if let Some(until) = backoff_until(streak.strikes(), attempt.started_at).filter(|_| is_longer) {
                self.store.set_backoff(tx, &host.id, Some(until)).await?;
            }
            tracing::warn!(host = host.name, job = %job.id, "another host reached the source that did not answer this one");
        }
        Ok(())
    }

    /// Records whether the sources of a job answered, and makes the queued jobs of its project wait or ends their wait.
    /// Returns the time until which the job's next attempt has to wait, or `None` if the report names no source that
    /// did not answer.
    pub(super) async fn note_sources(
        &self,
        tx: &mut Tx,
        job: &Job,
        report: &Report,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let Ok(JobSpec::Run(run)) = &job.spec else {
            return Ok(None);
        };
        if let Some(address) = unanswered(job, report) {
            let until = self.store.source_failed(tx, &address, wait_ms, now).await?;
            self.store.put_off_project(tx, &run.project, until).await?;
            return Ok(Some(until));
        }
        let reached = !matches!(report.outcome, Outcome::Infra { .. } | Outcome::Cancelled);
        if reached && self.store.sources_answered(tx, &run.fetch.source_keys()).await? {
            self.store.hasten_project(tx, &run.project, retry_ms, now).await?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait() {
        assert_eq!(
            [1, 2, 3, 7, 100].map(wait_ms),
            [60_000, 120_000, 240_000, 3_600_000, 3_600_000]
        );
    }
}
