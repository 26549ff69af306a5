//! Finds revisions that broke or fixed the build of CPython, or the import of one of its modules. A break opens an
//! incident or joins one, and a fix may close it, whatever happens to the projects.

use super::context::Context;
use super::incidents::{record_fix, record_fix_by, record_regression};
use super::model::{Affected, Evidence, Fix, Found};
use crate::domain::id::{AttemptId, ImageId};
use crate::domain::job::{BuildSpec, Facts, JobSpec, Report};
use crate::domain::series::Series;
use crate::store::builds::BuildEvents;
use crate::store::regressions::{FixedBy, Regression};
use crate::store::results::{Candidate, CandidateImage};
use crate::verdict::{BuildChange, BuildState, Change, LogDifference, Subject, build_changes};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;

/// How many revisions with build events are evaluated in one pass.
const AT_ONCE: i64 = 500;
/// How many revisions before and after a build event are searched for its neighbours.
const AROUND: i64 = 200;
/// How many builds that failed because of code prove that a revision does not build.
pub const FAILURES: i64 = 2;
/// The most attempts at the build of an image. Further attempts need the request of a maintainer.
pub const BUILDS_MOST: i64 = 12;
/// The name of the project in an incident about a build of CPython.
const CPYTHON: &str = "cpython";

/// Evaluates build events, in groups of neighbouring revisions. The events of a group whose evaluation fails stay for
/// the next pass; events of branches that are no longer watched are dropped.
pub async fn tick(context: &Context<'_>) -> Result<()> {
    let store = context.store;
    let watched = store.watched_branches().await?;
    let events = store.build_events(AT_ONCE).await?;
    let kind = |event: &BuildEvents| (event.branch_id.clone(), event.variant.clone(), event.platform.clone());
    for group in events.chunk_by(|a, b| kind(a) == kind(b) && b.seq - a.seq <= AROUND) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let affected = Affected {
            investigation: None,
            series: Series {
                branch_id: first.branch_id.clone(),
                project: CPYTHON.to_owned(),
                variant: first.variant.clone(),
                platform: first.platform.clone(),
            },
            branch: first.branch.clone(),
        };
        let is_watched = watched.iter().any(|branch| first.branch_id == branch.id);
        let around = (first.seq - AROUND, last.seq + AROUND);
        if is_watched && let Err(error) = evaluate(context, &affected, around).await {
            let error = format!("{error:#}");
            tracing::error!(branch = first.branch, error, "failed to evaluate builds");
            continue;
        }
        store.builds_evaluated(group).await?;
    }
    Ok(())
}

async fn evaluate(context: &Context<'_>, affected: &Affected, around: (i64, i64)) -> Result<()> {
    let candidates = context.store.candidates(&affected.series, around).await?;
    let missing = candidates.iter().flat_map(missing);
    let imports = missing.map(|(module, _)| Subject::Import(module.to_owned()));
    let subjects: BTreeSet<Subject> = imports.chain([Subject::Build]).collect();
    for subject in &subjects {
        evaluate_subject(context, affected, &candidates, subject).await?;
    }
    Ok(())
}

