//! Plans images and runs by the rules of [`crate::plan`], and stores them.

use super::Coordinator;
use crate::domain::job::{BuildSpec, JobSpec, RunSpec};
use crate::domain::state::ImageState;
use crate::domain::time::Timestamp;
use crate::plan;
use crate::recipe::Registered;
use crate::store::Tx;
use crate::store::images::{Image, NewImage, RevisionImage};
use crate::store::jobs::NewJob;
use crate::store::locks::LockKey;
use crate::store::revisions::Revision;
use crate::store::runs::NewRun;
use anyhow::{Context, Result};

/// Makes one pass over the revisions whose planning is not complete, and over the newest one of each branch. Returns
/// how many jobs it added. Logs a revision that can't be planned, and goes on with the next one.
pub async fn tick(coordinator: &Coordinator, projects: &[Registered], now: Timestamp) -> Result<usize> {
    let mut added = 0;
    for revision in coordinator.store.revisions_to_plan().await? {
        match plan_one(coordinator, &revision, projects, now).await {
            Ok(more) => added += more,
            // one revision that can't be planned must not hold up the others
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    revision = revision.sha,
                    branch = revision.branch,
                    error,
                    "failed to plan"
                );
            }
        }
    }
    Ok(added)
}

async fn plan_one(
    coordinator: &Coordinator,
    revision: &Revision,
    projects: &[Registered],
    now: Timestamp,
) -> Result<usize> {
    let mut added = 0;
    let mut all_done = true;
    for variant in coordinator.settings.variants(&revision.branch) {
        let (more, done) = plan_variant(coordinator, revision, &variant, projects, now).await?;
        added += more;
        all_done &= done;
    }
    if all_done {
        coordinator.store.revision_planned(&revision.id, now).await?;
    }
    Ok(added)
}

/// Plans an image for which an investigation waits. The revision has none yet, or has one by an earlier profile or
/// distribution. If no image can be built now, the revision keeps an image that is ready or under way; only without one,
/// the reason is stored. Returns how many jobs it added.
pub async fn image_of(coordinator: &Coordinator, revision: &Revision, variant: &str, now: Timestamp) -> Result<usize> {
    let Coordinator { store, platform, .. } = coordinator;
    let present = match store.image_of(&revision.id, variant, platform).await? {
        None => None,
        Some(RevisionImage::Image(image)) => Some(image),
        Some(RevisionImage::Impossible(_)) => return Ok(0),
    };
    match (wanted(coordinator, revision, variant).await?, present) {
        (Ok(build), Some(image)) if image.build_key == build.build_key => Ok(0),
        (Ok(build), _) => Ok(add_image(coordinator, revision, build, &[], now).await?.0),
        (Err(_), Some(image)) if image.state != ImageState::Failed => Ok(0),
        (Err(reason), _) => {
            store.no_image(&revision.id, variant, platform, &reason).await?;
            Ok(0)
        }
    }
}

/// Returns the build that a variant of a revision needs. The inner error says why it can't be built.
pub async fn wanted(
    coordinator: &Coordinator,
    revision: &Revision,
    variant: &str,
) -> Result<Result<BuildSpec, String>> {
    let Coordinator { profiles, platform, .. } = coordinator;
    let profile = match plan::profile(revision, profiles, variant) {
        Ok(profile) => profile,
        Err(reason) => return Ok(Err(reason)),
    };
    let inputs = coordinator.inputs(&revision.sha, &profile.ignore).await?;
    Ok(plan::build(
        revision,
        profile,
        &profiles.distribution,
        &inputs,
        variant,
        platform,
    ))
}

/// Plans all that can be planned now for one variant of a revision. Returns how many jobs it added, and whether the
/// planning is complete.
async fn plan_variant(
    coordinator: &Coordinator,
    revision: &Revision,
    variant: &str,
    projects: &[Registered],
    now: Timestamp,
) -> Result<(usize, bool)> {
    let Coordinator { store, platform, .. } = coordinator;
    let build = wanted(coordinator, revision, variant).await?;
    match (store.image_of(&revision.id, variant, platform).await?, build) {
        (None, Err(reason)) => {
            store.no_image(&revision.id, variant, platform, &reason).await?;
            Ok((0, true))
        }
        // a profile may have been added or fixed since the last pass
        (None | Some(RevisionImage::Impossible(_)), Ok(build)) => {
            add_image(coordinator, revision, build, projects, now).await
        }
        (Some(RevisionImage::Impossible(_)), Err(_)) => Ok((0, true)),
        (Some(RevisionImage::Image(image)), build) => match image.state {
            ImageState::Ready => add_runs(coordinator, revision, &image, build, projects, now).await,
            ImageState::Failed => match build {
                Ok(build) if build.build_key != image.build_key => {
                    add_image(coordinator, revision, build, projects, now).await
                }
                _ => Ok((0, true)),
            },
            ImageState::Wanted => Ok((0, false)),
        },
    }
}

