//! From rows of the database to the cells of a page. Pure.

use super::Run;
use super::matrix::{Column, ImageState, Matrix, Other, Row, RunCell};
use crate::domain::DEFAULT_VARIANT;
use crate::domain::job::Phase;
use crate::domain::outcome::{Blame, Outcome};
use crate::verdict::{Cell, cell};
use serde::Deserialize;
use sqlx::FromRow;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, FromRow)]
pub(super) struct RevisionRow {
    pub id: String,
    branch: String,
    sha: String,
    label: Option<String>,
    subject: String,
    author: String,
    committed_at: i64,
    version: Option<String>,
    left_at: Option<i64>,
    planned_at: Option<i64>,
    variant: Option<String>,
    platform: Option<String>,
    reason: Option<String>,
    image_id: Option<String>,
    image_state: Option<String>,
    built_sha: Option<String>,
    built_label: Option<String>,
    job_state: Option<String>,
}

#[derive(Clone, Debug, Default, FromRow)]
pub(super) struct RunRow {
    id: String,
    revision_id: String,
    project: String,
    variant: String,
    platform: String,
    skip_reason: Option<String>,
    job_state: Option<String>,
    attempt_id: Option<String>,
    attempt_state: Option<String>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    report: Option<String>,
}

/// The part of a report that a cell needs; the rest of its text is skipped unread.
#[derive(Deserialize)]
struct Ending {
    outcome: Outcome,
    phases: Vec<Phase>,
}

/// Leaves `most` check-ins (each may have several rows) and returns the last one's id if more were there.
pub(super) fn cut(revisions: &mut Vec<RevisionRow>, most: i64) -> Option<String> {
    let mut ids: Vec<&str> = revisions.iter().map(|row| row.id.as_str()).collect();
    ids.dedup();
    let most = usize::try_from(most).unwrap_or(0);
    let last = ids.get(most.checked_sub(1)?).filter(|_| ids.len() > most)?;
    let last = (*last).to_owned();
    let end = revisions.iter().rposition(|row| row.id == last).map_or(0, |at| at + 1);
    revisions.truncate(end);
    Some(last)
}

pub(super) fn rows(revisions: Vec<RevisionRow>) -> Vec<Row> {
    planned_rows(revisions).into_iter().map(|(row, _)| row).collect()
}

