//! Check-ins that can't be built: one incident, whatever becomes of the projects.

use super::super::Coordinator;
use super::evidence::Evidence;
use super::record::{self, Affected, Repair};
use super::settle::Found;
use crate::domain::job::Report;
use crate::store::Store;
use crate::store::builds::BuildNews;
use crate::store::incidents::{Breakage, Mended};
use crate::store::judge::Step;
use crate::verdict::{Built, Change, LogDifference, Subject, Turn, turns};
use anyhow::{Context, Result};

/// Builds of which there is news that are looked at in one pass.
const AT_ONCE: i64 = 500;
/// Check-ins before and after them among which the builds next to them are looked for.
const AROUND: i64 = 200;
/// A build that failed so often is believed.
pub const FAILURES: i64 = 2;
/// Attempts at a build after which nobody tries by himself.
pub const BUILDS_MOST: i64 = 12;
/// What an incident calls the project whose build it is.
const CPYTHON: &str = "cpython";

pub async fn tick(coordinator: &Coordinator, now: i64) -> Result<()> {
    let store = &coordinator.store;
    let watched = store.watched_branches().await?;
    let news = store.build_news(AT_ONCE).await?;
    let row = |build: &BuildNews| (build.branch_id.clone(), build.variant.clone(), build.platform.clone());
    for builds in news.chunk_by(|a, b| row(a) == row(b) && b.seq - a.seq <= AROUND) {
        let (Some(first), Some(last)) = (builds.first(), builds.last()) else {
            continue;
        };
        let affected = Affected {
            inquiry: None,
            branch_id: first.branch_id.clone(),
            branch: first.branch.clone(),
            project: CPYTHON.to_owned(),
            variant: first.variant.clone(),
            platform: first.platform.clone(),
        };
        let is_watched = watched.iter().any(|branch| branch.id == first.branch_id);
        let around = (first.seq - AROUND, last.seq + AROUND);
        if is_watched && let Err(error) = look(coordinator, &affected, around, now).await {
            let error = format!("{error:#}");
            tracing::error!(branch = first.branch, error, "failed to look at builds");
            continue;
        }
        store.builds_judged(builds).await?;
    }
    Ok(())
}

async fn look(coordinator: &Coordinator, affected: &Affected, around: (i64, i64), now: i64) -> Result<()> {
    let store = &coordinator.store;
    let column = affected.column();
    let steps = store.steps(&column, around).await?;
    let row: Vec<Built> = steps.iter().map(built).collect();
    let open = store.breakages_about(store.pool(), &column, false).await?;
    after_all(store, affected, (&steps, &row), &open, now).await?;
    for Turn { change, good, bad } in turns(&row) {
        let is_next = good + 1 == bad;
        let (Some(good), Some(step)) = (steps.get(good), steps.get(bad)) else {
            continue;
        };
        let known = store.breakages_on(&column).await?;
        let found = Found {
            subjects: vec![Subject::Build],
            places: (good.seq, step.seq),
            good: store.revision(&good.revision_id).await?.context("no such check-in")?,
            bad: store.revision(&step.revision_id).await?.context("no such check-in")?,
            exact: is_next,
            reason: Some("check-ins between them are not built".to_owned()).filter(|_| !is_next),
            rate: None,
        };
        match change {
            Change::Broke => {
                if known.iter().any(|known| known.bad_id == step.revision_id) {
                    continue;
                }
                if step.failures < FAILURES {
                    // once more, before anyone is told
                    if let (Some(image), true) = (&step.image_id, step.builds < BUILDS_MOST) {
                        coordinator.queue.again(image, now).await?;
                    }
                    continue;
                }
                let evidence = evidence(coordinator, good, step).await?;
                let mut tx = store.begin().await?;
                record::broke(store, &mut tx, affected, &found, &evidence, now).await?;
                tx.commit().await?;
            }
            Change::Fixed
                if known
                    .iter()
                    .any(|known| known.fixed_at.is_none() && known.bad_seq < step.seq) =>
            {
                let mut tx = store.begin().await?;
                record::fixed(store, &mut tx, affected, &found, now).await?;
                tx.commit().await?;
            }
            Change::Fixed => {}
        }
    }
    Ok(())
}

/// What failed to build and was built when somebody tried again is over.
async fn after_all(
    store: &Store,
    affected: &Affected,
    (steps, row): (&[Step], &[Built]),
    open: &[Breakage],
    now: i64,
) -> Result<()> {
    let is_built = |breakage: &&Breakage| {
        let mut known = steps.iter().zip(row);
        known.any(|(step, built)| step.revision_id == breakage.bad_id && *built == Built::Yes)
    };
    for breakage in open.iter().filter(is_built) {
        let did = "it was built when it was tried again";
        let repair = Repair {
            subjects: &[Subject::Build],
            before: Some(breakage.bad_seq + 1),
            by: Mended::Otherwise(did),
            did,
        };
        let mut tx = store.begin().await?;
        record::mend(store, &mut tx, affected, &repair, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn built(step: &Step) -> Built {
    match (step.image_state.as_deref(), &step.building) {
        (Some("ready"), _) => Built::Yes,
        // the machinery did: nothing is known of it
        (Some("failed"), None) if step.failures == 0 => Built::Never,
        (Some("failed"), None) => Built::No,
        (None, _) if step.reason.is_some() => Built::Never,
        _ => Built::Awaited,
    }
}

/// The compiler's own words; a build that goes on where another one ended says too many others.
async fn evidence(coordinator: &Coordinator, good: &Step, bad: &Step) -> Result<Evidence> {
    let last = async |image: &Option<String>| -> Result<Option<(String, Option<Report>)>> {
        let Some(image) = image else { return Ok(None) };
        let attempts = coordinator.store.attempts_of(image).await?;
        Ok(attempts.last().map(|attempt| (attempt.id.clone(), attempt.report())))
    };
    let (good, bad) = (last(&good.image_id).await?, last(&bad.image_id).await?);
    let error = bad
        .as_ref()
        .and_then(|(_, report)| Some(report.as_ref()?.outcome.to_string()));
    Ok(Evidence {
        good: good.map(|(id, _)| id),
        bad: bad.map(|(id, _)| id),
        difference: LogDifference::default(),
        error,
    })
}
