//! The queries of pages: windows of revisions with the cells of their projects. Every page reads revisions, runs and
//! projects by the same three queries, and further ones if jobs wait. [`assemble`] turns their rows into cells.

mod assemble;
mod flat;
mod host;
mod matrix;
mod outline;
mod queue;
mod test_history;
mod waits;
mod window;

pub use flat::ResultCell;
pub use host::HostAttempt;
pub use matrix::{BuiltFrom, Column, ImageProgress, Matrix, Row, RunCell, TestsRun};
pub use queue::{BACKLOG_MOST, Backlog, Fleet, GroupForecast, QueueForecast, RunningJob};
pub use test_history::{ResultLine, TestSeries, TestedRevision};
pub use waits::Waiting;
pub use window::Scope;

use super::Store;
use super::attempts::Attempt;
use super::branches::Branch;
use super::claims::parameters;
use super::images::Image;
use super::projects::Project;
use super::revisions::Revision;
use super::runs::Run;
use super::types::Flag;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::{ImageId, RevisionId, RunId};
use crate::domain::time::Timestamp;
use anyhow::Result;
use assemble::{CellRuns, RevisionRow, RunRow};
use std::collections::BTreeSet;
use window::{BY_BRANCH, BY_TIME, Window};

/// The values in the head of every page.
#[derive(Clone, Debug)]
pub struct Status {
    /// How many jobs are queued.
    pub waiting: i64,
    /// How many jobs are leased.
    pub working: i64,
    /// The watched branches, in the order of the settings.
    pub branches: Vec<Branch>,
    /// How many recipe files were refused.
    pub refused: i64,
}

/// One run and all attempts at it.
#[derive(Clone, Debug)]
pub struct RunDetails {
    pub run: Run,
    pub row: Row,
    pub cell: RunCell,
    pub attempts: Vec<Attempt>,
    /// The text of its recipe.
    pub recipe: Option<String>,
}

/// One image, the revisions that share it, and the attempts at its build.
#[derive(Clone, Debug)]
pub struct ImageDetails {
    pub image: Image,
    pub built_from: Option<Revision>,
    /// The newest revisions that share the image, [`SHARED`] at most.
    pub rows: Vec<Row>,
    pub attempts: Vec<Attempt>,
}

/// One project and its newest results on each watched branch.
#[derive(Clone, Debug)]
pub struct ProjectDetails {
    pub project: Project,
    pub registered: bool,
    pub recipe: Option<String>,
    pub matrix: Matrix,
}

/// The most revisions that the page of an image lists.
pub const SHARED: i64 = 50;

/// The most revisions of each branch that the page of a project shows.
const NEWEST: i64 = 10;

impl Store {
    /// Returns the `rows` newest revisions of a scope that are older than `before`, with the cells of all projects.
    pub async fn matrix(&self, scope: &Scope, rows: i64, before: Option<&RevisionId>) -> Result<Matrix> {
        // one revision more than is shown is read, to find out whether there is another page
        let mut revisions = self.window(&Window::of(scope, rows + 1, before)).await?;
        let older = assemble::cut(&mut revisions, rows);
        let mut matrix = self.fill(revisions, None).await?;
        matrix.older = older;
        Ok(matrix)
    }

    /// Returns the variants of the `most` newest revisions of a branch, in the order of their names.
    pub async fn variants_of(&self, branch: &str, most: i64) -> Result<BTreeSet<String>> {
        let window = Window::of(&Scope::Branch(branch.to_owned()), most, None);
        let rows = assemble::rows(self.window(&window).await?);
        Ok(rows.into_iter().map(|row| row.variant).collect())
    }

    /// Returns the rows of one revision on every branch that has it, found by its full or abbreviated id in git, or by
    /// its label. A revision of Subversion has another id in git on each branch that it changed.
    pub async fn revision_page(&self, sha: &str) -> Result<Option<Matrix>> {
        let Some(revision) = self.revision_by_sha(sha).await? else {
            return Ok(None);
        };
        let window = match &revision.label {
            Some(label) if label == sha => Window::simple("revision.label = $1", BY_BRANCH, label, 100),
            _ => Window::simple("revision.sha = $1", BY_BRANCH, &revision.sha, 100),
        };
        Ok(Some(self.fill(self.window(&window).await?, None).await?))
    }

