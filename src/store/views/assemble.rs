//! Turns rows of the database into the cells of a page.

use super::Run;
use super::matrix::{BuiltFrom, Column, ImageProgress, Matrix, Row, RunCell, TestsRun};
use super::waits::{QueuedJob, Waiting};
use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::{AttemptId, ImageId, JobGroupId, RevisionId, RunId};
use crate::domain::job::Facts;
use crate::domain::outcome::Outcome;
use crate::domain::state::{ImageState, JobState};
use crate::domain::time::Timestamp;
use crate::store::cells::RunSummary;
use crate::store::rows::{Cells, from_row};
use crate::verdict::Cell;
use sqlx::FromRow;
use sqlx::any::AnyRow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// A revision, and its image as one variant on one platform.
#[derive(Clone, Debug, Default)]
pub(super) struct RevisionRow {
    pub id: RevisionId,
    branch: String,
    sha: String,
    label: Option<String>,
    subject: String,
    author: String,
    committed_at: Timestamp,
    version: Option<String>,
    left_at: Option<Timestamp>,
    planned_at: Option<Timestamp>,
    variant: Option<String>,
    platform: Option<String>,
    /// Why no image can be built.
    reason: Option<String>,
    image_id: Option<ImageId>,
    image_state: Option<ImageState>,
    facts: Option<Facts>,
    built_sha: Option<String>,
    built_label: Option<String>,
    /// The state of the build's job until it has finished. The columns after it say why the job waits.
    job_state: Option<JobState>,
    group_id: Option<JobGroupId>,
    not_before: Option<Timestamp>,
}

from_row!(
    RevisionRow, "revision" by "id":
    id, branch, sha, label, subject, author, committed_at, version, left_at, planned_at, variant, platform, reason, image_id,
    image_state, facts, built_sha, built_label, job_state, group_id, not_before,
);

/// A run with its cell, and one of its jobs that have not ended. A run has several rows if it has several such jobs.
#[derive(Clone, Debug, Default)]
pub(super) struct RunRow {
    pub id: RunId,
    pub revision_id: RevisionId,
    pub project: String,
    pub variant: String,
    pub platform: String,
    pub recipe: String,
    pub skip_reason: Option<String>,
    pub summary: RunSummary,
    /// The state of the job: queued or leased.
    pub job_state: Option<JobState>,
    pub group_id: Option<JobGroupId>,
    pub not_before: Option<Timestamp>,
    pub target_image_id: Option<ImageId>,
    /// The attempt in progress.
    pub leased_id: Option<AttemptId>,
}

impl<'r> FromRow<'r, AnyRow> for RunRow {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        let cells = Cells {
            row,
            table: "run",
            key: "id",
        };
        Ok(Self {
            id: cells.read("id")?,
            revision_id: cells.read("revision_id")?,
            project: cells.read("project")?,
            variant: cells.read("variant")?,
            platform: cells.read("platform")?,
            recipe: cells.read("recipe")?,
            skip_reason: cells.read("skip_reason")?,
            summary: RunSummary::from_row(row)?,
            job_state: cells.read("job_state")?,
            group_id: cells.read("group_id")?,
            not_before: cells.read("not_before")?,
            target_image_id: cells.read("target_image_id")?,
            leased_id: cells.read("leased_id")?,
        })
    }
}

/// Keeps `most` revisions, each of which may have several rows. If there were more, returns the last revision that is
/// kept.
pub(super) fn cut(revisions: &mut Vec<RevisionRow>, most: i64) -> Option<RevisionId> {
    let mut ids: Vec<&str> = revisions.iter().map(|row| row.id.as_str()).collect();
    ids.dedup();
    let most = usize::try_from(most).unwrap_or(0);
    let last = ids.get(most.checked_sub(1)?).filter(|_| ids.len() > most)?;
    let last = RevisionId::from(*last);
    let end = revisions.iter().rposition(|row| row.id == last).map_or(0, |at| at + 1);
    revisions.truncate(end);
    Some(last)
}

pub(super) fn rows(revisions: Vec<RevisionRow>) -> Vec<Row> {
    planned_rows(revisions).into_iter().map(|(row, _)| row).collect()
}

