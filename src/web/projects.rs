//! The pages of projects: all projects, and one project with its newest results.

use super::choices::Choices;
use super::error::{Error, HandlerResult};
use super::frame::{self, Frame, Here};
use super::grid::{self, Grid, VariantsView};
use super::incidents::{self, IncidentLine};
use super::route::{Query, Web};
use super::template::Template;
use super::test_history::{self, FailingOnBranch};
use super::wording::{self, Time, time};
use crate::clock::now;
use crate::domain::id::RunId;
use crate::domain::recipe_version::VersionState;
use crate::incidents::answers as answers_of;
use crate::store::projects::Project;
use crate::store::submissions::RecipeVersion;
use crate::verdict::{AttemptResult, Flakiness, agree, flakiness};
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of newest runs from which a project's flakiness is computed.
const FLAKINESS: i64 = 500;
/// The number of answers of investigations on the page.
const ANSWERS: i64 = 10;
/// The number of flaky tests on the page.
const FLAKY: usize = 20;
/// The most open versions of each state on the page of all projects.
const WAITING: i64 = 50;

#[derive(Default, Serialize)]
pub struct ProjectPage {
    pub project: ProjectView,
    pub registered: bool,
    /// Whether its recipe was submitted, so that it has versions.
    pub has_versions: bool,
    pub incidents: Vec<IncidentLine>,
    /// The tests that fail, by branch.
    pub failing: Vec<FailingOnBranch>,
    /// The answers of investigations, newest first.
    pub answers: Vec<AnswerLine>,
    /// The burn-in. `None` if it has ended.
    pub burn_in: Option<BurnInView>,
    /// The flakiness. `None` if no run was repeated.
    pub flakiness: Option<FlakinessView>,
    pub variants: VariantsView,
    pub grid: Grid,
    pub recipe: Option<String>,
    pub recipe_digest: String,
}

impl Template for ProjectPage {
    const NAME: &'static str = "project";
}

/// The answer of an investigation.
#[derive(Default, Serialize)]
pub struct AnswerLine {
    pub branch: String,
    /// The revision that opened the investigation.
    pub sha: String,
    pub name: String,
    /// The first subject of the investigation.
    pub subject: String,
    /// The number of subjects that are not named.
    pub more: usize,
    pub sentences: Vec<String>,
    pub ended: Option<Time>,
}

#[derive(Default, Serialize)]
pub struct RecipesPage {
    pub projects: Vec<ProjectView>,
    /// Submitted versions that nobody has decided about.
    pub waiting: Vec<WaitingVersion>,
    pub refused: Vec<RefusedRecipeLine>,
}

impl Template for RecipesPage {
    const NAME: &'static str = "recipes";
}

#[derive(Default, Serialize)]
pub struct ProjectView {
    pub name: String,
    pub summary: String,
    /// The homepage. `None` if it is no web address.
    pub homepage: Option<String>,
}

#[derive(Default, Serialize)]
pub struct WaitingVersion {
    pub project: String,
    pub number: i64,
    pub state: &'static str,
    pub by: String,
    pub at: Time,
}

#[derive(Default, Serialize)]
pub struct RefusedRecipeLine {
    pub file: String,
    pub message: String,
}

/// The burn-in of a project: how many repeated results have agreed in a row, and how many have to.
#[derive(Default, Serialize)]
pub struct BurnInView {
    pub agreeing: i64,
    pub needed: u32,
    /// The newest run whose repetition had another result.
    pub disagreed: Option<String>,
}

#[derive(Default, Serialize)]
pub struct FlakinessView {
    pub repeated: usize,
    /// The number of repeated runs with different results.
    pub mixed: usize,
    pub rate: String,
    pub tests: Vec<FlakyTest>,
}

#[derive(Default, Serialize)]
pub struct FlakyTest {
    pub test: String,
    pub mixed: usize,
    pub rate: String,
}

