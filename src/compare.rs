//! Compares two revisions by their stored results.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::text::plain;
use crate::store::Store;
use crate::store::logs::Objects;
use crate::store::views::{Row, RunCell, Scope};
use crate::verdict::{Cell, Difference, ProjectComparison, ProjectResult, compare};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use utoipa::ToSchema;

/// How many of the newest revisions of a branch are searched for one with results.
const NEWEST: i64 = 30;

/// One of the two revisions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ComparedRevision {
    pub branch: String,
    /// The id.
    pub revision: String,
    /// The label of a Subversion revision, otherwise the id.
    pub name: String,
    pub subject: String,
    pub variant: String,
    #[schema(required = true)]
    pub version: Option<String>,
}

/// The differences between two revisions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Comparison {
    pub base: ComparedRevision,
    pub now: ComparedRevision,
    /// One entry for each project: the most urgent difference first, then by name.
    pub projects: Vec<ProjectComparison>,
}

/// Compares two revisions, each written `NAME` or `NAME:VARIANT`. `NAME` is a revision, or a branch, which stands for
/// its newest revision with results. The inner error says which of the two was not found.
pub async fn of(store: &Store, objects: &Objects, base: &str, now: &str) -> Result<Result<Comparison, String>> {
    let (base, before) = match find_row(store, base).await? {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let (now, after) = match find_row(store, now).await? {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut projects = Vec::new();
    for name in names {
        let cells = [&before, &after].map(|all| all.get(name));
        let passes = |cell: &Option<&RunCell>| cell.is_some_and(|cell| cell.state == Cell::Pass);
        // tests are read only if they may differ
        let differs = !cells.iter().all(passes);
        let [base, now] = cells;
        let (base, now) = (
            project_result(objects, base, differs).await,
            project_result(objects, now, differs).await,
        );
        projects.push(compare(name, &base, &now));
    }
    projects.sort_by_key(|compared| compared.difference);
    Ok(Ok(Comparison { base, now, projects }))
}

/// Returns whether a name stands for a watched branch or a planned revision, as a variant.
pub async fn exists(store: &Store, name: &str) -> Result<bool> {
    Ok(find_row(store, name).await?.is_ok())
}

/// Finds the row that a name stands for, with its cells by project.
async fn find_row(store: &Store, name: &str) -> Result<Result<(ComparedRevision, BTreeMap<String, RunCell>), String>> {
    let (revision, variant) = name.split_once(':').unwrap_or((name, DEFAULT_VARIANT));
    let branches = store.watched_branches().await?;
    let is_branch = branches.iter().any(|branch| branch.name == revision);
    let matrix = match is_branch {
        true => Some(
            store
                .outline(&Scope::Branch(revision.to_owned()), NEWEST, None, None)
                .await?,
        ),
        false => store.revision_page(revision).await?,
    };
    let mut matrix = matrix.unwrap_or_default();
    matrix.keep_variant(variant);
    let index = matrix.rows.iter().position(is_decided).unwrap_or(0);
    if is_branch {
        let all = 0..matrix.columns.len();
        store.complete(&mut matrix, &[index], all).await?;
    }
    let Some(row) = matrix.rows.get(index) else {
        return Ok(Err(format!(
            "{name:?} is neither a watched branch nor a revision that was planned with this variant"
        )));
    };
    let columns = matrix.columns.iter().zip(&row.cells);
    let cells = columns.filter_map(|(column, cell)| Some((column.name.clone(), cell.clone()?)));
    Ok(Ok((compared_revision(row), cells.collect())))
}

/// Returns whether any project has a result in this row.
fn is_decided(row: &Row) -> bool {
    let mut cells = row.cells.iter().flatten();
    cells.any(|cell| cell.state.is_decided())
}

/// Reads the tests of a cell if `tests` is true. A file that can't be read counts as no tests, with a warning in the log.
async fn project_result(objects: &Objects, cell: Option<&RunCell>, tests: bool) -> ProjectResult {
    let attempt = cell.and_then(|cell| cell.attempt.as_ref()).filter(|_| tests);
    let tests = match attempt {
        Some(attempt) => objects.tests(attempt).await.unwrap_or_else(|error| {
            tracing::warn!(
                %attempt,
                error = format!("{error:#}"),
                "failed to read the tests of an attempt"
            );
            None
        }),
        None => None,
    };
    ProjectResult {
        cell: cell.map(|cell| cell.state),
        tests,
    }
}

fn compared_revision(row: &Row) -> ComparedRevision {
    ComparedRevision {
        branch: row.branch.clone(),
        revision: row.sha.clone(),
        name: row.name().to_owned(),
        subject: row.subject.clone(),
        variant: row.variant.clone(),
        version: row.version.clone(),
    }
}

impl ComparedRevision {
    /// Returns the revision as a title: `trunk 0ec9fdba30 (3.16.0a0, debug)`.
    fn title(&self) -> String {
        let name: String = self.name.chars().take(10).collect();
        let mut what: Vec<&str> = self.version.as_deref().into_iter().collect();
        if self.variant != DEFAULT_VARIANT {
            what.push(&self.variant);
        }
        match what.as_slice() {
            [] => format!("{} {name}", self.branch),
            what => format!("{} {name} ({})", self.branch, what.join(", ")),
        }
    }
}

impl Comparison {
    /// Returns the exit code: 1 if a project is newly failing, and 0 otherwise.
    pub fn exit_code(&self) -> ExitCode {
        let fails = |project: &ProjectComparison| project.difference == Difference::NewlyFailing;
        ExitCode::from(u8::from(self.projects.iter().any(fails)))
    }

    /// Returns the comparison as Markdown, for a mail or an issue.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {} against {}\n", self.now.title(), self.base.title());
        for differing in self.projects.chunk_by(|a, b| a.difference == b.difference) {
            let Some(first) = differing.first() else { continue };
            text += &format!("\n## {} ({})\n\n", first.difference.title(), differing.len());
            if matches!(first.difference, Difference::StillPassing) {
                let names: Vec<&str> = differing.iter().map(|project| project.project.as_str()).collect();
                text += &format!("{}\n", names.join(", "));
                continue;
            }
            for project in differing {
                let word = |cell: Option<Cell>| cell.map_or("nothing", Cell::name);
                text += &format!(
                    "- **{}**: {} → {}\n",
                    project.project,
                    word(project.base),
                    word(project.now)
                );
                text += &tests("newly failing", &project.newly_failing);
                text += &tests("newly passing", &project.newly_passing);
                text += &tests("still failing", &project.still_failing);
            }
        }
        text
    }
}

/// The most tests that one line names. There may be thousands.
const NAMED: usize = 20;

/// Returns the name of a test as Markdown code. The name may contain anything, so backticks are replaced.
fn marked(test: &str) -> String {
    format!("`{}`", plain(test).replace('`', "?"))
}

fn tests(what: &str, tests: &[String]) -> String {
    if tests.is_empty() {
        return String::new();
    }
    let named: Vec<String> = tests.iter().take(NAMED).map(|test| marked(test)).collect();
    let more = tests.len().saturating_sub(NAMED);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!("  - {what}: {}{more}\n", named.join(", "))
}