/// Rows without their cells, and for each whether its runs have been planned. Those of one check-in
/// come together.
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
    let image = match (
        revision.reason,
        revision.image_state.as_deref(),
        revision.job_state.as_deref(),
    ) {
        (Some(reason), ..) => ImageState::Impossible(reason),
        (None, None, _) => ImageState::Unplanned,
        (None, Some("ready"), _) => ImageState::Ready,
        (None, Some("failed"), _) => ImageState::Failed,
        (None, Some(_), Some("queued")) => ImageState::Queued,
        (None, Some(_), Some(_)) => ImageState::Building,
        (None, Some(_), None) => ImageState::GaveUp,
    };
    let row = Row {
        built_from: revision.built_sha.filter(|sha| *sha != revision.sha).map(|sha| Other {
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

pub(super) fn matrix(revisions: Vec<RevisionRow>, runs: &[RunRow], registered: Vec<String>) -> Matrix {
    let names: BTreeSet<&str> = registered
        .iter()
        .map(String::as_str)
        .chain(runs.iter().map(|run| run.project.as_str()))
        .collect();
    let columns: Vec<Column> = names
        .into_iter()
        .map(|name| Column {
            name: name.to_owned(),
            registered: registered.iter().any(|known| known == name),
        })
        .collect();
    let groups = newest_runs(runs);
    let rows = planned_rows(revisions)
        .into_iter()
        .map(|(mut row, planned)| {
            row.cells = columns
                .iter()
                .map(|column| {
                    let key = (
                        row.revision_id.as_str(),
                        row.variant.as_str(),
                        row.platform.as_str(),
                        column.name.as_str(),
                    );
                    match groups.get(&key) {
                        Some(attempts) => Some(of_attempts(attempts, &row.image)),
                        None if column.registered => without_run(&row.image, planned),
                        None => None,
                    }
                })
                .collect();
            row
        })
        .collect();
    Matrix {
        columns,
        rows,
        older: None,
    }
}

type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The rows of the newest run of each cell; they come by run, oldest run first.
fn newest_runs(runs: &[RunRow]) -> BTreeMap<Key<'_>, &[RunRow]> {
    runs.chunk_by(|a, b| a.id == b.id)
        .filter_map(|chunk| chunk.first().map(|run| (run, chunk)))
        .map(|(run, chunk)| {
            (
                (
                    run.revision_id.as_str(),
                    run.variant.as_str(),
                    run.platform.as_str(),
                    run.project.as_str(),
                ),
                chunk,
            )
        })
        .collect()
}

pub(super) fn of_run(revisions: Vec<RevisionRow>, runs: &[RunRow], run: &Run) -> Option<(Row, RunCell)> {
    let row = rows(revisions)
        .into_iter()
        .find(|row| row.variant == run.variant && (row.platform == run.platform || row.platform.is_empty()))?;
    let cell = of_attempts(runs, &row.image);
    Some((row, cell))
}

fn without_run(image: &ImageState, planned: bool) -> Option<RunCell> {
    let state = match image {
        ImageState::Failed | ImageState::Impossible(_) => Cell::NoImage,
        ImageState::GaveUp => Cell::Unknown,
        _ if planned => return None,
        ImageState::Unplanned | ImageState::Queued | ImageState::Building | ImageState::Ready => Cell::Pending,
    };
    Some(RunCell {
        state,
        running: false,
        run: None,
        attempt: None,
        outcome: None,
        seconds: None,
        failed_in: None,
        attempts: 0,
    })
}

fn of_attempts(attempts: &[RunRow], image: &ImageState) -> RunCell {
    let open = attempts
        .iter()
        .any(|row| matches!(row.job_state.as_deref(), Some("queued" | "leased")));
    let leased = attempts
        .iter()
        .rfind(|row| row.attempt_state.as_deref() == Some("leased"));
    let endings: Vec<(&RunRow, Ending)> = attempts.iter().filter_map(|row| Some((row, ending(row)?))).collect();
    let skipped = attempts
        .first()
        .and_then(|row| row.skip_reason.clone())
        .map(|reason| Outcome::Skipped { reason });
    let outcomes = endings.iter().map(|(_, ending)| &ending.outcome).chain(&skipped);
    let state = match cell(outcomes, open) {
        Cell::Pending | Cell::Unknown if endings.is_empty() && no_image(image) => Cell::NoImage,
        state => state,
    };
    let telling = endings
        .iter()
        .rfind(|(_, ending)| explains(&ending.outcome, state))
        .or(endings.last());
    RunCell {
        state,
        running: leased.is_some(),
        run: attempts.first().map(|row| row.id.clone()),
        attempt: telling
            .map(|(row, _)| *row)
            .or(leased)
            .and_then(|row| row.attempt_id.clone()),
        seconds: telling.and_then(|(row, _)| Some((row.finished_at? - row.started_at?) as f64 / 1000.0)),
        failed_in: telling.and_then(|(_, ending)| failed_phase(ending)),
        attempts: endings.len(),
        outcome: telling.map(|(_, ending)| ending.outcome.clone()).or(skipped),
    }
}

fn no_image(image: &ImageState) -> bool {
    matches!(image, ImageState::Failed | ImageState::Impossible(_))
}

/// An attempt that ended; one whose report can't be read counts as the machinery's fault.
fn ending(row: &RunRow) -> Option<Ending> {
    if row.attempt_state.as_deref() != Some("finished") {
        return None;
    }
    let read = row.report.as_deref().and_then(|text| serde_json::from_str(text).ok());
    Some(read.unwrap_or_else(|| Ending {
        outcome: Outcome::Infra {
            reason: "its report can't be read".to_owned(),
        },
        phases: Vec::new(),
    }))
}

/// Whether an outcome is the one to show for a state: not the lost host that came after a failure.
fn explains(outcome: &Outcome, state: Cell) -> bool {
    match state {
        Cell::Pass => *outcome == Outcome::Passed,
        Cell::Fail | Cell::Flaky => outcome.blame() == Blame::Code,
        Cell::Skipped => matches!(outcome, Outcome::Skipped { .. }),
        Cell::Unknown | Cell::NoImage | Cell::Pending => true,
    }
}

fn failed_phase(ending: &Ending) -> Option<String> {
    if ending.outcome == Outcome::Passed {
        return None;
    }
    ending
        .phases
        .iter()
        .find(|phase| phase.exit_code != Some(0))
        .map(|phase| phase.name.clone())
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
