//! Repeats a small part of all runs, and the runs of projects in burn-in, on the same image with the same lock.
//! Attempts that disagree show how flaky a suite is.

use super::context::Context;
use crate::domain::job::{JobSpec, Report};
use crate::domain::time::HOUR_MS;
use crate::store::flakiness::BurnIn;
use crate::store::jobs::NewJob;
use crate::store::results::UnevaluatedRun;
use crate::verdict::agreeing;
use anyhow::{Context as _, Result};

/// How many of the newest runs of a project are searched for repetitions.
const RUNS: i64 = 500;

/// The milliseconds after which a repeat that has not ended counts as lost.
const LOST_MS: i64 = 24 * HOUR_MS;

/// Queues a run once more with its lock if the setting `verdicts.repeat` selects it, or if its project is in burn-in
/// and waits for no other repeat. Does not if the lock is unconfirmed. If the run was repeated already, counts how many
/// results agree.
pub async fn repeat(context: &Context<'_>, run: &UnevaluatedRun, report: &Report) -> Result<()> {
    let store = context.store;
    let (id, project) = (run.id.as_str(), run.series.project.as_str());
    let Some(burn_in) = store.burn_in(project).await? else {
        return Ok(());
    };
    match store.attempts_of(id).await?.len() {
        1 => {}
        0 => return Ok(()),
        _ => return count(context, project, &burn_in).await,
    }
    // one at a time: otherwise each evaluated run would ask for a repeat while the first ones wait
    let is_asked = burn_in.repeat_asked_at.is_some_and(|at| context.now - at < LOST_MS);
    let burns_in = burn_in.agreeing < i64::from(context.settings.burn_in) && !is_asked;
    if !burns_in && !is_selected(id, context.settings.repeat) {
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
        // people wait for the end of a burn-in; otherwise everything else goes first
        priority: if burns_in { context.now.as_millis() } else { 0 },
        spec: &JobSpec::Run(spec),
        proven: false,
        probe: None,
    };
    let mut tx = store.begin().await?;
    context.queue.add(&mut tx, &new, context.now).await?;
    if burns_in {
        store.repeat_asked(&mut tx, project, context.now).await?;
    }
    tx.commit().await?;
    context.queue.announce();
    Ok(())
}

/// Counts how many repeated results of a project agreed in a row, and stores the number.
async fn count(context: &Context<'_>, project: &str, before: &BurnIn) -> Result<()> {
    let runs = context.store.repeated_runs(project, RUNS).await?;
    let newest_first = runs.values().rev().map(Vec::as_slice);
    let agreed = u32::try_from(before.agreeing).unwrap_or_default();
    let now = agreeing(newest_first, agreed);
    let needed = context.settings.burn_in;
    if agreed < needed && now >= needed {
        tracing::info!(project, agreeing = now, "the burn-in of a project has ended");
    } else if agreed >= needed && now < needed {
        tracing::warn!(
            project,
            "repeated results of a project disagree; it is in burn-in again"
        );
    }
    context.store.set_agreeing(project, now).await
}

/// Returns whether a run is selected: one in `one_in` is, or none if `one_in` is 0. The last part of an id is random.
fn is_selected(id: &str, one_in: u64) -> bool {
    let random = id.rsplit('-').next().and_then(|end| u64::from_str_radix(end, 16).ok());
    random.is_some_and(|random| one_in > 0 && random % one_in == 0)
}