/// Gives a revision the image of its build key. Adds the job of its build if the image is new. If it is ready because
/// another revision has it, plans the runs at once. Returns the same as [`plan_variant`].
async fn add_image(
    coordinator: &Coordinator,
    revision: &Revision,
    build: BuildSpec,
    projects: &[Registered],
    now: Timestamp,
) -> Result<(usize, bool)> {
    let Coordinator { store, platform, .. } = coordinator;
    let mut tx = store.begin().await?;
    let new = NewImage {
        revision_id: &revision.id,
        variant: &build.variant,
        platform,
        build_key: &build.build_key,
        // an image for an investigation gets only the runs of the investigation
        plans_runs: !projects.is_empty(),
    };
    let (image_id, is_new) = store.attach_image(&mut tx, &new, now).await?;
    if is_new {
        let spec = JobSpec::Image(Box::new(build.clone()));
        let new = NewJob {
            image: &image_id,
            run: None,
            platform,
            priority: plan::priority(revision, now),
            spec: &spec,
            proven: false,
            probe: None,
        };
        coordinator.queue.add(&mut tx, &new, now).await?;
    }
    tx.commit().await?;
    if is_new {
        return Ok((1, false));
    }
    match store.image_of(&revision.id, &build.variant, platform).await? {
        Some(RevisionImage::Image(image)) if image.state == ImageState::Ready => {
            let variant = build.variant.clone();
            tracing::info!(
                revision = revision.sha,
                branch = revision.branch,
                variant,
                "no build: it shares an image"
            );
            add_runs_of(coordinator, revision, &image, &build, projects, now).await
        }
        Some(RevisionImage::Image(image)) => Ok((0, image.state == ImageState::Failed)),
        _ => Ok((0, false)),
    }
}

async fn add_runs(
    coordinator: &Coordinator,
    revision: &Revision,
    image: &Image,
    build: Result<BuildSpec, String>,
    projects: &[Registered],
    now: Timestamp,
) -> Result<(usize, bool)> {
    let Coordinator { store, platform, .. } = coordinator;
    match build {
        Ok(build) if build.build_key == image.build_key => {
            add_runs_of(coordinator, revision, image, &build, projects, now).await
        }
        // the profile changed since the image was built: new recipes run on a new image
        Ok(build) => {
            let done = store.recipes_run(&revision.id, &image.variant, platform).await?;
            if projects.iter().all(|project| done.contains(&project.digest)) {
                return Ok((0, true));
            }
            Box::pin(add_image(coordinator, revision, build, projects, now)).await
        }
        Err(_) => Ok((0, true)),
    }
}

/// Returns the lock that a run has to install, so that only CPython differs between runs. Returns `None` if no lock is
/// pinned yet.
async fn pinned_lock(
    coordinator: &Coordinator,
    tx: &mut Tx,
    project: &Registered,
    run: &RunSpec,
) -> Result<Option<String>> {
    let key = LockKey {
        recipe: &project.digest,
        python: &run.fetch.python,
        variant: &run.image.build.variant,
        platform: &coordinator.platform,
    };
    coordinator.store.pinned_lock(tx, &key).await
}

/// Plans the missing runs of a revision on a ready image. Returns how many jobs it added, and that the planning is
/// complete.
async fn add_runs_of(
    coordinator: &Coordinator,
    revision: &Revision,
    image: &Image,
    build: &BuildSpec,
    projects: &[Registered],
    now: Timestamp,
) -> Result<(usize, bool)> {
    let Coordinator {
        store,
        platform,
        settings,
        ..
    } = coordinator;
    let variant = &build.variant;
    let done = store.recipes_run(&revision.id, variant, platform).await?;
    let facts = image.facts.as_ref().context("a ready image has no facts")?;
    let mut added = 0;
    for project in projects.iter().filter(|project| !done.contains(&project.digest)) {
        let planned = plan::run(project, revision, build, facts, &settings.limits);
        let new = NewRun {
            revision_id: &revision.id,
            project: project.recipe.name.get_ref(),
            variant,
            platform,
            recipe: &project.digest,
            image_id: Some(&image.id),
            skip_reason: planned.as_ref().err().map(String::as_str),
        };
        let mut tx = store.begin().await?;
        added += usize::from(new_run_job(coordinator, &mut tx, (revision, project), (&new, &planned), now).await?);
        tx.commit().await?;
    }
    Ok((added, true))
}

/// Adds a run if the revision does not have it, and its job unless the recipe skips the run or the run has a job of its
/// own. Returns whether it added a job.
pub async fn new_run_job(
    coordinator: &Coordinator,
    tx: &mut Tx,
    (revision, project): (&Revision, &Registered),
    (new, planned): (&NewRun<'_>, &Result<RunSpec, String>),
    now: Timestamp,
) -> Result<bool> {
    let run_id = coordinator.store.adopt_run(tx, new, now).await?;
    let (Some(run_id), Ok(run), Some(image)) = (run_id, planned, new.image_id) else {
        return Ok(false);
    };
    let mut run = run.clone();
    run.fetch.lock = pinned_lock(coordinator, tx, project, &run).await?;
    let spec = JobSpec::Run(Box::new(run));
    let job = NewJob {
        image,
        run: Some(&run_id),
        platform: new.platform,
        priority: plan::priority(revision, now),
        spec: &spec,
        proven: false,
        probe: None,
    };
    coordinator.queue.add(tx, &job, now).await?;
    Ok(true)
}