    pub async fn run_page(&self, id: &RunId) -> Result<Option<RunDetails>> {
        let Some(run) = self.run(id).await? else {
            return Ok(None);
        };
        let window = Window::simple("revision.id = $1", BY_BRANCH, run.revision_id.as_str(), 1);
        let rows = self.window(&window).await?;
        let runs = self.runs_where("run.id = $1", &[run.id.to_string()]).await?;
        let attempts = self.attempts_of(id.as_str()).await?;
        let recipe = self.recipe_text(&run.recipe).await?;
        let mut found = assemble::of_run(rows, &runs, &run);
        if let Some((row, cell)) = &mut found {
            self.explain(row.waiting().chain(cell.waiting()).collect()).await?;
        }
        Ok(found.map(|(row, cell)| RunDetails {
            run,
            row,
            cell,
            attempts,
            recipe,
        }))
    }

    pub async fn image_page(&self, id: &ImageId) -> Result<Option<ImageDetails>> {
        let Some(image) = self.image(id).await? else {
            return Ok(None);
        };
        let shared = "revision.id IN (SELECT revision_id FROM revision_image WHERE image_id = $1)";
        let revisions = self
            .window(&Window::simple(shared, BY_TIME, id.as_str(), SHARED))
            .await?;
        // a revision that shares the image has rows of other variants too
        let mut rows = assemble::rows(revisions);
        rows.retain(|row| row.image_id.as_ref() == Some(id));
        self.explain(rows.iter_mut().flat_map(Row::waiting).collect()).await?;
        Ok(Some(ImageDetails {
            built_from: self.revision(&image.revision_id).await?,
            rows,
            attempts: self.attempts_of(id.as_str()).await?,
            image,
        }))
    }

    pub async fn project_page(&self, name: &str) -> Result<Option<ProjectDetails>> {
        let registered: Option<Flag> = sqlx::query_scalar("SELECT registered FROM project WHERE name = $1")
            .bind(name)
            .fetch_optional(self.pool())
            .await?;
        let Some(Flag(registered)) = registered else {
            return Ok(None);
        };
        let project: Project =
            sqlx::query_as("SELECT name, summary, homepage, recipe, submitted, tags FROM project WHERE name = $1")
                .bind(name)
                .fetch_one(self.pool())
                .await?;
        let window = Window {
            condition: format!(
                "revision.left_at IS NULL AND branch.watched = 1 AND revision.seq >
                     (SELECT MAX(newest.seq) - {NEWEST} FROM revision AS newest WHERE newest.branch_id = branch.id)"
            ),
            order: BY_BRANCH,
            texts: Vec::new(),
            limit: 1000,
        };
        let revisions = self.window(&window).await?;
        Ok(Some(ProjectDetails {
            recipe: self.recipe_text(&project.recipe).await?,
            matrix: self.fill(revisions, Some(&project.name)).await?,
            registered,
            project,
        }))
    }

    /// Returns the cells of the newest revisions of one branch, or of all watched branches, as a flat list, as seen at
    /// `now`.
    pub async fn results(&self, branch: Option<&str>, limit_revisions: i64, now: Timestamp) -> Result<Vec<ResultCell>> {
        let scope = branch.map_or(Scope::All, |name| Scope::Branch(name.to_owned()));
        Ok(self.matrix(&scope, limit_revisions, None).await?.results(now))
    }

    /// Returns an outline of the newest revision of each watched branch. A branch without a revision has no row.
    pub async fn branch_heads(&self) -> Result<Matrix> {
        let window = Window {
            condition: "revision.left_at IS NULL AND branch.watched = 1 AND revision.sha = branch.head".to_owned(),
            order: BY_BRANCH,
            texts: Vec::new(),
            limit: 100,
        };
        let mut matrix = self.outline_of(self.window(&window).await?).await?;
        self.explain(matrix.waiting().collect()).await?;
        Ok(matrix)
    }

