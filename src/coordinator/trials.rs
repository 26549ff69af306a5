//! Trials: each submitted version of a recipe runs once on the newest image before anybody decides about it.

use super::Coordinator;
use super::plan::wanted;
use crate::access::Actor;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::access::Permission;
use crate::domain::id::{BranchId, ImageId};
use crate::domain::job::{BuildSpec, Facts, JobSpec, RunSpec};
use crate::domain::outcome::Outcome;
use crate::domain::recipe_version::ProjectState;
use crate::domain::state::ImageState;
use crate::domain::time::{DAY_MS, Timestamp};
use crate::plan;
use crate::recipe::Registered;
use crate::recipe::folder::register;
use crate::store::images::RevisionImage;
use crate::store::jobs::NewJob;
use crate::store::locks::JobEnd;
use crate::store::revisions::Revision;
use crate::store::runs::NewRun;
use crate::store::submissions::RecipeVersion;
use crate::submissions::{Decision, decide, objections, trial_ended};
use anyhow::{Context, Result};

/// Versions that one pass looks at.
const AT_ONCE: i64 = 50;
/// After this time, a version waits for a decision although its trial has not ended.
const TRIAL_MS: i64 = DAY_MS;
/// Newest revisions of a branch among which one with an image is looked for.
const REVISIONS: i64 = 50;

/// One pass over the versions whose trial has not ended. Returns how many jobs it added.
pub async fn tick(coordinator: &Coordinator, now: Timestamp) -> Result<usize> {
    for job in coordinator.store.jobs_of_decided_trials(AT_ONCE).await? {
        coordinator.queue.cancel_queued(&job, now).await?;
    }
    // those that wait for a host hold up no others
    let mut versions = coordinator.store.untried_versions(AT_ONCE).await?;
    versions.extend(coordinator.store.tried_versions(now - TRIAL_MS, AT_ONCE).await?);
    let mut added = 0;
    for version in versions {
        match step(coordinator, &version, now).await {
            Ok(more) => added += usize::from(more),
            // one version must not hold up the others
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    project = version.project,
                    version = version.number,
                    error,
                    "failed to try a recipe"
                );
            }
        }
    }
    Ok(added)
}

/// Plans the trial of a version, or looks whether it has ended. Returns whether it added a job.
async fn step(coordinator: &Coordinator, version: &RecipeVersion, now: Timestamp) -> Result<bool> {
    let store = &coordinator.store;
    let Some(run) = &version.trial_run_id else {
        return begin(coordinator, version, now).await;
    };
    let Some(job) = store.job_of(run.as_str()).await? else {
        return Ok(false);
    };
    let (note, has_passed) = match store.end_of_job(&job.id).await? {
        JobEnd::Pending if now - version.submitted_at < TRIAL_MS => return Ok(false),
        JobEnd::Pending => ("it did not end within a day".to_owned(), false),
        JobEnd::Reported(report) => (report.outcome.to_string(), report.outcome == Outcome::Passed),
        JobEnd::Unreported => ("its report can't be read".to_owned(), false),
    };
    if let Some(waiting) = trial_ended(store, version, &note).await? {
        tracing::info!(
            project = version.project,
            version = version.number,
            outcome = note,
            "a recipe was tried"
        );
        if has_passed && coordinator.settings.recipes.approves_by_policy() {
            approve_by_policy(coordinator, &waiting, now).await?;
        }
    }
    Ok(false)
}

async fn read(coordinator: &Coordinator, version: &RecipeVersion) -> Result<Result<Registered, String>> {
    let text = coordinator.store.recipe_text(&version.digest).await?;
    let text = text.context("a submitted recipe has no text")?;
    Ok(register(&format!("{}.toml", version.project), text, None))
}

/// Adds the trial run on the newest image of the first branch whose Pythons the recipe is for.
async fn begin(coordinator: &Coordinator, version: &RecipeVersion, now: Timestamp) -> Result<bool> {
    let Coordinator { store, settings, .. } = coordinator;
    let project = match read(coordinator, version).await? {
        Ok(project) => project,
        // it was good for the version of Pybots that took it
        Err(message) => {
            trial_ended(store, version, &format!("the recipe can't be read any more: {message}")).await?;
            return Ok(false);
        }
    };
    let mut skipped = None;
    for branch in store.watched_branches().await? {
        let Some((revision, image, build, facts)) = newest_image(coordinator, &branch.id).await? else {
            continue;
        };
        match plan::run(&project, &revision, &build, &facts, &settings.limits) {
            Ok(spec) => {
                add(coordinator, version, (&revision, &image), &spec, now).await?;
                return Ok(true);
            }
            Err(reason) => skipped = Some(format!("{}: {reason}", branch.name)),
        }
    }
    // without an image of any branch, it waits for the first one
    if let Some(reason) = skipped {
        let note = format!("no image of a watched branch runs it ({reason})");
        trial_ended(store, version, &note).await?;
    }
    Ok(false)
}