async fn evaluate_subject(
    context: &Context<'_>,
    affected: &Affected,
    candidates: &[Candidate],
    subject: &Subject,
) -> Result<()> {
    let Context { store, queue, now, .. } = *context;
    let series = &affected.series;
    let states: Vec<BuildState> = candidates.iter().map(|candidate| state(candidate, subject)).collect();
    fix_built_later(context, affected, (candidates, &states), subject).await?;
    let is_about = |regression: &Regression| regression.subjects.contains(subject);
    let mut recorded = store.regressions_on(series).await?;
    for BuildChange { change, good, bad } in build_changes(&states) {
        let is_next = good + 1 == bad;
        let (Some(good), Some(bad)) = (candidates.get(good), candidates.get(bad)) else {
            continue;
        };
        if !is_comparable(context, subject, good, bad).await? {
            continue;
        }
        match change {
            Change::Broke => {
                let is_recorded =
                    |regression: &Regression| is_about(regression) && regression.bad_id == bad.revision_id;
                if recorded.iter().any(is_recorded) {
                    continue;
                }
                // the host has already proved a degraded image
                if *subject == Subject::Build && bad.failures < FAILURES {
                    if let (Some(image), true) = (bad.image_id(), bad.builds < BUILDS_MOST) {
                        queue.rerun(image.as_str(), now).await?;
                    }
                    continue;
                }
                let found = found(context, subject, good, bad, is_next).await?;
                let evidence = evidence(context, subject, good, bad).await?;
                let mut tx = store.begin().await?;
                record_regression(store, &mut tx, affected, &found, &evidence, now).await?;
                tx.commit().await?;
            }
            Change::Fixed => {
                let is_unfixed = |regression: &Regression| {
                    is_about(regression) && regression.fixed_at.is_none() && regression.bad_seq < bad.seq
                };
                if !recorded.iter().any(is_unfixed) {
                    continue;
                }
                let found = found(context, subject, good, bad, is_next).await?;
                let mut tx = store.begin().await?;
                record_fix_by(store, &mut tx, affected, &found, now).await?;
                tx.commit().await?;
            }
        }
        recorded = store.regressions_on(series).await?;
    }
    Ok(())
}

/// Returns whether two builds differ in CPython alone: they have the same distribution, and either the same profile or
/// the profiles of two eras. A module is compared only if both profiles name it, because others are not probed. Returns
/// `false` if the spec of a build is missing.
async fn is_comparable(context: &Context<'_>, subject: &Subject, good: &Candidate, bad: &Candidate) -> Result<bool> {
    let build = async |candidate: &Candidate| -> Result<Option<Box<BuildSpec>>> {
        let Some(image) = candidate.image_id() else {
            return Ok(None);
        };
        let job = context.store.job_of(image.as_str()).await?;
        Ok(match job.map(|job| job.spec).transpose()? {
            Some(JobSpec::Image(build)) => Some(build),
            _ => None,
        })
    };
    let (Some(good), Some(bad)) = (build(good).await?, build(bad).await?) else {
        return Ok(false);
    };
    let is_same_era = good.profile.name == bad.profile.name;
    if let Subject::Import(module) = subject
        && ![&good, &bad].iter().all(|build| build.profile.modules.contains(module))
    {
        return Ok(false);
    }
    Ok(good.distribution.is_same(&bad.distribution) && (!is_same_era || good.profile == bad.profile))
}

async fn found(
    context: &Context<'_>,
    subject: &Subject,
    good: &Candidate,
    bad: &Candidate,
    is_next: bool,
) -> Result<Found> {
    let revision = async |candidate: &Candidate| {
        let revision = context.store.revision(&candidate.revision_id).await?;
        revision.context("no such revision")
    };
    Ok(Found {
        subjects: vec![subject.clone()],
        good_seq: good.seq,
        bad_seq: bad.seq,
        good: revision(good).await?,
        bad: revision(bad).await?,
        exact: is_next,
        reason: (!is_next).then(|| "revisions between them are not built".to_owned()),
        rate: None,
    })
}

