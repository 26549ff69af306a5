//! Newer versions of dependencies come in by themselves, not with a check-in: a run that has its result is done once more
//! with them, on the same image. What differs then is their doing.

use super::super::Coordinator;
use crate::domain::job::{JobSpec, Report, RunSpec};
use crate::domain::outcome::Outcome;
use crate::store::jobs::{Job, NewJob, Probe};
use crate::store::locks::{LockKey, OldLock};
use anyhow::Result;

/// What could not be installed, or the machinery failed, is tried again after so long.
const AGAIN_MS: i64 = 24 * 3_600_000;
/// Newest runs among which one on the lock's line of Python is looked for.
const LOOKED_AT: i64 = 50;

/// Returns how many jobs it added.
pub async fn tick(coordinator: &Coordinator, now: i64) -> Result<usize> {
    let mut added = 0;
    for old in coordinator.store.old_locks(now - coordinator.lock_term_ms()).await? {
        match refresh(coordinator, &old, now).await {
            Ok(asked) => added += usize::from(asked),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(project = old.project, error, "failed to try newer dependencies");
            }
        }
    }
    Ok(added)
}

/// True: a run was asked for.
async fn refresh(coordinator: &Coordinator, old: &OldLock, now: i64) -> Result<bool> {
    let store = &coordinator.store;
    let key = old.key();
    if let Some(job) = &old.refresh_job {
        let Some(report) = store.end_of_job(job).await? else {
            return Ok(false); // it comes
        };
        let report: Option<Report> = report.and_then(|text| serde_json::from_str(&text).ok());
        let mut tx = store.begin().await?;
        match report.as_ref().and_then(usable) {
            Some(lock) => {
                store.refresh_lock(&mut tx, &key, lock, now).await?;
                tracing::info!(project = old.project, line = old.line, "its dependencies are newer now");
            }
            None => {
                store
                    .refreshes(&mut tx, &key, None, old.refresh_at.unwrap_or(now))
                    .await?
            }
        }
        tx.commit().await?;
        return Ok(false);
    }
    if old.refresh_at.is_some_and(|at| now - at < AGAIN_MS) {
        return Ok(false);
    }
    let Some((run, job, mut spec)) = newest(coordinator, &key).await? else {
        return Ok(false); // it is on no branch any more
    };
    spec.fetch.lock = None;
    let new = NewJob {
        image: job.uses.as_deref().unwrap_or_default(),
        run: Some(&run),
        platform: &old.platform,
        priority: now,
        spec: &JobSpec::Run(spec),
        probe: Some(Probe {
            inquiry: None,
            lock_of: "now",
            crossed: true,
            host: None,
        }),
    };
    let mut tx = store.begin().await?;
    let id = coordinator.queue.add(&mut tx, &new, now).await?;
    store.refreshes(&mut tx, &key, Some(&id), now).await?;
    tx.commit().await?;
    Ok(true)
}

/// The newest run on the lock's line of Python that has its result.
async fn newest(coordinator: &Coordinator, key: &LockKey<'_>) -> Result<Option<(String, Job, Box<RunSpec>)>> {
    for run in coordinator.store.newest_runs_by(key, LOOKED_AT).await? {
        let Some(job) = coordinator.store.job_of(&run).await? else {
            continue;
        };
        if let Ok(JobSpec::Run(spec)) = serde_json::from_str(&job.spec)
            && spec.fetch.python == key.line
        {
            return Ok(Some((run, job, spec)));
        }
    }
    Ok(None)
}

/// What it has installed, if it came so far.
fn usable(report: &Report) -> Option<&str> {
    let installed = report.outcome.is_valid() && !matches!(report.outcome, Outcome::SetupFailed { .. });
    report.lock.as_deref().filter(|_| installed)
}
