//! What a run leaves for others: the versions that it installed, and now and then a run that is done twice.

use super::super::Coordinator;
use crate::domain::job::{JobSpec, Report};
use crate::domain::outcome::Outcome;
use crate::store::jobs::NewJob;
use crate::store::judge::Unjudged;
use crate::store::locks::LockKey;
use anyhow::Result;

/// Keeps what the first run has installed, for those that follow. `at`: when it ended.
pub async fn keep_lock(coordinator: &Coordinator, run: &Unjudged, report: &Report, at: i64) -> Result<()> {
    let (Some(lock), Some(job)) = (&report.lock, coordinator.store.job_of(&run.id).await?) else {
        return Ok(());
    };
    // what can't be installed is no base for comparisons
    let usable = !matches!(report.outcome, Outcome::SetupFailed { .. });
    let spec = serde_json::from_str(&job.spec);
    let (true, Ok(JobSpec::Run(spec))) = (usable, spec) else {
        return Ok(());
    };
    if spec.fetch.lock.is_some() {
        return Ok(());
    }
    let key = LockKey {
        recipe: &run.recipe,
        line: &spec.fetch.python,
        variant: &run.variant,
        platform: &run.platform,
    };
    if coordinator.store.keep_lock(&key, lock, at).await? {
        tracing::info!(project = run.project, line = key.line, "its dependencies are kept");
    }
    Ok(())
}

/// Does one run in many once more, with all the same: what differs then is noise.
pub async fn repeat(coordinator: &Coordinator, run: &Unjudged, report: &Report, now: i64) -> Result<()> {
    let Coordinator {
        store, queue, settings, ..
    } = coordinator;
    // ids end in chance
    let chance = run
        .id
        .rsplit('-')
        .next()
        .and_then(|end| u64::from_str_radix(end, 16).ok());
    let chosen = chance.is_some_and(|chance| settings.verdicts.repeat > 0 && chance % settings.verdicts.repeat == 0);
    if !chosen || store.attempts_of(&run.id).await?.len() != 1 {
        return Ok(());
    }
    let Some(job) = store.job_of(&run.id).await? else {
        return Ok(());
    };
    let JobSpec::Run(mut spec) = serde_json::from_str(&job.spec)? else {
        return Ok(());
    };
    spec.fetch.lock.clone_from(&report.lock);
    let new = NewJob {
        image: job.uses.as_deref().unwrap_or_default(),
        run: Some(&run.id),
        platform: &run.platform,
        priority: 0, // it is in nobody's way
        spec: &JobSpec::Run(spec),
        probe: None,
    };
    let mut tx = store.begin().await?;
    queue.add(&mut tx, &new, now).await?;
    tx.commit().await?;
    queue.announce();
    Ok(())
}
