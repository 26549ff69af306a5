//! Registers recipes. Cancels jobs of recipes that were changed or removed, and plans their cells by the recipes in
//! force.

use super::Coordinator;
use super::plan::new_run_job;
use crate::domain::job::JobSpec;
use crate::domain::package::normalized;
use crate::domain::time::Timestamp;
use crate::plan;
use crate::recipe::reader::{Origin, RefusedRecipe};
use crate::recipe::{Registered, folder};
use crate::store::projects::{Project, SUBMITTED, project_of};
use crate::store::runs::{NewRun, Run};
use anyhow::Result;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// The most jobs to cancel, and the most runs to replace, in one pass.
const AT_ONCE: i64 = 500;

/// The name that pages show for a problem of the repository of recipes, in place of a file. No project can have this
/// name.
const REPOSITORY: &str = "[recipes] git";

/// Reads the recipes again, and registers exactly the projects with a good recipe, submitted ones included. Returns
/// these recipes by name. Returns `None` until the repository of recipes was read for the first time; registered
/// projects then stay registered.
pub async fn register(coordinator: &Coordinator, now: Timestamp) -> Result<Option<Vec<Registered>>> {
    let Coordinator { store, objects, .. } = coordinator;
    let (origin, problem) = origin(coordinator).await;
    let problem = problem.map(|message| (REPOSITORY.to_owned(), message));
    let refused_before: Vec<(String, String)> = store.refused_recipes().await?;
    let Some(origin) = origin else {
        let refused = Vec::from_iter(problem);
        log_new(&refused, &refused_before);
        if refused != refused_before {
            store.set_refused_recipes(&refused).await?;
        }
        return Ok(None);
    };
    let reader = coordinator.recipes.clone();
    let read = move || reader.lock().unwrap_or_else(PoisonError::into_inner).read(&origin);
    let (mut good, mut refused) = tokio::task::spawn_blocking(read).await??;
    add_submitted(coordinator, &mut good, &mut refused).await?;
    let mut refused: Vec<(String, String)> = refused.into_iter().map(|bad| (bad.file, bad.message)).collect();
    refused.extend(problem);
    refused.sort();
    log_new(&refused, &refused_before);
    let in_force = store.projects().await?;
    let same = refused == refused_before
        && in_force.len() == good.len()
        && in_force
            .iter()
            .zip(&good)
            .all(|(a, b)| a.recipe == b.digest && a.name == *b.recipe.name.get_ref() && a.tags == b.recipe.tags());
    if !same {
        let mut rows = Vec::new();
        for project in &good {
            for (digest, tar) in &project.tars {
                objects.put_folder(digest, tar).await?;
            }
            let row = Project {
                name: project.recipe.name.get_ref().clone(),
                summary: project.recipe.summary.clone(),
                homepage: project.recipe.homepage.clone(),
                recipe: project.digest.clone(),
                submitted: project.submitted,
                tags: project.recipe.tags(),
            };
            rows.push((row, project.text.clone()));
        }
        store.set_projects(&rows, &refused, now).await?;
        coordinator.has_past_recipes.store(true, Ordering::SeqCst);
        tracing::info!(registered = rows.len(), refused = refused.len(), "recipes were read");
    }
    coordinator
        .recipes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .drop_tars();
    Ok(Some(good))
}

/// Returns the current origin of the recipes, and a problem of their repository if it has one.
async fn origin(coordinator: &Coordinator) -> (Option<Origin>, Option<String>) {
    if let Some(repository) = &coordinator.recipe_repository {
        let checkout = repository.checkout().await;
        return (checkout.folder.map(Origin::Checkout), checkout.problem);
    }
    (Some(Origin::of(coordinator.settings.projects_folder())), None)
}

fn log_new(refused: &[(String, String)], refused_before: &[(String, String)]) {
    for (file, message) in refused.iter().filter(|bad| !refused_before.contains(bad)) {
        tracing::warn!(file, "a recipe is refused\n{message}");
    }
}

