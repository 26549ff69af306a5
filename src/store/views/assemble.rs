//! Turns rows of the database into the cells of a page.

use super::Run;
use super::matrix::{BuiltFrom, Column, ImageProgress, Matrix, Row, RunCell, TestsRun};
use super::waits::{QueuedJob, Waiting};
use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::{AttemptId, ImageId, JobGroupId, RevisionId, RunId};
use crate::domain::job::Facts;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::state::{AttemptState, ImageState, JobState};
use crate::domain::time::Timestamp;
use crate::store::rows::{BadRow, from_row};
use crate::store::types::Ending;
use crate::verdict::{Cell, cell};
use std::collections::{BTreeMap, BTreeSet};

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

/// A run, with one of its jobs and one attempt at that job.
#[derive(Clone, Debug, Default)]
pub(super) struct RunRow {
    id: RunId,
    revision_id: RevisionId,
    project: String,
    variant: String,
    platform: String,
    recipe: String,
    skip_reason: Option<String>,
    job_state: Option<JobState>,
    group_id: Option<JobGroupId>,
    not_before: Option<Timestamp>,
    target_image_id: Option<ImageId>,
    attempt_id: Option<AttemptId>,
    attempt_state: Option<AttemptState>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// The report. One that can't be read does not affect the page: its cell shows the problem.
    report: Option<Result<Ending, BadRow>>,
}

from_row!(
    RunRow, "run" by "id":
    id, revision_id, project, variant, platform, recipe, skip_reason, job_state, group_id, not_before, target_image_id, attempt_id, attempt_state, started_at, finished_at,
    report,
);

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
            registered: registered.iter().any(|other| other == name),
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

/// Returns the rows of the newest run of each cell. `runs` has the runs in their order, oldest first.
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

fn of_attempts(attempts: &[RunRow], image: &ImageProgress) -> RunCell {
    let open = attempts
        .iter()
        .any(|row| matches!(row.job_state, Some(JobState::Queued | JobState::Leased)));
    let leased = attempts
        .iter()
        .rfind(|row| row.attempt_state == Some(AttemptState::Leased));
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
    let explaining = endings
        .iter()
        .rfind(|(_, ending)| explains(&ending.outcome, state))
        .or(endings.last());
    let queued = attempts.iter().find(|row| row.job_state == Some(JobState::Queued));
    let waits = queued.map(|row| QueuedJob {
        group_id: row.group_id.clone(),
        not_before: row.not_before.unwrap_or_default(),
        target_image_id: row.target_image_id.clone(),
    });
    RunCell {
        waits: waits.map(Waiting::new),
        state,
        running: leased.is_some(),
        run: attempts.first().map(|row| row.id.clone()),
        attempt: explaining
            .map(|(row, _)| *row)
            .or(leased)
            .and_then(|row| row.attempt_id.clone()),
        seconds: explaining.and_then(|(row, _)| Some((row.finished_at? - row.started_at?) as f64 / 1000.0)),
        failed_in: explaining.and_then(|(_, ending)| failed_phase(ending)),
        limit: explaining.and_then(|(_, ending)| ending.limit.clone()),
        tests: explaining.and_then(|(row, ending)| tests_run(row, ending)),
        attempts: endings.len(),
        outcome: explaining.map(|(_, ending)| ending.outcome.clone()).or(skipped),
    }
}

fn no_image(image: &ImageProgress) -> bool {
    matches!(image, ImageProgress::Failed | ImageProgress::Impossible(_))
}

/// Returns the end of an attempt, or `None` while the attempt runs. If its report can't be read, the outcome blames the
/// infrastructure.
fn ending(row: &RunRow) -> Option<Ending> {
    if row.attempt_state != Some(AttemptState::Finished) {
        return None;
    }
    let unreadable = |reason: String| Ending {
        outcome: Outcome::Infra { reason },
        phases: Vec::new(),
        limit: None,
        summary: None,
    };
    Some(match &row.report {
        Some(Ok(ending)) => ending.clone(),
        Some(Err(bad)) => unreadable(format!("its report can't be read: {bad}")),
        None => unreadable("it has no report".to_owned()),
    })
}

/// Returns how many tests an attempt ran, by the rule of `verdict::count_run`.
fn tests_run(row: &RunRow, ending: &Ending) -> Option<TestsRun> {
    let count = match (&ending.outcome, &ending.summary) {
        (_, Some(counts)) if counts.partial => return None,
        (Outcome::Passed | Outcome::Failed { .. }, Some(counts)) => counts.passed + counts.failed,
        (Outcome::Passed, None) => 0,
        _ => return None,
    };
    let recipe = row.recipe.clone();
    Some(TestsRun { recipe, count })
}

/// Returns whether an outcome explains the state of a cell. A lost host after a failure does not explain the failure.
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
