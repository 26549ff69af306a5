//! Repeats a small part of all runs on the same image with the same lock. Attempts that disagree show how flaky a suite is.

use super::context::Context;
use crate::domain::job::{JobSpec, Report};
use crate::store::jobs::NewJob;
use crate::store::results::UnevaluatedRun;
use anyhow::{Context as _, Result};

/// Queues a run once more if it is one of those that the setting `verdicts.repeat` selects.
pub async fn repeat(context: &Context<'_>, run: &UnevaluatedRun, report: &Report) -> Result<()> {
    let store = context.store;
    let id = run.id.as_str();
    if !is_selected(id, context.settings.repeat) || store.attempts_of(id).await?.len() != 1 {
        return Ok(());
    }
    let Some(job) = store.job_of(id).await? else {
        return Ok(());
    };
    let JobSpec::Run(mut spec) = job.spec? else {
        return Ok(());
    };
    if report.unconfirmed_lock.is_some() {
        return Ok(()); // another host must not install what this one names
    }
    spec.fetch.lock.clone_from(&report.lock);
    let new = NewJob {
        image: job.target_image_id.as_ref().context("a run's job without its image")?,
        run: Some(&run.id),
        platform: &run.series.platform,
        priority: 0, // everything else goes first
        spec: &JobSpec::Run(spec),
        proven: false,
        probe: None,
    };
    let mut tx = store.begin().await?;
    context.queue.add(&mut tx, &new, context.now).await?;
    tx.commit().await?;
    context.queue.announce();
    Ok(())
}

/// Selects one run in `one_in`, or none if that is 0. The last part of an id is random.
fn is_selected(id: &str, one_in: u64) -> bool {
    let random = id.rsplit('-').next().and_then(|end| u64::from_str_radix(end, 16).ok());
    random.is_some_and(|random| one_in > 0 && random % one_in == 0)
}
