//! Stores what [`crate::plan`] says.

use super::Coordinator;
use crate::domain::job::{BuildSpec, Facts, JobSpec, RunSpec};
use crate::plan;
use crate::recipe::Registered;
use crate::store::images::{Image, NewImage, Standing};
use crate::store::jobs::NewJob;
use crate::store::locks::LockKey;
use crate::store::revisions::Revision;
use crate::store::runs::NewRun;
use anyhow::{Context, Result};

/// One pass over the revisions that may lack an image or runs. Returns how many jobs it added.
pub async fn tick(coordinator: &Coordinator, projects: &[Registered], now: i64) -> Result<usize> {
    let mut added = 0;
    for revision in coordinator.store.revisions_to_plan().await? {
        match plan_one(coordinator, &revision, projects, now).await {
            Ok(more) => added += more,
            // the others are not to wait for one that can't be planned
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

async fn plan_one(coordinator: &Coordinator, revision: &Revision, projects: &[Registered], now: i64) -> Result<usize> {
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

/// Plans the image of a check-in that nobody watches; returns how many jobs it added.
pub async fn image_of(coordinator: &Coordinator, revision: &Revision, variant: &str, now: i64) -> Result<usize> {
    let Coordinator { store, platform, .. } = coordinator;
    if store.image_of(&revision.id, variant, platform).await?.is_some() {
        return Ok(0);
    }
    match wanted(coordinator, revision, variant).await? {
        Ok(build) => Ok(add_image(coordinator, revision, build, &[], now).await?.0),
        Err(reason) => {
            store.no_image(&revision.id, variant, platform, &reason).await?;
            Ok(0)
        }
    }
}

/// What is to be built, or why nothing can be.
async fn wanted(coordinator: &Coordinator, revision: &Revision, variant: &str) -> Result<Result<BuildSpec, String>> {
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

/// Plans one variant of a revision as far as it can be now. Returns how many jobs it added, and whether
/// nothing is left to plan.
async fn plan_variant(
    coordinator: &Coordinator,
    revision: &Revision,
    variant: &str,
    projects: &[Registered],
    now: i64,
) -> Result<(usize, bool)> {
    let Coordinator { store, platform, .. } = coordinator;
    let build = wanted(coordinator, revision, variant).await?;
    match (store.image_of(&revision.id, variant, platform).await?, build) {
        (None, Err(reason)) => {
            store.no_image(&revision.id, variant, platform, &reason).await?;
            Ok((0, true))
        }
        // what could not be built is tried again once a profile that was added or mended says otherwise
        (None | Some(Standing::None(_)), Ok(build)) => add_image(coordinator, revision, build, projects, now).await,
        (Some(Standing::None(_)), Err(_)) => Ok((0, true)),
        (Some(Standing::Image(image)), build) => match image.state.as_str() {
            "ready" => add_runs(coordinator, revision, &image, build, projects, now).await,
            "failed" => match build {
                Ok(build) if build.build_key != image.build_key => {
                    add_image(coordinator, revision, build, projects, now).await
                }
                _ => Ok((0, true)),
            },
            _ => Ok((0, false)), // its build is under way
        },
    }
}

/// Gives a revision the image of its build key. Where another check-in has had it built, its runs can
/// be planned at once.
async fn add_image(
    coordinator: &Coordinator,
    revision: &Revision,
    build: BuildSpec,
    projects: &[Registered],
    now: i64,
) -> Result<(usize, bool)> {
    let Coordinator { store, platform, .. } = coordinator;
    let mut tx = store.begin().await?;
    let new = NewImage {
        revision_id: &revision.id,
        variant: &build.variant,
        platform,
        build_key: &build.build_key,
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
            probe: None,
        };
        coordinator.queue.add(&mut tx, &new, now).await?;
    }
    tx.commit().await?;
    if is_new {
        return Ok((1, false));
    }
    match store.image_of(&revision.id, &build.variant, platform).await? {
        Some(Standing::Image(image)) if image.state == "ready" => {
            let variant = build.variant.clone();
            tracing::info!(
                revision = revision.sha,
                branch = revision.branch,
                variant,
                "no build: it shares an image"
            );
            add_runs_of(coordinator, revision, &image, &build, projects, now).await
        }
        Some(Standing::Image(image)) => Ok((0, image.state == "failed")),
        _ => Ok((0, false)),
    }
}

async fn add_runs(
    coordinator: &Coordinator,
    revision: &Revision,
    image: &Image,
    build: Result<BuildSpec, String>,
    projects: &[Registered],
    now: i64,
) -> Result<(usize, bool)> {
    let Coordinator { store, platform, .. } = coordinator;
    match build {
        Ok(build) if build.build_key == image.build_key => {
            add_runs_of(coordinator, revision, image, &build, projects, now).await
        }
        // What made the image has changed since: what is new runs on a new one.
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

/// The versions that a run takes again, so that CPython is what differs; None: there was none yet.
async fn lock(coordinator: &Coordinator, project: &Registered, run: &RunSpec) -> Result<Option<String>> {
    let key = LockKey {
        recipe: &project.digest,
        line: &run.fetch.python,
        variant: &run.image.build.variant,
        platform: &coordinator.platform,
    };
    coordinator.store.kept_lock(&key).await
}

/// Plans the runs that an image lacks.
async fn add_runs_of(
    coordinator: &Coordinator,
    revision: &Revision,
    image: &Image,
    build: &BuildSpec,
    projects: &[Registered],
    now: i64,
) -> Result<(usize, bool)> {
    let Coordinator {
        store,
        platform,
        settings,
        ..
    } = coordinator;
    let variant = &build.variant;
    let done = store.recipes_run(&revision.id, variant, platform).await?;
    let facts: Facts =
        serde_json::from_str(image.facts.as_deref().unwrap_or("{}")).context("an image's facts can't be read")?;
    let mut added = 0;
    for project in projects.iter().filter(|project| !done.contains(&project.digest)) {
        let mut planned = plan::run(project, revision, build, &facts, &settings.limits);
        if let Ok(run) = &mut planned {
            run.fetch.lock = lock(coordinator, project, run).await?;
        }
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
        let run_id = store.adopt_run(&mut tx, &new, now).await?;
        if let (Some(run_id), Ok(run)) = (run_id, planned) {
            let spec = JobSpec::Run(Box::new(run));
            let new = NewJob {
                image: &image.id,
                run: Some(&run_id),
                platform,
                priority: plan::priority(revision, now),
                spec: &spec,
                probe: None,
            };
            coordinator.queue.add(&mut tx, &new, now).await?;
            added += 1;
        }
        tx.commit().await?;
    }
    Ok((added, true))
}