/// Records a fix of each regression about the subject whose revision has been built since: its build succeeded when it
/// was repeated.
async fn fix_built_later(
    context: &Context<'_>,
    affected: &Affected,
    (candidates, states): (&[Candidate], &[BuildState]),
    subject: &Subject,
) -> Result<()> {
    let Context { store, now, .. } = *context;
    let is_built = |regression: &&Regression| {
        let mut all = candidates.iter().zip(states);
        regression.subjects.contains(subject)
            && all.any(|(candidate, state)| candidate.revision_id == regression.bad_id && *state == BuildState::Built)
    };
    let unfixed = store.unfixed_regressions(store.pool(), &affected.series).await?;
    for regression in unfixed.iter().filter(is_built) {
        let how = "it succeeded when it was built again";
        let fix = Fix {
            subjects: std::slice::from_ref(subject),
            before: regression.bad_seq + 1,
            by: FixedBy::Otherwise(how),
            note: how,
        };
        let mut tx = store.begin().await?;
        record_fix(store, &mut tx, affected, &fix, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Returns the state of a candidate's build, or of the import of a module by the built Python.
fn state(candidate: &Candidate, subject: &Subject) -> BuildState {
    let built = built(candidate);
    match subject {
        Subject::Import(module) => match built {
            BuildState::Built if missing(candidate).any(|(missing, _)| missing == module) => BuildState::Failed,
            // only an image shows which modules can be imported
            BuildState::Failed => BuildState::Skipped,
            state => state,
        },
        _ => built,
    }
}

/// Returns the modules that the Python of a candidate can't import, with the reasons.
fn missing(candidate: &Candidate) -> impl Iterator<Item = (&str, &str)> {
    candidate.facts.iter().flat_map(Facts::missing)
}

fn built(candidate: &Candidate) -> BuildState {
    match candidate.image {
        CandidateImage::Ready { .. } => BuildState::Built,
        CandidateImage::Impossible => BuildState::Skipped,
        // only the machinery failed, which proves nothing, and nothing builds it again by itself
        CandidateImage::Failed { is_building: false, .. } if candidate.failures == 0 => BuildState::Skipped,
        CandidateImage::Wanted { is_building: false, .. } if candidate.builds > 0 => BuildState::Skipped,
        CandidateImage::Failed { is_building: false, .. } => BuildState::Failed,
        CandidateImage::Failed { .. } | CandidateImage::Wanted { .. } | CandidateImage::Unplanned => {
            BuildState::Pending
        }
    }
}

/// Returns the last attempts at both builds as evidence, and the error of the bad one: why the module can't be
/// imported, or else the outcome. Their logs are not compared, because a build that continues in a build tree prints
/// other lines than a full build.
async fn evidence(context: &Context<'_>, subject: &Subject, good: &Candidate, bad: &Candidate) -> Result<Evidence> {
    let last = async |image: Option<&ImageId>| -> Result<Option<(AttemptId, Option<Report>)>> {
        let Some(image) = image else { return Ok(None) };
        let attempts = context.store.attempts_of(image.as_str()).await?;
        let last = attempts.last();
        Ok(last.map(|attempt| (attempt.id.clone(), attempt.report().cloned())))
    };
    let lacked = match subject {
        Subject::Import(module) => missing(bad).find(|(missing, _)| missing == module),
        _ => None,
    };
    let (good, bad) = (last(good.image_id()).await?, last(bad.image_id()).await?);
    let report = bad.as_ref().and_then(|(_, report)| report.as_ref());
    let error = match lacked {
        Some((module, why)) => Some(format!("can't import {module}: {why}")),
        None => report.map(|report| report.outcome.to_string()),
    };
    Ok(Evidence {
        error,
        good: good.map(|(id, _)| id),
        bad: bad.map(|(id, _)| id),
        difference: LogDifference::default(),
        conditions: Vec::new(),
        probed: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_nothing_goes_on_with_hides_no_change() {
        let state = |image: CandidateImage, builds: i64, failures: i64| {
            built(&Candidate {
                revision_id: "r".into(),
                seq: 1,
                image,
                builds,
                failures,
                facts: None,
            })
        };
        let wanted = |is_building| CandidateImage::Wanted {
            id: "i".into(),
            is_building,
        };
        let failed = |is_building| CandidateImage::Failed {
            id: "i".into(),
            is_building,
        };
        for (image, builds, failures, expected) in [
            (wanted(true), 1, 0, BuildState::Pending),
            (wanted(false), 0, 0, BuildState::Pending),
            // the machinery failed each time
            (wanted(false), 3, 0, BuildState::Skipped),
            (failed(true), 1, 1, BuildState::Pending),
            (failed(false), 1, 0, BuildState::Skipped),
            (failed(false), 1, 1, BuildState::Failed),
        ] {
            assert_eq!(state(image.clone(), builds, failures), expected, "{image:?}");
        }
    }
}