pub async fn page(name: String, web: Web, query: Query) -> HandlerResult {
    let mut found = web.store.project_page(&name).await?.ok_or_else(Error::not_found)?;
    let variants = grid::restrict(&mut found.matrix, Vec::new(), &Choices::read(&query));
    let rows = grid::rows(&found.matrix, false);
    let columns = 0..found.matrix.columns.len();
    let repeated = web.store.repeated_runs(&found.project.name, FLAKINESS).await?;
    let burn_in = burn_in(&web, &found.project.name, &repeated).await?;
    let flakiness = flakiness(&repeated.into_values().collect::<Vec<_>>());
    let page = ProjectPage {
        project: project_view(&found.project),
        registered: found.registered,
        has_versions: web.store.registration(&name).await?.is_some(),
        incidents: incidents::open_of(&web, &name).await?,
        failing: test_history::failing_on_branches(&web, &name, now()).await?,
        answers: answers(&web, &found.project.name).await?,
        burn_in,
        flakiness: flakiness_view(&flakiness),
        variants,
        grid: grid::grid(&found.matrix, (&rows, columns), true, &web.trust, now()),
        recipe: found.recipe,
        recipe_digest: wording::short_digest(&found.project.recipe),
    };
    let status = web.store.status().await?;
    let has_rows = !page.grid.rows.is_empty();
    Frame::new(Some(&status), found.project.name, Here::None, page)
        .scripted(has_rows)
        .respond()
}

async fn burn_in(
    web: &Web,
    project: &str,
    repeated: &BTreeMap<RunId, Vec<AttemptResult>>,
) -> anyhow::Result<Option<BurnInView>> {
    let agreeing = web.store.burn_in(project).await?.map_or(0, |row| row.agreeing);
    let mut newest_first = repeated.iter().rev();
    let disagreed = newest_first.find(|(_, attempts)| agree(attempts) == Some(false));
    Ok((agreeing < i64::from(web.burn_in)).then(|| BurnInView {
        agreeing,
        needed: web.burn_in,
        disagreed: disagreed.map(|(run, _)| run.to_string()),
    }))
}

async fn answers(web: &Web, project: &str) -> anyhow::Result<Vec<AnswerLine>> {
    let mut lines = Vec::new();
    for row in web.store.newest_answers(project, ANSWERS).await? {
        let Some(revision) = web.store.revision(&row.now.revision).await? else {
            continue;
        };
        lines.push(AnswerLine {
            name: wording::short(revision.name()).to_owned(),
            subject: row.subjects.first().map(ToString::to_string).unwrap_or_default(),
            more: row.subjects.len().saturating_sub(1),
            sentences: answers_of(&row),
            ended: row.ended_at.map(|at| time(at, now())),
            branch: row.branch,
            sha: revision.sha,
        });
    }
    Ok(lines)
}

/// `/recipes`: responds with all registered projects, the submitted versions that nobody has decided about, and the
/// refused recipes.
pub async fn all(web: Web) -> HandlerResult {
    let refused = web.store.refused_recipes().await?;
    let mut waiting = web.store.versions_in(VersionState::Waiting, 0, WAITING).await?;
    waiting.extend(web.store.versions_in(VersionState::Trial, 0, WAITING).await?);
    let page = RecipesPage {
        waiting: waiting.into_iter().map(waiting_version).collect(),
        projects: web.store.projects().await?.iter().map(project_view).collect(),
        refused: refused
            .into_iter()
            .map(|(file, message)| RefusedRecipeLine { file, message })
            .collect(),
    };
    frame::respond(&web, "Projects", page).await
}

fn waiting_version(version: RecipeVersion) -> WaitingVersion {
    WaitingVersion {
        state: match version.state {
            VersionState::Trial => "its trial has not ended",
            _ => "it waits for a maintainer",
        },
        project: version.project,
        number: version.number,
        by: version.submitted_by,
        at: time(version.submitted_at, now()),
    }
}

fn project_view(project: &Project) -> ProjectView {
    // the address comes from a recipe, and a link must not be a script
    let homepage = Some(&project.homepage).filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    ProjectView {
        name: project.name.clone(),
        summary: project.summary.clone(),
        homepage: homepage.cloned(),
    }
}

fn flakiness_view(flakiness: &Flakiness) -> Option<FlakinessView> {
    let percent = |part: usize, of: usize| format!("{:.0} %", part as f64 * 100.0 / of.max(1) as f64);
    let tests = flakiness.tests.iter().take(FLAKY).map(|test| FlakyTest {
        test: test.test.clone(),
        mixed: test.mixed,
        rate: percent(test.failed, test.attempts),
    });
    (flakiness.repeated > 0).then(|| FlakinessView {
        repeated: flakiness.repeated,
        mixed: flakiness.mixed,
        rate: percent(flakiness.mixed, flakiness.repeated),
        tests: tests.collect(),
    })
}
