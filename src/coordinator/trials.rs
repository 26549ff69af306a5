//! Trials: each submitted version of a recipe runs once on the newest image before a maintainer or the policy decides
//! about it.

use super::Coordinator;
use super::plan::wanted;
use crate::access::Actor;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::access::Permission;
use crate::domain::id::{BranchId, ImageId};
use crate::domain::job::{BuildSpec, Facts, JobSpec, RunSpec};
use crate::domain::outcome::Outcome;
use crate::domain::recipe_version::ProjectState;
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
use crate::submissions::{VersionMove, decide, objections, trial_ended};
use anyhow::{Context, Result};

/// The most versions that one pass handles.
const AT_ONCE: i64 = 50;
/// The time in milliseconds after which a version waits for a decision although its trial has not ended.
const TRIAL_MS: i64 = DAY_MS;
/// The number of newest images of a branch in which the pass looks for one by the current profile.
const IMAGES: i64 = 5;

/// Makes one pass over the versions whose trial has not ended, and cancels queued trials whose versions are decided.
/// Returns how many trials it began.
pub async fn tick(coordinator: &Coordinator, now: Timestamp) -> Result<usize> {
    for job in coordinator.store.jobs_of_decided_trials(AT_ONCE).await? {
        coordinator.queue.cancel_queued(&job, now).await?;
    }
    let mut added = 0;
    let untried = coordinator.store.untried_versions(AT_ONCE).await?;
    let images = match untried.is_empty() {
        true => Vec::new(),
        false => newest_images(coordinator).await?,
    };
    for version in untried {
        let begun = begin(coordinator, &version, &images, now).await;
        added += usize::from(logged(&version, begun).unwrap_or(false));
    }
    // a separate query, so that trials that wait for a host do not hold up others
    for version in coordinator.store.tried_versions(now - TRIAL_MS, AT_ONCE).await? {
        let _ = logged(&version, end(coordinator, &version, now).await);
    }
    Ok(added)
}

/// Logs an error and continues, so that one version does not hold up the others.
fn logged<T>(version: &RecipeVersion, done: Result<T>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(
                project = version.project,
                version = version.number,
                error,
                "failed to try a recipe"
            );
            None
        }
    }
}

/// Records the end of a version's trial, or that it took too long. The version then waits for a decision, or the policy
/// approves it.
async fn end(coordinator: &Coordinator, version: &RecipeVersion, now: Timestamp) -> Result<()> {
    let store = &coordinator.store;
    let job = match &version.trial_run_id {
        Some(run) => store.job_of_trial(run).await?,
        None => None,
    };
    let end = match job {
        Some(job) => store.end_of_job(&job).await?,
        None => JobEnd::Unreported,
    };
    let (note, has_passed) = match end {
        JobEnd::Pending => ("it did not end within a day".to_owned(), false),
        JobEnd::Reported(report) => (report.outcome.to_string(), report.outcome == Outcome::Passed),
        JobEnd::Unreported => ("it has no report".to_owned(), false),
    };
    let Some(waiting) = trial_ended(store, version, &note).await? else {
        return Ok(());
    };
    tracing::info!(
        project = version.project,
        version = version.number,
        outcome = note,
        "a recipe was tried"
    );
    match has_passed && coordinator.settings.recipes.approves_by_policy() {
        true => approve_by_policy(coordinator, &waiting, now).await,
        false => Ok(()),
    }
}

async fn read(coordinator: &Coordinator, version: &RecipeVersion) -> Result<Result<Registered, String>> {
    let text = coordinator.store.recipe_text(&version.digest).await?;
    let text = text.context("a submitted recipe has no text")?;
    Ok(register(&format!("{}.toml", version.project), text, None))
}

/// Adds the trial run on the first image that the recipe supports. If there are images but it supports none, ends the
/// trial with the reason. Returns whether it found an image.
async fn begin(
    coordinator: &Coordinator,
    version: &RecipeVersion,
    images: &[TrialImage],
    now: Timestamp,
) -> Result<bool> {
    let Coordinator { store, settings, .. } = coordinator;
    let project = match read(coordinator, version).await? {
        Ok(project) => project,
        // the version of Pybots that accepted the recipe could read it
        Err(message) => {
            trial_ended(store, version, &format!("the recipe can't be read any more: {message}")).await?;
            return Ok(false);
        }
    };
    let mut skipped = None;
    for TrialImage {
        revision,
        image,
        build,
        facts,
    } in images
    {
        match plan::run(&project, revision, build, facts, &settings.limits) {
            Ok(spec) => {
                add(coordinator, version, (revision, image), &spec, now).await?;
                return Ok(true);
            }
            Err(reason) => skipped = Some(format!("{}: {reason}", revision.branch)),
        }
    }
    // if no branch has an image yet, the version waits for the first one
    if let Some(reason) = skipped {
        let note = format!("no image of a watched branch runs it ({reason})");
        trial_ended(store, version, &note).await?;
    }
    Ok(false)
}

/// An image on which recipes can be tried, and the revision that it was built for.
struct TrialImage {
    revision: Revision,
    image: ImageId,
    build: BuildSpec,
    facts: Facts,
}

/// Returns the newest image that the current profile builds of each watched branch, in order. Branches without one
/// among their [`IMAGES`] newest images are left out.
async fn newest_images(coordinator: &Coordinator) -> Result<Vec<TrialImage>> {
    let mut images = Vec::new();
    for branch in coordinator.store.watched_branches().await? {
        images.extend(newest_image(coordinator, &branch.id).await?);
    }
    Ok(images)
}

async fn newest_image(coordinator: &Coordinator, branch: &BranchId) -> Result<Option<TrialImage>> {
    let Coordinator { store, platform, .. } = coordinator;
    let of = (DEFAULT_VARIANT, platform.as_str());
    for revision in store.newest_with_image(branch, of, IMAGES).await? {
        let Some(RevisionImage::Image(image)) = store.image_of(&revision.id, DEFAULT_VARIANT, platform).await? else {
            continue;
        };
        let (Ok(build), Some(facts)) = (wanted(coordinator, &revision, DEFAULT_VARIANT).await?, image.facts) else {
            continue;
        };
        if build.build_key == image.build_key {
            return Ok(Some(TrialImage {
                revision,
                image: image.id,
                build,
                facts,
            }));
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
    // a version that has been decided about meanwhile needs no trial
    if store.set_version(&mut tx, version, &after).await? {
        tx.commit().await?;
    }
    Ok(())
}

/// Returns why the policy can't approve a version: its submitter no longer owns the project or may no longer submit
/// recipes, or the project is stopped. Returns `None` if there is no such reason.
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
    let approval = VersionMove::Approve { without_trial: false };
    let of = (version.project.as_str(), version.number);
    decide(&coordinator.store, &Actor::policy(), of, (&approval, "by policy"), now).await?;
    Ok(())
}
