//! Pins the dependencies of a recipe, so that only CPython differs between its runs, and refreshes them after a while.
//! A newer version never arrives together with a new revision: a run that has its result is repeated with the newer
//! versions on the same image. So a difference is due to them.
//!
//! A pinned lock decides which code all hosts install. So a lock is pinned only if a host that may build reported it,
//! or if hosts of two owners reported the same one.

use super::context::Context;
use super::eligible_hosts::trusted_host;
use crate::domain::id::{HostId, JobId, RunId};
use crate::domain::job::{JobSpec, Report, RunSpec};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::store::attempts::Attempt;
use crate::store::jobs::{Job, NewJob, Probe};
use crate::store::locks::{JobEnd, LockKey, StaleLock};
use crate::store::probes::lock_name;
use crate::store::results::UnevaluatedRun;
use crate::verdict::LockSide;
use anyhow::{Context as _, Result};

/// How long newer versions are not tried again after they could not be installed, or after the machinery failed, in
/// milliseconds. A run that tries them is cancelled if it has been queued for as long.
const RETRY_MS: i64 = 24 * 3_600_000;
/// How many of a recipe's newest reports are searched for a second one with the same lock.
const REPORTS_MOST: i64 = 100;
/// How many of a recipe's newest runs are searched for one on the lock's version of Python.
const NEWEST_RUNS: i64 = 50;

/// Pins the lock that a run resolved itself, if the lock may be pinned and its recipe has no pinned lock yet on its
/// version of Python, variant and platform.
pub async fn pin_lock(context: &Context<'_>, run: &UnevaluatedRun) -> Result<()> {
    let Some((_, spec)) = newest_job(context, run).await? else {
        return Ok(());
    };
    if spec.fetch.lock.is_some() {
        return Ok(());
    }
    let key = lock_key(run, &spec);
    let attempts = context.store.attempts_of(run.id.as_str()).await?;
    let own: Vec<&Attempt> = attempts.iter().filter(|attempt| !attempt.is_probe).collect();
    let Some((lock, finished_at)) = lock_to_pin(context, &key, &own).await? else {
        return Ok(());
    };
    if context.store.pin_lock(&key, &lock, finished_at).await? {
        tracing::info!(project = run.series.project, python = key.python, "pinned dependencies");
    }
    Ok(())
}

/// Returns the first lock of these attempts that may be pinned, and the time at which it was reported. Locks that need
/// no confirmation go first. Returns `None` if no lock may be pinned.
async fn lock_to_pin(
    context: &Context<'_>,
    key: &LockKey<'_>,
    attempts: &[&Attempt],
) -> Result<Option<(String, Timestamp)>> {
    let reports = || {
        attempts
            .iter()
            .filter_map(|attempt| Some((*attempt, attempt.report()?)))
    };
    let confirmed = reports().find_map(|(attempt, report)| Some((attempt, installed(report, &report.lock)?)));
    if let Some((attempt, lock)) = confirmed {
        return Ok(Some((lock.to_owned(), attempt.finished_at.unwrap_or(context.now))));
    }
    for (attempt, report) in reports() {
        if let Some(lock) = installed(report, &report.unconfirmed_lock)
            && is_confirmed(context, key, &attempt.host, lock).await?
        {
            return Ok(Some((lock.to_owned(), attempt.finished_at.unwrap_or(context.now))));
        }
    }
    Ok(None)
}

