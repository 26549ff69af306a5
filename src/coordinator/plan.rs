//! Stores what [`crate::plan`] says.

use super::Coordinator;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::job::{BuildSpec, Facts, JobSpec};
use crate::plan;
use crate::recipe::Registered;
use crate::store::images::{Image, NewImage, Standing};
use crate::store::jobs::For;
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
    let Coordinator {
        store,
        profiles,
        platform,
        ..
    } = coordinator;
    let build = plan::build(revision, profiles, DEFAULT_VARIANT, platform);
    let standing = store.image_of(&revision.id, DEFAULT_VARIANT, platform).await?;
    match (standing, build) {
        (None, Ok(build)) => add_image(coordinator, revision, build, now).await,
        (None, Err(reason)) => {
            store.no_image(&revision.id, DEFAULT_VARIANT, platform, &reason).await?;
            store.revision_planned(&revision.id, now).await?;
            Ok(0)
        }
        // what could not be built is tried again once a profile that was added or mended says otherwise
        (Some(Standing::None(_)), Ok(build)) => add_image(coordinator, revision, build, now).await,
        (Some(Standing::None(_)), Err(_)) => Ok(0),
        (Some(Standing::Image(image)), build) => match image.state.as_str() {
            "ready" => add_runs(coordinator, revision, &image, build, projects, now).await,
            "failed" => match build {
                Ok(build) if build.build_key != image.build_key => add_image(coordinator, revision, build, now).await,
                _ => {
                    store.revision_planned(&revision.id, now).await?;
                    Ok(0)
                }
            },
            _ => Ok(0), // its build is under way
        },
    }
}

async fn add_image(coordinator: &Coordinator, revision: &Revision, build: BuildSpec, now: i64) -> Result<usize> {
    let mut tx = coordinator.store.begin().await?;
    let new = NewImage {
        revision_id: &revision.id,
        variant: &build.variant,
        platform: &coordinator.platform,
        build_key: &build.build_key,
    };
    let (image_id, is_new) = coordinator.store.attach_image(&mut tx, &new, now).await?;
    if is_new {
        let spec = JobSpec::Image(Box::new(build.clone()));
        let priority = plan::priority(&spec, revision);
        coordinator
            .queue
            .add(&mut tx, For::Image(&image_id), priority, &spec, now)
            .await?;
    }
    tx.commit().await?;
    Ok(usize::from(is_new))
}

async fn add_runs(
    coordinator: &Coordinator,
    revision: &Revision,
    image: &Image,
    build: Result<BuildSpec, String>,
    projects: &[Registered],
    now: i64,
) -> Result<usize> {
    let Coordinator {
        store,
        platform,
        settings,
        ..
    } = coordinator;
    let done = store.recipes_run(&revision.id, DEFAULT_VARIANT, platform).await?;
    let new: Vec<&Registered> = projects
        .iter()
        .filter(|project| !done.contains(&project.digest))
        .collect();
    // What made the image may have changed since: then what is new runs on a new one.
    let build = match build {
        Ok(build) if build.build_key == image.build_key => build,
        Ok(build) if !new.is_empty() => return add_image(coordinator, revision, build, now).await,
        _ => {
            store.revision_planned(&revision.id, now).await?;
            return Ok(0);
        }
    };
    let facts: Facts =
        serde_json::from_str(image.facts.as_deref().unwrap_or("{}")).context("an image's facts can't be read")?;
    let mut added = 0;
    for project in new {
        let planned = plan::run(project, revision, &build, &facts, &settings.limits);
        let new = NewRun {
            revision_id: &revision.id,
            project: project.recipe.name.get_ref(),
            variant: DEFAULT_VARIANT,
            platform,
            recipe: &project.digest,
            image_id: Some(&image.id),
            skip_reason: planned.as_ref().err().map(String::as_str),
        };
        let mut tx = store.begin().await?;
        let run_id = store.insert_run(&mut tx, &new, now).await?;
        if let (Some(run_id), Ok(run)) = (run_id, planned) {
            let spec = JobSpec::Run(Box::new(run));
            let priority = plan::priority(&spec, revision);
            coordinator
                .queue
                .add(&mut tx, For::Run(&run_id), priority, &spec, now)
                .await?;
            added += 1;
        }
        tx.commit().await?;
    }
    store.revision_planned(&revision.id, now).await?;
    Ok(added)
}
