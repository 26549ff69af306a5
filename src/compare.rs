//! Two check-ins side by side: what the store knows of both.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::text::plain;
use crate::store::Store;
use crate::store::logs::Objects;
use crate::store::views::{Row, RunCell, Scope};
use crate::verdict::{Cell, Compared, Difference, Side, compare};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// Newest check-ins of a branch among which the newest with results is looked for.
const NEWEST: i64 = 30;

/// One of the two.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    pub branch: String,
    pub revision: String,
    pub name: String,
    pub subject: String,
    pub variant: String,
    pub version: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub base: Place,
    pub now: Place,
    /// The most urgent first, then by name.
    pub projects: Vec<Compared>,
}

/// Compares two check-ins, each named as `NAME` or `NAME:VARIANT`; the name is that of a branch (its newest check-in
/// with results) or of a check-in. An error says which of the two is unknown.
pub async fn of(store: &Store, objects: &Objects, base: &str, now: &str) -> Result<Result<Comparison, String>> {
    let (base, before) = match known(store, base).await? {
        Ok(known) => known,
        Err(reason) => return Ok(Err(reason)),
    };
    let (now, after) = match known(store, now).await? {
        Ok(known) => known,
        Err(reason) => return Ok(Err(reason)),
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut projects = Vec::new();
    for name in names {
        let cells = [&before, &after].map(|all| all.get(name));
        let passes = |cell: &Option<&RunCell>| cell.is_some_and(|cell| cell.state == Cell::Pass);
        // of what passes on both sides there is nothing to say, test by test
        let differs = !cells.iter().all(passes);
        let [base, now] = cells;
        let (base, now) = (side(objects, base, differs).await, side(objects, now, differs).await);
        projects.push(compare(name, &base, &now));
    }
    projects.sort_by_key(|compared| compared.difference);
    Ok(Ok(Comparison { base, now, projects }))
}

/// What is known of the row that a name means, by project.
async fn known(store: &Store, name: &str) -> Result<Result<(Place, BTreeMap<String, RunCell>), String>> {
    let (revision, variant) = name.split_once(':').unwrap_or((name, DEFAULT_VARIANT));
    let branches = store.watched_branches().await?;
    let matrix = if branches.iter().any(|branch| branch.name == revision) {
        Some(store.matrix(&Scope::Branch(revision.to_owned()), NEWEST, None).await?)
    } else {
        store.revision_page(revision).await?
    };
    let row = matrix.and_then(|mut matrix| {
        matrix.keep_variant(variant);
        let row = matrix.rows.iter().find(|row| is_decided(row)).or(matrix.rows.first());
        row.cloned().map(|row| (matrix, row))
    });
    let Some((matrix, row)) = row else {
        return Ok(Err(format!(
            "{name:?} is neither a watched branch nor a check-in that was planned, as such a variant"
        )));
    };
    let columns = matrix.columns.iter().zip(&row.cells);
    let cells = columns.filter_map(|(column, cell)| Some((column.name.clone(), cell.clone()?)));
    Ok(Ok((place(&row), cells.collect())))
}

/// Whether any project has a result there.
fn is_decided(row: &Row) -> bool {
    let mut cells = row.cells.iter().flatten();
    cells.any(|cell| cell.state.is_decided())
}

/// `tests`: whether they are of interest. What can't be read of them says nothing.
async fn side(objects: &Objects, cell: Option<&RunCell>, tests: bool) -> Side {
    let attempt = cell.and_then(|cell| cell.attempt.as_ref()).filter(|_| tests);
    let tests = match attempt {
        Some(attempt) => objects.tests(attempt).await.unwrap_or_else(|error| {
            tracing::warn!(attempt, error = format!("{error:#}"), "its tests can't be read");
            None
        }),
        None => None,
    };
    Side {
        cell: cell.map(|cell| cell.state),
        tests,
    }
}

fn place(row: &Row) -> Place {
    Place {
        branch: row.branch.clone(),
        revision: row.sha.clone(),
        name: row.name().to_owned(),
        subject: row.subject.clone(),
        variant: row.variant.clone(),
        version: row.version.clone(),
    }
}

impl Place {
    /// `trunk 0ec9fdba30 (3.16.0a0, debug)`.
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
    /// 0: nothing fails newly; 1: something does.
    pub fn exit_code(&self) -> ExitCode {
        let fails = |project: &Compared| project.difference == Difference::NewlyFailing;
        ExitCode::from(u8::from(self.projects.iter().any(fails)))
    }

    /// For a mail or an issue.
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

/// Tests that one line names; there may be thousands.
const NAMED: usize = 20;

/// What suites name their tests is anything; it may not end the text's marks.
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
