//! The pages of projects: all of them, and one with its newest results.

use super::answer::{self, Answer};
use super::pages::frame;
use super::{Query, Web, grid, incidents, words};
use crate::clock;
use crate::store::projects::Project;
use crate::verdict::Noise;
use anyhow::Result;
use serde_json::{Value, json};

/// Newest runs whose repetitions are looked at.
const NOISE: i64 = 500;
/// Tests that contradict themselves, on the page.
const NOISY: usize = 20;

pub async fn project(web: &Web, name: &str, query: &Query) -> Result<Option<Answer>> {
    let Some(mut found) = web.store.project_page(name).await? else {
        return Ok(None);
    };
    let variants = grid::variants(&mut found.matrix, Vec::new(), grid::asked(query));
    let noise = web.store.noise_of(&found.project.name, NOISE).await?;
    let page = json!({
        "incidents": incidents::open_of(web, name).await?,
        "noise": noise_view(&noise),
        "variants": variants,
        "project": project_view(&found.project),
        "registered": found.registered,
        "recipe": found.recipe,
        "recipe_digest": words::short_digest(&found.project.recipe),
        "grid": grid::grid(&found.matrix, true, clock::now_ms()),
    });
    answer::page(
        "project",
        &frame(Some(&web.store.status().await?), found.project.name, None, page),
    )
    .map(Some)
}

fn project_view(project: &Project) -> serde_json::Value {
    // the address comes from a recipe: a link must not be a script
    let homepage = Some(&project.homepage).filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    json!({ "name": project.name, "summary": project.summary, "homepage": homepage })
}

pub async fn recipes(web: &Web) -> Result<Option<Answer>> {
    let refused = web.store.refused_recipes().await?;
    let page = json!({
        "projects": web.store.projects().await?.iter().map(project_view).collect::<Vec<_>>(),
        "refused": refused.iter().map(|(file, message)| json!({ "file": file, "message": message })).collect::<Vec<_>>(),
    });
    answer::page(
        "recipes",
        &frame(Some(&web.store.status().await?), "Projects", None, page),
    )
    .map(Some)
}

/// How often it contradicts itself; None: nothing was repeated.
fn noise_view(noise: &Noise) -> Option<Value> {
    let percent = |part: usize, of: usize| format!("{:.0} %", part as f64 * 100.0 / of.max(1) as f64);
    (noise.repeated > 0).then(|| {
        json!({
            "repeated": noise.repeated,
            "mixed": noise.mixed,
            "rate": percent(noise.mixed, noise.repeated),
            "tests": noise.tests.iter().take(NOISY).map(|test| json!({
                "test": test.test,
                "mixed": test.mixed,
                "failed": percent(test.failed, test.attempts),
            })).collect::<Vec<_>>(),
        })
    })
}