    /// Returns the values for the head of every page.
    pub async fn status(&self) -> Result<Status> {
        let (waiting, working) = self.open_jobs().await?;
        Ok(Status {
            waiting,
            working,
            branches: self.watched_branches().await?,
            refused: sqlx::query_scalar("SELECT COUNT(*) FROM refused_recipe")
                .fetch_one(self.pool())
                .await?,
        })
    }

    /// Returns the variants of the newest revision of one branch, or of each watched branch. The default variant comes
    /// first.
    pub async fn variants_at_tips(&self, branch: Option<&str>) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT DISTINCT planned.variant FROM branch
             JOIN revision ON revision.branch_id = branch.id AND revision.sha = branch.head
             JOIN revision_image AS planned ON planned.revision_id = revision.id
             WHERE {}",
            if branch.is_some() {
                "branch.name = $1"
            } else {
                "branch.watched = 1"
            }
        );
        let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        if let Some(branch) = branch {
            query = query.bind(branch.to_owned());
        }
        let mut variants: Vec<String> = query.fetch_all(self.pool()).await?;
        variants.sort_by_key(|name| (name != DEFAULT_VARIANT, name.clone()));
        Ok(variants)
    }

    /// Returns whether there is or was a branch with this name.
    pub async fn has_branch(&self, name: &str) -> Result<bool> {
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM branch WHERE name = $1")
            .bind(name)
            .fetch_one(self.pool())
            .await?;
        Ok(found > 0)
    }

    async fn fill(&self, revisions: Vec<RevisionRow>, project: Option<&str>) -> Result<Matrix> {
        let mut ids = assemble::ids(&revisions);
        let columns = self.columns(project).await?;
        if ids.is_empty() {
            return Ok(assemble::matrix(Vec::new(), &CellRuns::default(), columns));
        }
        let mut condition = format!("run.trial = 0 AND run.revision_id IN ({})", parameters(1, ids.len()));
        if let Some(project) = project {
            condition += &format!(" AND run.project = ${}", ids.len() + 1);
            ids.push(project.to_owned());
        }
        let runs = self.runs_where(&condition, &ids).await?;
        let mut matrix = assemble::matrix(revisions, &assemble::newest_runs(&runs), columns);
        self.explain(matrix.waiting().collect()).await?;
        Ok(matrix)
    }

    async fn columns(&self, project: Option<&str>) -> Result<Vec<String>> {
        let names = self.projects().await?.into_iter().map(|registered| registered.name);
        Ok(names.filter(|name| project.is_none_or(|only| only == name)).collect())
    }

    /// Returns runs with their cells and open jobs, oldest first: a row for each open job, and for each run without one.
    /// Crossed jobs are left out. Withdrawn runs come before all others, because the last run of a cell counts.
    async fn runs_where(&self, condition: &str, texts: &[String]) -> Result<Vec<RunRow>> {
        let sql = format!(
            "SELECT run.id, run.revision_id, run.project, run.variant, run.platform, run.recipe, run.skip_reason,
                    COALESCE(run.cell_attempts, 0) AS cell_attempts, run.cell_state, run.cell_attempt_id, run.cell_outcome, run.cell_ms,
                    run.cell_failed_in, run.cell_limit, run.cell_tests, run.cell_failed_tests, run.cell_first_error,
                    run.cell_failing,
                    job.state AS job_state, job.group_id, job.not_before, job.target_image_id, leased.id AS leased_id
             FROM run
             LEFT JOIN job ON job.run_id = run.id AND job.state <> 'finished' AND job.crossed = 0
             LEFT JOIN attempt AS leased ON leased.job_id = job.id AND leased.state = 'leased'
             WHERE {condition}
             ORDER BY CASE WHEN run.withdrawn IS NULL THEN 1 ELSE 0 END, run.id, job.created_at, job.id"
        );
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        for text in texts {
            query = query.bind(text.clone());
        }
        Ok(query.fetch_all(self.pool()).await?)
    }
}