/// Adds the submitted recipes that are in force. A submitted recipe is refused if the folder has or had a file for the
/// same name.
async fn add_submitted(
    coordinator: &Coordinator,
    good: &mut Vec<Registered>,
    refused: &mut Vec<RefusedRecipe>,
) -> Result<()> {
    let of_files = good.iter().map(|recipe| recipe.recipe.name.get_ref().clone());
    // a file that can't be read at the moment keeps its name
    let of_refused = refused
        .iter()
        .filter_map(|refused| project_of(&refused.file))
        .map(str::to_owned);
    let names = coordinator.store.folder_names().await?;
    let names = names.into_iter().chain(of_files).chain(of_refused);
    let of_folder: BTreeSet<String> = names.map(|name| normalized(&name)).collect();
    for (project, text) in coordinator.store.submitted_recipes().await? {
        let file = format!("{SUBMITTED}{project}.toml");
        let recipe = match of_folder.contains(&normalized(&project)) {
            true => Err(format!(
                "the folder of recipes has or had a file for {project:?}, which goes before the submitted recipe"
            )),
            false => submitted(coordinator, &file, text),
        };
        match recipe {
            Ok(recipe) => good.push(recipe),
            Err(message) => refused.push(RefusedRecipe { file, message }),
        }
    }
    good.sort_by(|a, b| a.recipe.name.get_ref().cmp(b.recipe.name.get_ref()));
    Ok(())
}

/// Returns a submitted recipe, from the cache if its text is the same.
fn submitted(coordinator: &Coordinator, file: &str, text: String) -> Result<Registered, String> {
    let mut cache = coordinator.submitted.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(recipe) = cache.get(file).filter(|recipe| recipe.text == text) {
        return Ok(recipe.clone());
    }
    let recipe = Registered {
        submitted: true,
        ..folder::register(file, text, None)?
    };
    cache.insert(file.to_owned(), recipe.clone());
    Ok(recipe)
}

/// Cancels the queued jobs of recipes that are no longer in force, and plans their cells again. Requests that the
/// leased jobs of removed projects end. Returns how many jobs it added.
pub async fn replace(coordinator: &Coordinator, projects: &[Registered], now: Timestamp) -> Result<usize> {
    let Coordinator { store, queue, .. } = coordinator;
    if coordinator.has_past_recipes.load(Ordering::SeqCst) {
        let jobs = store.jobs_of_past_recipes(AT_ONCE).await?;
        for (job, run) in &jobs {
            queue.withdraw(job, run, now).await?;
        }
        let leased = store.cancel_jobs_of_removed_projects().await?;
        if !jobs.is_empty() || leased > 0 {
            tracing::info!(
                queued = jobs.len(),
                leased,
                "cancelled jobs of recipes that were changed or removed"
            );
        }
        // a leased job of a past recipe may return to the queue
        let has_past = !jobs.is_empty() || store.is_changed_recipe_leased().await?;
        coordinator.has_past_recipes.store(has_past, Ordering::SeqCst);
    }
    let mut added = 0;
    for run in store.withdrawn_runs(AT_ONCE).await? {
        if let Some(project) = projects
            .iter()
            .find(|project| *project.recipe.name.get_ref() == run.project)
        {
            added += usize::from(replace_run(coordinator, &run, project, now).await?);
        }
    }
    Ok(added)
}

/// Plans a withdrawn run again by the recipe in force, on the same image, or its whole revision if another version of
/// Pybots planned the run. A revision that left its branch gets no run. Returns whether it added a job.
async fn replace_run(coordinator: &Coordinator, run: &Run, project: &Registered, now: Timestamp) -> Result<bool> {
    let store = &coordinator.store;
    let revision = store.revision(&run.revision_id).await?;
    let spec = store.spec_on(&run.revision_id, &run.project, &run.variant, &run.recipe);
    // if another version of Pybots planned the job, the whole revision is planned again
    let (spec, is_readable) = spec.await.map_or((None, false), |spec| (spec, true));
    let mut planned = None;
    if let (Some(revision), Some(JobSpec::Run(spec)), Some(image)) = (&revision, &spec, &run.image_id)
        && revision.left_at.is_none()
    {
        let built = &spec.image;
        let limits = &coordinator.settings.limits;
        let next = plan::run(project, revision, &built.build, &built.facts, limits);
        planned = Some((revision, image, next));
    }
    let mut tx = store.begin().await?;
    let mut added = false;
    // empty if no run replaces this one: its revision left the branch, or is planned again as a whole
    let by = if planned.is_some() { project.digest.as_str() } else { "" };
    if let Some((revision, image, next)) = planned {
        let new = NewRun {
            revision_id: &run.revision_id,
            project: &run.project,
            variant: &run.variant,
            platform: &run.platform,
            recipe: &project.digest,
            image_id: Some(image),
            skip_reason: next.as_ref().err().map(String::as_str),
        };
        added = new_run_job(coordinator, &mut tx, (revision, project), (&new, &next), now).await?;
    }
    if !is_readable {
        store.plan_revision_again(&mut tx, &run.revision_id).await?;
    }
    store.replaced_run(&mut tx, &run.id, by).await?;
    tx.commit().await?;
    Ok(added)
}
