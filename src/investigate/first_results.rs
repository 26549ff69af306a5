//! The first results of a new host, which another host repeats before they count. Otherwise a machine without any
//! history could raise an incident, or support one.

use super::context::Context;
use super::dependency_locks::pinned_lock;
use super::eligible_hosts::has_proven_host;
use super::history::{Delivered, is_same};
use crate::domain::host::HostState;
use crate::domain::job::{JobSpec, Report};
use crate::domain::state::Repetition;
use crate::store::attempts::Attempt;
use crate::store::hosts::HostRow;
use crate::store::jobs::NewJob;
use crate::store::repetitions;
use crate::store::results::UnevaluatedRun;
use crate::verdict::{FirstResult, FirstResultStep};
use anyhow::{Context as _, Result};

/// The most results of a new host that are read. There are few: soon the host is either proven or in quarantine.
const READ_MOST: i64 = 1_000;

/// Decides whether the results of new hosts for a run count. Queues repetitions, and may prove a host or put it into
/// quarantine. Returns `Awaited` while repetitions are under way.
pub async fn check(context: &Context<'_>, run: &UnevaluatedRun) -> Result<Delivered<()>> {
    let attempts = context.store.attempts_of(run.id.as_str()).await?;
    for attempt in &attempts {
        if attempt.repetition == Some(Repetition::Awaited)
            && let Some(host) = context.store.host(attempt.host.as_str()).await?
            && let Delivered::Awaited = decide(context, run, &host, attempt, &attempts).await?
        {
            return Ok(Delivered::Awaited);
        }
    }
    Ok(Delivered::Complete(()))
}

/// Cancels queued repetitions that no proven host can make any more. Then [`check`] decides again whether the results
/// that they were to repeat count.
pub async fn tick(context: &Context<'_>) -> Result<()> {
    let Context { store, queue, now, .. } = *context;
    for (attempt, job, platform) in store.queued_repetitions().await? {
        let Some(JobSpec::Run(run)) = store.spec_of(&job).await? else {
            continue;
        };
        if !has_proven_host(context, &run, &platform).await? {
            let mut tx = store.begin().await?;
            store.set_repeat_job(&mut tx, &attempt, None).await?;
            tx.commit().await?;
            queue.cancel_queued(&job, now).await?;
        }
    }
    Ok(())
}

async fn decide(
    context: &Context<'_>,
    run: &UnevaluatedRun,
    host: &HostRow,
    attempt: &Attempt,
    attempts: &[Attempt],
) -> Result<Delivered<()>> {
    let store = context.store;
    let earlier = store.first_results(store.pool(), &host.id, READ_MOST).await?;
    let needed = context.settings.first_results as usize;
    let elsewhere: Vec<bool> = attempts
        .iter()
        .filter(|other| other.host != host.id && compares(attempt, other))
        .filter_map(|other| Some(is_same(attempt.report()?, other.report()?)))
        .collect();
    let repeated = earlier.iter().filter(|result| result.repeat_job_id.is_some()).count();
    let result = FirstResult {
        is_new: host.is_new() && !attempt.is_probe,
        elsewhere: &elsewhere,
        was_repeated: attempt.repeat_job_id.is_some(),
        repeats: repeated.saturating_sub(usize::try_from(host.repeats_forgiven).unwrap_or_default()),
        needed,
    };
    let had = |wanted| earlier.iter().filter(|result| result.repetition == wanted).count();
    let repetition = match result.next_step() {
        FirstResultStep::Count => None,
        FirstResultStep::Record(repetition) => Some(repetition),
        FirstResultStep::Repeat if repeat(context, run, attempt).await? => return Ok(Delivered::Awaited),
        FirstResultStep::Repeat => {
            if !store.counts_alone(&host.id).await? {
                tracing::warn!(
                    host = host.name,
                    project = run.series.project,
                    "no other host can repeat the first results of a new host; they count as they are"
                );
            }
            Some(Repetition::NoHost)
        }
        FirstResultStep::GiveUp => {
            if store
                .move_host(&host.id, HostState::Active, HostState::Quarantined)
                .await?
            {
                tracing::error!(
                    host = host.name,
                    "a new host is in quarantine: too few of its results had the same outcome on another host; look at its page, then \
                     `pybots host resume`"
                );
            }
            Some(Repetition::Unrepeated)
        }
    };
    let mut tx = store.begin().await?;
    store.set_repetition(&mut tx, &attempt.id, repetition).await?;
    if repetition == Some(Repetition::Agreed) && had(Repetition::Agreed) + 1 >= needed {
        store.prove_host(&mut tx, &host.id, context.now).await?;
        tracing::info!(
            host = host.name,
            "a new host is proven: other hosts had the same results"
        );
    }
    tx.commit().await?;
    Ok(Delivered::Complete(()))
}

/// Returns whether a result of a new host can be compared with another attempt. An error of the recipe may disappear,
/// for example when a lock is resolved anew. So it counts only in the repetition itself.
fn compares(attempt: &Attempt, other: &Attempt) -> bool {
    let repeats = attempt.repeat_job_id.as_ref() == Some(&other.job_id);
    let says_enough = |report: &Report| match repeats {
        true => report.outcome.is_result(),
        false => report.outcome.is_valid(),
    };
    !other.is_probe && other.report().is_some_and(says_enough) && other.repetition.is_none_or(repetitions::counts)
}

/// Queues a run once more for a host that is not new, with the lock of its job or else the pinned one. Returns `false`
/// if there is no such host.
async fn repeat(context: &Context<'_>, run: &UnevaluatedRun, attempt: &Attempt) -> Result<bool> {
    let store = context.store;
    let job = store.job_of(run.id.as_str()).await?.context("a run without its job")?;
    let JobSpec::Run(mut spec) = job.spec? else {
        return Ok(false);
    };
    let image = job.target_image_id.as_ref().context("a run's job without its image")?;
    if !has_proven_host(context, &spec, &run.series.platform).await? {
        return Ok(false);
    }
    // the lock that the new host reports is not used: the host would choose what another one installs
    if spec.fetch.lock.is_none() {
        spec.fetch.lock = pinned_lock(context, run, &spec).await?;
    }
    let new = NewJob {
        image,
        run: Some(&run.id),
        platform: &run.series.platform,
        // somebody waits for the result
        priority: context.now.as_millis(),
        spec: &JobSpec::Run(spec),
        proven: true,
        probe: None,
    };
    let mut tx = store.begin().await?;
    let repeat = context.queue.add(&mut tx, &new, context.now).await?;
    store.set_repeat_job(&mut tx, &attempt.id, Some(&repeat)).await?;
    tx.commit().await?;
    context.queue.announce();
    Ok(true)
}