/// Returns whether a host of another owner installed the same lock for the recipe. Owners are compared, because one
/// person may enrol many hosts.
async fn is_confirmed(context: &Context<'_>, key: &LockKey<'_>, host: &HostId, lock: &str) -> Result<bool> {
    let store = context.store;
    let Some(first) = store.host(host.as_str()).await? else {
        return Ok(false);
    };
    for (other, report) in store.reports_by(key, REPORTS_MOST).await? {
        if installed(&report, &report.unconfirmed_lock) != Some(lock) {
            continue;
        }
        let second = store.host(other.as_str()).await?;
        if second.is_some_and(|second| !second.owner.eq_ignore_ascii_case(&first.owner)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the lock of a run's newest job due at once if the last attempt could not fetch with it, because its files may
/// have vanished from the index or from a repository. The newest run is made once more with new versions. The report of
/// a new host is not enough, because the host would choose when versions change.
pub async fn expire_lock(context: &Context<'_>, run: &UnevaluatedRun) -> Result<()> {
    let Some((job, spec)) = newest_job(context, run).await? else {
        return Ok(());
    };
    let Some(lock) = &spec.fetch.lock else {
        return Ok(());
    };
    // a recipe error of a later phase says nothing about the lock
    let attempts = context.store.attempts_at(&job).await?;
    let last = attempts
        .last()
        .filter(|last| last.report().is_some_and(Report::is_unfetchable));
    let Some(last) = last else {
        return Ok(());
    };
    if !is_believed(context, &last.host).await? {
        return Ok(());
    }
    let key = lock_key(run, &spec);
    if context.store.expire_lock(&key, lock).await? {
        let (project, python) = (run.series.project.as_str(), key.python);
        tracing::warn!(
            project,
            python,
            "the pinned dependencies can't be fetched any more; resolving them anew"
        );
    }
    Ok(())
}

/// Returns whether the results of a host count without repetition.
async fn is_believed(context: &Context<'_>, host: &HostId) -> Result<bool> {
    let host = context.store.host(host.as_str()).await?;
    Ok(host.is_some_and(|host| !host.is_new() || context.settings.first_results == 0))
}

/// Returns the newest job of a run that no investigation requested and that is not crossed, with its spec. Returns
/// `None` if there is no such job, or if its spec can't be read.
async fn newest_job(context: &Context<'_>, run: &UnevaluatedRun) -> Result<Option<(JobId, Box<RunSpec>)>> {
    let job = context.store.job_of(run.id.as_str()).await?;
    Ok(job.and_then(|job| match job.spec {
        Ok(JobSpec::Run(spec)) => Some((job.id, spec)),
        _ => None,
    }))
}

/// Returns the lock that is pinned for a run, or `None` if there is none.
pub async fn pinned_lock(context: &Context<'_>, run: &UnevaluatedRun, spec: &RunSpec) -> Result<Option<String>> {
    let mut tx = context.store.begin().await?;
    let lock = context.store.pinned_lock(&mut tx, &lock_key(run, spec)).await?;
    tx.rollback().await?;
    Ok(lock)
}

fn lock_key<'a>(run: &'a UnevaluatedRun, spec: &'a RunSpec) -> LockKey<'a> {
    LockKey {
        recipe: &run.recipe,
        python: &spec.fetch.python,
        variant: &run.series.variant,
        platform: &run.series.platform,
    }
}

/// Returns the report of a job that ended with a recipe error.
fn recipe_error(end: &JobEnd) -> Option<&Report> {
    match end {
        JobEnd::Reported(report) if matches!(report.outcome, Outcome::RecipeError { .. }) => Some(report),
        _ => None,
    }
}

/// Tries newer versions in place of locks that are older than the setting `verdicts.locks` allows. Pins the versions of
/// the tries that have ended. Returns how many jobs it added.
pub async fn tick(context: &Context<'_>) -> Result<usize> {
    let term_ms = i64::try_from(context.settings.locks.0.saturating_mul(1000)).unwrap_or(i64::MAX);
    let mut added = 0;
    for stale in context.store.stale_locks(context.now - term_ms).await? {
        match refresh(context, &stale).await {
            Ok(Refresh::Scheduled) => added += 1,
            Ok(Refresh::Refreshed | Refresh::NotNow) => {}
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(project = stale.project, error, "failed to try newer dependencies");
            }
        }
    }
    Ok(added)
}

/// The progress of the refresh of a lock.
enum Refresh {
    /// A run with newer versions was scheduled.
    Scheduled,
    /// The run with newer versions has ended. Its versions are pinned if they could be installed and may be pinned.
    /// Otherwise the older lock stays.
    Refreshed,
    /// The run with newer versions has not ended, is not due, or has no run to repeat.
    NotNow,
}

async fn refresh(context: &Context<'_>, stale: &StaleLock) -> Result<Refresh> {
    let Context { store, queue, now, .. } = *context;
    let key = stale.key();
    if let Some(job) = &stale.refresh_job {
        let scheduled_at = stale.refresh_at.unwrap_or(now);
        if store.end_of_job(job).await? == JobEnd::Pending {
            // the host that was to try them may not come back
            if now - scheduled_at >= RETRY_MS {
                queue.cancel_queued(job, now).await?;
            }
            return Ok(Refresh::NotNow);
        }
        let attempts = store.attempts_at(job).await?;
        let lock = lock_to_pin(context, &key, &attempts.iter().collect::<Vec<_>>()).await?;
        let mut tx = store.begin().await?;
        match lock {
            Some((lock, _)) => {
                store.refresh_lock(&mut tx, &key, &lock, now).await?;
                tracing::info!(project = stale.project, python = stale.python, "refreshed dependencies");
            }
            None => {
                store.note_refresh(&mut tx, &key, None, scheduled_at).await?;
            }
        }
        tx.commit().await?;
        return Ok(Refresh::Refreshed);
    }
    if stale.refresh_at.is_some_and(|at| now - at < RETRY_MS) {
        return Ok(Refresh::NotNow);
    }
    let Some((run, job, mut spec)) = newest_run(context, &key).await? else {
        return Ok(Refresh::NotNow); // its revisions have left their branches
    };
    spec.fetch.lock = None;
    let host = trusted_host(context, &spec, &stale.platform).await?;
    // a run without a result gets it now; one with a result keeps it
    let has_result = recipe_error(&store.end_of_job(&job.id).await?).is_none();
    let new = NewJob {
        image: job.target_image_id.as_ref().context("a run's job without its image")?,
        run: Some(&run),
        platform: &stale.platform,
        priority: now.as_millis(),
        spec: &JobSpec::Run(spec),
        proven: false,
        probe: Some(Probe {
            investigation: None,
            lock_of: lock_name(LockSide::Now),
            crossed: has_result,
            host: host.as_ref(),
        }),
    };
    let mut tx = store.begin().await?;
    let id = queue.add(&mut tx, &new, now).await?;
    store.note_refresh(&mut tx, &key, Some(&id), now).await?;
    tx.commit().await?;
    Ok(Refresh::Scheduled)
}

/// Returns the newest run on the lock's version of Python, with its job.
async fn newest_run(context: &Context<'_>, key: &LockKey<'_>) -> Result<Option<(RunId, Job, Box<RunSpec>)>> {
    for run in context.store.newest_runs_by(key, NEWEST_RUNS).await? {
        let Some(job) = context.store.job_of(run.as_str()).await? else {
            continue;
        };
        if let Ok(JobSpec::Run(spec)) = &job.spec
            && spec.fetch.python == key.python
        {
            let spec = spec.clone();
            return Ok(Some((run, job, spec)));
        }
    }
    Ok(None)
}

/// Returns a lock of a report if the installation succeeded. Versions that can't be installed are no base for
/// comparisons.
fn installed<'a>(report: &Report, lock: &'a Option<String>) -> Option<&'a str> {
    let is_installed = report.outcome.is_valid() && !matches!(report.outcome, Outcome::SetupFailed { .. });
    lock.as_deref().filter(|_| is_installed)
}