/// Returns rows without cells, and for each row whether its runs are planned. Rows of one revision must follow each
/// other.
fn planned_rows(revisions: Vec<RevisionRow>) -> Vec<(Row, bool)> {
    let mut rows: Vec<(Row, bool)> = revisions.into_iter().map(row).collect();
    for group in rows.chunk_by_mut(|(a, _), (b, _)| a.revision_id == b.revision_id) {
        let variants: BTreeSet<String> = group.iter().map(|(row, _)| row.variant.clone()).collect();
        for (row, _) in group {
            row.several = variants.len() > 1;
        }
    }
    rows
}

fn row(revision: RevisionRow) -> (Row, bool) {
    let missing: Vec<String> = revision
        .facts
        .iter()
        .flat_map(|facts| facts.missing().map(|(name, _)| name.to_owned()))
        .collect();
    let image = match (revision.reason, revision.image_state, revision.job_state) {
        (Some(reason), ..) => ImageProgress::Impossible(reason),
        (None, None, _) => ImageProgress::Unplanned,
        (None, Some(ImageState::Ready), _) if missing.is_empty() => ImageProgress::Ready,
        (None, Some(ImageState::Ready), _) => ImageProgress::Degraded(missing),
        (None, Some(ImageState::Failed), _) => ImageProgress::Failed,
        (None, Some(ImageState::Wanted), Some(JobState::Queued)) => ImageProgress::Queued,
        (None, Some(ImageState::Wanted), Some(JobState::Leased | JobState::Finished)) => ImageProgress::Building,
        (None, Some(ImageState::Wanted), None) => ImageProgress::GaveUp,
    };
    let build = QueuedJob {
        group_id: revision.group_id,
        not_before: revision.not_before.unwrap_or_default(),
        target_image_id: revision.image_id.clone(),
    };
    let row = Row {
        build: (image == ImageProgress::Queued).then(|| Waiting::new(build)),
        built_from: revision
            .built_sha
            .filter(|sha| *sha != revision.sha)
            .map(|sha| BuiltFrom {
                sha,
                label: revision.built_label,
            }),
        several: false,
        revision_id: revision.id,
        branch: revision.branch,
        sha: revision.sha,
        label: revision.label,
        subject: revision.subject,
        author: revision.author,
        committed_at: revision.committed_at,
        version: revision.version,
        left_at: revision.left_at,
        variant: revision.variant.unwrap_or_else(|| DEFAULT_VARIANT.to_owned()),
        platform: revision.platform.unwrap_or_default(),
        image_id: revision.image_id,
        image,
        cells: Vec::new(),
    };
    (row, revision.planned_at.is_some())
}

/// Returns the ids of revisions, each once. Rows of one revision must follow each other.
pub(super) fn ids(revisions: &[RevisionRow]) -> Vec<String> {
    let mut ids: Vec<String> = revisions.iter().map(|row| row.id.to_string()).collect();
    ids.dedup();
    ids
}

pub(super) fn matrix(revisions: Vec<RevisionRow>, runs: &CellRuns<'_>, registered: Vec<String>) -> Matrix {
    let registered: BTreeSet<&str> = registered.iter().map(String::as_str).collect();
    let mut names = registered.clone();
    names.extend(runs.keys().map(|(.., project)| *project));
    let columns: Vec<Column> = names
        .into_iter()
        .map(|name| Column {
            name: name.to_owned(),
            registered: registered.contains(name),
        })
        .collect();
    let rows = planned_rows(revisions)
        .into_iter()
        .map(|(mut row, planned)| {
            row.cells = columns
                .iter()
                .map(|column| match runs.get(&key(&row, column)) {
                    Some(rows) => of_run_rows(rows, &row.image),
                    None if column.registered => without_run(&row.image, planned),
                    None => None,
                })
                .collect();
            row
        })
        .collect();
    Matrix {
        columns,
        rows,
        older: None,
        has_gaps: false,
    }
}

/// Replaces the cells in these rows and columns that have a run.
pub(super) fn complete(matrix: &mut Matrix, runs: &CellRuns<'_>, rows: &[usize], columns: Range<usize>) {
    for index in rows {
        let Some(row) = matrix.rows.get_mut(*index) else {
            continue;
        };
        for at in columns.clone() {
            let column = matrix.columns.get(at);
            let found = column.and_then(|column| runs.get(&key(row, column)));
            let cell = found.and_then(|rows| of_run_rows(rows, &row.image));
            if let (Some(cell), Some(place)) = (cell, row.cells.get_mut(at)) {
                *place = Some(cell);
            }
        }
    }
}

