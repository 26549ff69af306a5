//! What became of a run whose pinned lock named something that is gone: the coordinator resolves the dependencies anew, for the newest
//! run of the recipe.

use super::route::Web;
use super::wording;
use crate::domain::job::{JobSpec, Report};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::store::attempts::Attempt;
use crate::store::jobs::Job;
use crate::store::locks::LockKey;
use crate::store::runs::Run;
use crate::verdict::{describe_changes, version_changes};
use anyhow::Result;
use serde::Serialize;

/// How long before or after the failure the job was scheduled that resolves the dependencies anew, in milliseconds. It waits for one
/// that is under way, which is cancelled after a day.
const WITHIN_MS: i64 = 24 * 3_600_000;

/// The context of a section of `run.hbs`.
#[derive(Debug, Default, Serialize)]
pub struct VanishedLock {
    /// The number of the attempt that failed, counted from 1.
    pub attempt: usize,
    /// Why its lock could not be fetched. It names what is gone.
    pub reason: String,
    pub sentence: String,
    /// The run for which the dependencies were resolved anew, if it is another one.
    pub elsewhere: Option<RunLink>,
}

#[derive(Debug, Default, Serialize)]
pub struct RunLink {
    pub id: String,
    /// The revision of the run.
    pub name: String,
}

/// Returns what became of the newest attempt that could not fetch what its pinned lock names. Returns `None` if there is no such
/// attempt, or if nobody resolved its dependencies anew: then the recipe may be wrong itself.
pub async fn of(web: &Web, run: &Run, attempts: &[Attempt]) -> Result<Option<VanishedLock>> {
    let own = attempts.iter().enumerate().filter(|(_, attempt)| !attempt.is_probe);
    for (index, attempt) in own.rev() {
        let (Some(reason), Some(failed_at)) = (attempt.report().and_then(unfetchable), attempt.finished_at) else {
            continue;
        };
        let Some((python, lock)) = locked(web, attempt).await? else {
            continue;
        };
        let key = LockKey {
            recipe: &run.recipe,
            python: &python,
            variant: &run.variant,
            platform: &run.platform,
        };
        let Some((job, report)) = resolved_by(web, &key, failed_at).await? else {
            return Ok(None);
        };
        return Ok(Some(VanishedLock {
            attempt: index + 1,
            reason: reason.to_owned(),
            sentence: sentence(&lock, report.as_ref()),
            elsewhere: elsewhere(web, run, &job).await?,
        }));
    }
    Ok(None)
}

/// Returns why the dependencies could not be fetched, if that is how an attempt ended.
fn unfetchable(report: &Report) -> Option<&str> {
    match &report.outcome {
        Outcome::RecipeError { reason } if report.is_unfetchable() => Some(reason),
        _ => None,
    }
}

/// Returns the version of Python and the lock with which an attempt was made.
async fn locked(web: &Web, attempt: &Attempt) -> Result<Option<(String, String)>> {
    Ok(match web.store.spec_of(&attempt.job_id).await? {
        Some(JobSpec::Run(spec)) => Some(spec.fetch.python).zip(spec.fetch.lock),
        _ => None,
    })
}

/// Returns the job that resolved the dependencies anew after a failure, and what it reported. Its report is `None` until it ends.
async fn resolved_by(web: &Web, key: &LockKey<'_>, failed_at: Timestamp) -> Result<Option<(Job, Option<Report>)>> {
    let (from, until) = (failed_at - WITHIN_MS, failed_at + WITHIN_MS);
    for job in web.store.refreshes(key, from, until).await? {
        let is_same_python = matches!(&job.spec, Ok(JobSpec::Run(spec)) if spec.fetch.python == key.python);
        if !is_same_python {
            continue;
        }
        let attempts = web.store.attempts_at(&job.id).await?;
        let last = attempts.last();
        // one that had ended before the failure brought the lock that failed, or nothing
        if last.and_then(|last| last.finished_at).is_some_and(|at| at < failed_at) {
            continue;
        }
        let report = last.and_then(Attempt::report).cloned();
        return Ok(Some((job, report)));
    }
    Ok(None)
}

/// Returns the sentence about the job that resolves the dependencies anew.
fn sentence(lock: &str, report: Option<&Report>) -> String {
    let Some(report) = report else {
        return "Pybots is resolving the dependencies anew.".to_owned();
    };
    match (&report.outcome, &report.lock) {
        (_, Some(newer)) => {
            let changes = version_changes(lock, newer);
            match changes.is_empty() {
                true => "Pybots resolved the dependencies anew.".to_owned(),
                false => format!("Pybots resolved the dependencies anew: {}.", describe_changes(&changes)),
            }
        }
        (outcome, None) if report.is_unfetchable() => {
            format!("Pybots could not resolve the dependencies anew either: {outcome}.")
        }
        (outcome, None) => format!("Pybots tried to resolve the dependencies anew: {outcome}."),
    }
}

async fn elsewhere(web: &Web, run: &Run, job: &Job) -> Result<Option<RunLink>> {
    let Some(id) = job.run_id.as_ref().filter(|id| **id != run.id) else {
        return Ok(None);
    };
    let Some(other) = web.store.run(id).await? else {
        return Ok(None);
    };
    let revision = web.store.revision(&other.revision_id).await?;
    Ok(revision.map(|revision| RunLink {
        id: id.to_string(),
        name: wording::short(revision.name()).to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_became_of_the_dependencies() {
        let lock = |version: &str| {
            format!(
                r#"{{"project":{{"name":"p","version":"1"}},"packages":[{{"name":"d","version":"{version}","role":"run"}}]}}"#
            )
        };
        let old = lock("1");
        let reason = || "nothing fits".to_owned();
        let with_lock = |text: &str| Report {
            lock: Some(text.to_owned()),
            ..Report::of(Outcome::Passed)
        };
        for (report, expected) in [
            (None, "Pybots is resolving the dependencies anew."),
            (
                Some(with_lock(&lock("2"))),
                "Pybots resolved the dependencies anew: d 1 -> 2.",
            ),
            (Some(with_lock(&old)), "Pybots resolved the dependencies anew."),
            (
                Some(Report::of(Outcome::Infra { reason: reason() })),
                "Pybots tried to resolve the dependencies anew: infrastructure: nothing fits.",
            ),
        ] {
            assert_eq!(sentence(&old, report.as_ref()), expected);
        }
    }
}