/// An image on which a recipe can be tried, and the revision that it stands for.
type TrialImage = (Revision, ImageId, BuildSpec, Facts);

/// The newest revision of a branch that has a ready image by the profiles in force.
async fn newest_image(coordinator: &Coordinator, branch: &BranchId) -> Result<Option<TrialImage>> {
    let Coordinator { store, platform, .. } = coordinator;
    for revision in store.newest_revisions(branch, REVISIONS).await? {
        let Some(RevisionImage::Image(image)) = store.image_of(&revision.id, DEFAULT_VARIANT, platform).await? else {
            continue;
        };
        if image.state != ImageState::Ready {
            continue;
        }
        let (Ok(build), Some(facts)) = (wanted(coordinator, &revision, DEFAULT_VARIANT).await?, image.facts) else {
            continue;
        };
        if build.build_key == image.build_key {
            return Ok(Some((revision, image.id, build, facts)));
        }
    }
    Ok(None)
}

async fn add(
    coordinator: &Coordinator,
    version: &RecipeVersion,
    (revision, image): (&Revision, &ImageId),
    spec: &RunSpec,
    now: Timestamp,
) -> Result<()> {
    let Coordinator {
        store, platform, queue, ..
    } = coordinator;
    let new = NewRun {
        revision_id: &revision.id,
        project: &version.project,
        variant: DEFAULT_VARIANT,
        platform,
        recipe: &version.digest,
        image_id: Some(image),
        skip_reason: None,
    };
    let mut tx = store.begin().await?;
    let (run, needs_job) = store.trial_run(&mut tx, &new, now).await?;
    if needs_job {
        let spec = JobSpec::Run(Box::new(spec.clone()));
        let job = NewJob {
            image,
            run: Some(&run),
            platform,
            priority: plan::priority(revision, now),
            spec: &spec,
            proven: false,
            probe: None,
        };
        queue.add(&mut tx, &job, now).await?;
    }
    let after = RecipeVersion {
        trial_run_id: Some(run),
        ..version.clone()
    };
    // a version that was decided meanwhile needs no trial
    if store.set_version(&mut tx, version, &after).await? {
        tx.commit().await?;
    }
    Ok(())
}

/// Why the person who submitted a version is nobody for whom the policy decides.
async fn owner_objection(coordinator: &Coordinator, version: &RecipeVersion) -> Result<Option<String>> {
    let store = &coordinator.store;
    let account = store
        .account(&version.submitted_by)
        .await?
        .filter(|account| !account.disabled);
    let account = account.filter(|account| account.roles.reach(Permission::Recipes).is_some());
    let project = store.registration(&version.project).await?;
    let owns = account.is_some_and(|account| {
        project
            .as_ref()
            .is_some_and(|project| project.owner_id == Some(account.id))
    });
    let runs = project.is_some_and(|project| matches!(project.state, ProjectState::Proposed | ProjectState::Active));
    Ok(match (owns, runs) {
        (false, _) => Some("its owner has changed, or may no longer submit recipes".to_owned()),
        (true, false) => Some("the project is stopped".to_owned()),
        (true, true) => None,
    })
}

async fn approve_by_policy(coordinator: &Coordinator, version: &RecipeVersion, now: Timestamp) -> Result<()> {
    let Ok(project) = read(coordinator, version).await? else {
        return Ok(());
    };
    let mut objections = objections(&project.recipe);
    objections.extend(owner_objection(coordinator, version).await?);
    if !objections.is_empty() {
        tracing::info!(
            project = version.project,
            version = version.number,
            ?objections,
            "a recipe waits for a maintainer"
        );
        return Ok(());
    }
    let approval = Decision::Approve { without_trial: false };
    let of = (version.project.as_str(), version.number);
    decide(&coordinator.store, &Actor::policy(), of, (&approval, "by policy"), now).await?;
    Ok(())
}