/// The rows of the run that counts in each cell, by revision, variant, platform and project.
pub(super) type CellRuns<'a> = HashMap<(&'a str, &'a str, &'a str, &'a str), &'a [RunRow]>;

fn key<'a>(row: &'a Row, column: &'a Column) -> (&'a str, &'a str, &'a str, &'a str) {
    (row.revision_id.as_str(), &row.variant, &row.platform, &column.name)
}

/// Returns the rows of the newest run of each cell. `runs` has the runs in their order, oldest first.
pub(super) fn newest_runs(runs: &[RunRow]) -> CellRuns<'_> {
    by_cell(runs.chunk_by(|a, b| a.id == b.id))
}

/// Returns the newest run of each cell. `runs` has one row for each run, in their order, oldest first.
pub(super) fn single_runs(runs: &[RunRow]) -> CellRuns<'_> {
    by_cell(runs.chunks(1))
}

fn by_cell<'a>(runs: impl Iterator<Item = &'a [RunRow]>) -> CellRuns<'a> {
    let with_key = |rows: &'a [RunRow]| {
        let run = rows.first()?;
        let key = (run.revision_id.as_str(), &*run.variant, &*run.platform, &*run.project);
        Some((key, rows))
    };
    runs.filter_map(with_key).collect()
}

pub(super) fn of_run(revisions: Vec<RevisionRow>, runs: &[RunRow], run: &Run) -> Option<(Row, RunCell)> {
    let row = rows(revisions)
        .into_iter()
        .find(|row| row.variant == run.variant && (row.platform == run.platform || row.platform.is_empty()))?;
    let cell = of_run_rows(runs, &row.image)?;
    Some((row, cell))
}

fn without_run(image: &ImageProgress, planned: bool) -> Option<RunCell> {
    let state = match image {
        ImageProgress::Failed | ImageProgress::Impossible(_) => Cell::NoImage,
        ImageProgress::GaveUp => Cell::Unknown,
        _ if planned => return None,
        ImageProgress::Unplanned
        | ImageProgress::Queued
        | ImageProgress::Building
        | ImageProgress::Ready
        | ImageProgress::Degraded(_) => Cell::Pending,
    };
    Some(RunCell::without_attempt(state))
}

/// Returns the cell of a run. `rows` are the run's, one for each open job or one without a job.
fn of_run_rows(rows: &[RunRow], image: &ImageProgress) -> Option<RunCell> {
    let run = rows.first()?;
    let summary = &run.summary;
    let is_open = rows.iter().any(|row| row.job_state.is_some());
    let leased = rows.iter().rev().find_map(|row| row.leased_id.as_ref());
    let skipped = run.skip_reason.clone().map(|reason| Outcome::Skipped { reason });
    let state = match summary.cell_state {
        Some(decided) if decided.is_decided() => decided,
        _ if is_open => Cell::Pending,
        Some(Cell::Skipped) => Cell::Skipped,
        _ if skipped.is_some() => Cell::Skipped,
        _ => Cell::Unknown,
    };
    let state = match state {
        Cell::Pending | Cell::Unknown if summary.cell_attempts == 0 && no_image(image) => Cell::NoImage,
        state => state,
    };
    let queued = rows.iter().find(|row| row.job_state == Some(JobState::Queued));
    let waits = queued.map(|row| QueuedJob {
        group_id: row.group_id.clone(),
        not_before: row.not_before.unwrap_or_default(),
        target_image_id: row.target_image_id.clone(),
    });
    let number = |count: i64| usize::try_from(count).unwrap_or(0);
    Some(RunCell {
        state,
        running: leased.is_some(),
        run: Some(run.id.clone()),
        attempt: summary.cell_attempt_id.as_ref().or(leased).cloned(),
        outcome: summary.cell_outcome.clone().or(skipped),
        seconds: summary.cell_ms.map(|ms| ms as f64 / 1000.0),
        failed_in: summary.cell_failed_in.clone(),
        limit: summary.cell_limit.clone(),
        tests: summary.cell_tests.map(|count| TestsRun {
            recipe: run.recipe.clone(),
            count: number(count),
        }),
        failed_tests: summary.cell_failed_tests.map(number),
        first_error: summary.cell_first_error.clone(),
        failing: summary.cell_failing.clone(),
        attempts: number(summary.cell_attempts),
        waits: waits.map(Waiting::new),
    })
}

fn no_image(image: &ImageProgress) -> bool {
    matches!(image, ImageProgress::Failed | ImageProgress::Impossible(_))
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
