//! The cell of each run: what its ended attempts show together. It is written in the transaction that ends an attempt,
//! and kept with the run, so that no page reads a report.

use super::rows::{BadRow, from_row};
use super::types::Ending;
use super::{Store, Tx};
use crate::domain::digest::digest;
use crate::domain::id::{AttemptId, JobId, RunId};
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::results::Summary;
use crate::domain::time::Timestamp;
use crate::verdict::{Cell, cell};
use anyhow::Result;
use std::collections::BTreeSet;

/// The most characters of a reason, a limit or an error in a cell. The page of the run has the whole text.
const CHARACTERS: usize = 300;

/// How many cells [`Store::compute_cells`] computes in one transaction.
const BATCH: i64 = 500;

/// What the ended attempts of a run show together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunSummary {
    /// How many attempts have ended.
    pub cell_attempts: i64,
    /// The state, as if nothing more were to come. `None` if no attempt has ended.
    pub cell_state: Option<Cell>,
    /// The attempt that explains the state.
    pub cell_attempt_id: Option<AttemptId>,
    pub cell_outcome: Option<Outcome>,
    /// How long that attempt took, in milliseconds.
    pub cell_ms: Option<i64>,
    /// The phase in which that attempt failed.
    pub cell_failed_in: Option<String>,
    /// The space limit that the attempt hit, as a sentence.
    pub cell_limit: Option<String>,
    /// How many tests that attempt ran, if it says so.
    pub cell_tests: Option<i64>,
    /// How many of these failed.
    pub cell_failed_tests: Option<i64>,
    /// The first test that failed, and the first line of its error.
    pub cell_first_error: Option<String>,
    /// The digest of the names of the tests that failed, the first hundred of them.
    pub cell_failing: Option<String>,
}

from_row!(
    RunSummary, "run" by "id":
    cell_attempts, cell_state, cell_attempt_id, cell_outcome, cell_ms, cell_failed_in, cell_limit, cell_tests,
    cell_failed_tests, cell_first_error, cell_failing,
);

/// An ended attempt of a run.
#[derive(Clone, Debug)]
struct EndedAttempt {
    id: AttemptId,
    started_at: Timestamp,
    finished_at: Timestamp,
    /// The report. One that can't be read blames the infrastructure.
    report: Option<Result<Ending, BadRow>>,
}

from_row!(EndedAttempt, "attempt" by "id": id, started_at, finished_at, report);

impl EndedAttempt {
    fn ending(&self) -> Ending {
        let unreadable = |reason: String| Ending {
            outcome: Outcome::Infra { reason },
            phases: Vec::new(),
            limit: None,
            summary: None,
        };
        match &self.report {
            Some(Ok(ending)) => ending.clone(),
            Some(Err(bad)) => unreadable(format!("its report can't be read: {bad}")),
            None => unreadable("it has no report".to_owned()),
        }
    }
}

/// Computes the cell from the ended attempts of a run, oldest first.
fn summary(attempts: &[EndedAttempt]) -> (RunSummary, Option<FailingNames>) {
    let endings: Vec<(&EndedAttempt, Ending)> = attempts.iter().map(|attempt| (attempt, attempt.ending())).collect();
    let state = cell(endings.iter().map(|(_, ending)| &ending.outcome), false);
    let explaining = endings
        .iter()
        .rfind(|(_, ending)| explains(&ending.outcome, state))
        .or(endings.last());
    let Some((attempt, ending)) = explaining else {
        return Default::default();
    };
    let failures = ending
        .summary
        .as_ref()
        .filter(|_| ending.outcome.blame() == Blame::Code);
    let failing = failures.and_then(FailingNames::of);
    let summary = RunSummary {
        cell_attempts: count(endings.len()),
        cell_state: Some(state),
        cell_attempt_id: Some(attempt.id.clone()),
        cell_outcome: Some(shortened(ending.outcome.clone())),
        cell_ms: Some(attempt.finished_at - attempt.started_at),
        cell_failed_in: failed_phase(ending),
        cell_limit: ending.limit.as_deref().map(short),
        cell_tests: tests_run(ending).map(count),
        cell_failed_tests: failures.map(|summary| count(summary.failed)),
        cell_first_error: failures
            .and_then(|summary| summary.failures.first())
            .map(|failure| short(&format!("{}: {}", failure.test, failure.message))),
        cell_failing: failing.as_ref().map(|failing| failing.digest.clone()),
    };
    (summary, failing)
}

/// The names of the tests that failed in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FailingNames {
    digest: String,
    /// A sorted list, as JSON.
    names: String,
}

impl FailingNames {
    fn of(summary: &Summary) -> Option<Self> {
        let names: BTreeSet<&str> = summary.failures.iter().map(|failure| failure.test.as_str()).collect();
        let names = (!names.is_empty()).then(|| serde_json::json!(names).to_string())?;
        Some(Self {
            digest: digest(&[names.as_bytes()]),
            names,
        })
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Shortens the reason of an outcome.
fn shortened(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::SetupFailed { reason, exit_code } => Outcome::SetupFailed {
            reason: short(&reason),
            exit_code,
        },
        Outcome::RecipeError { reason } => Outcome::RecipeError { reason: short(&reason) },
        Outcome::Infra { reason } => Outcome::Infra { reason: short(&reason) },
        Outcome::Skipped { reason } => Outcome::Skipped { reason: short(&reason) },
        other => other,
    }
}

/// Returns how many tests an attempt ran, by the rule of `verdict::count_run`.
fn tests_run(ending: &Ending) -> Option<usize> {
    match (&ending.outcome, &ending.summary) {
        (_, Some(summary)) if summary.partial => None,
        (Outcome::Passed | Outcome::Failed { .. }, Some(summary)) => Some(summary.passed + summary.failed),
        (Outcome::Passed, None) => Some(0),
        _ => None,
    }
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
    let mut phases = ending.phases.iter();
    phases
        .find(|phase| phase.exit_code != Some(0))
        .map(|phase| phase.name.clone())
}

impl Store {
    /// Computes the cell of a run anew. Does nothing if there is no such run.
    pub(super) async fn write_cell(&self, tx: &mut Tx, run: &RunId) -> Result<()> {
        self.lock_cell(tx, run).await?;
        let (cell, failing) = self.cell_by_attempts(tx, run).await?;
        if let Some(failing) = &failing {
            let sql = "INSERT INTO failing_tests (digest, names) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
            let insert = sqlx::query(sql).bind(&failing.digest).bind(&failing.names);
            insert.execute(&mut **tx).await?;
        }
        sqlx::query(
            "UPDATE run SET cell_attempts = $1, cell_state = $2, cell_attempt_id = $3, cell_outcome = $4, cell_ms = $5,
                            cell_failed_in = $6, cell_limit = $7, cell_tests = $8, cell_failed_tests = $9,
                            cell_first_error = $10, cell_failing = $11, cell_ended = ended
             WHERE id = $12",
        )
        .bind(cell.cell_attempts)
        .bind(cell.cell_state)
        .bind(cell.cell_attempt_id)
        .bind(cell.cell_outcome)
        .bind(cell.cell_ms)
        .bind(cell.cell_failed_in)
        .bind(cell.cell_limit)
        .bind(cell.cell_tests)
        .bind(cell.cell_failed_tests)
        .bind(cell.cell_first_error)
        .bind(cell.cell_failing)
        .bind(run)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Makes transactions that write the same cell wait for each other, so that each reads what the one before it wrote.
    /// On SQLite, writers wait for each other anyway.
    pub(super) async fn lock_cell(&self, tx: &mut Tx, run: &RunId) -> Result<()> {
        let locked = sqlx::query("UPDATE run SET cell_attempts = cell_attempts WHERE id = $1");
        locked.bind(run).execute(&mut **tx).await?;
        Ok(())
    }

    /// Returns the run that a job does, or `None` for the job of an image.
    pub(super) async fn run_of_job(&self, tx: &mut Tx, job: &JobId) -> Result<Option<RunId>> {
        let query = sqlx::query_scalar("SELECT run_id FROM job WHERE id = $1 AND run_id IS NOT NULL").bind(job);
        Ok(query.fetch_optional(&mut **tx).await?)
    }

    /// Returns what the attempts of a run say, whatever is stored. Attempts at crossed jobs do not count.
    async fn cell_by_attempts(&self, tx: &mut Tx, run: &RunId) -> Result<(RunSummary, Option<FailingNames>)> {
        let sql = "SELECT attempt.id, attempt.started_at, attempt.finished_at, attempt.report
                   FROM job JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'finished'
                   WHERE job.run_id = $1 AND job.crossed = 0
                   ORDER BY job.created_at, job.id, attempt.number";
        let attempts: Vec<EndedAttempt> = sqlx::query_as(sql).bind(run).fetch_all(&mut **tx).await?;
        Ok(summary(&attempts))
    }

    /// Computes the cells that an earlier version of this program did not write.
    pub(super) async fn compute_cells(&self) -> Result<()> {
        let (mut computed, mut last) = (0, RunId::from(""));
        loop {
            let sql =
                "SELECT id FROM run WHERE (cell_ended IS NULL OR cell_ended < ended) AND id > $1 ORDER BY id LIMIT $2";
            let query = sqlx::query_scalar(sql).bind(&last).bind(BATCH);
            let runs: Vec<RunId> = query.fetch_all(self.pool()).await?;
            let Some(newest) = runs.last() else {
                return Ok(());
            };
            last = newest.clone();
            let mut tx = self.begin().await?;
            for run in &runs {
                self.write_cell(&mut tx, run).await?;
            }
            tx.commit().await?;
            computed += runs.len();
            tracing::info!(computed, "computed the cells of runs");
        }
    }

    /// Returns which of the newest `most` runs have a stored cell that is not what their attempts say: none, unless
    /// this program has a fault. Reads every report of these runs, so no page may call it.
    pub async fn wrong_cells(&self, most: i64) -> Result<Vec<RunId>> {
        let query = sqlx::query_scalar("SELECT id FROM run ORDER BY id DESC LIMIT $1").bind(most);
        let runs: Vec<RunId> = query.fetch_all(self.pool()).await?;
        let mut wrong = Vec::new();
        for run in runs {
            let mut tx = self.begin().await?;
            let sql = "SELECT id, COALESCE(cell_attempts, 0) AS cell_attempts, cell_state, cell_attempt_id, cell_outcome, cell_ms, cell_failed_in, cell_limit,
                              cell_tests, cell_failed_tests, cell_first_error, cell_failing FROM run WHERE id = $1";
            let stored: RunSummary = sqlx::query_as(sql).bind(&run).fetch_one(&mut *tx).await?;
            if stored != self.cell_by_attempts(&mut tx, &run).await?.0 {
                wrong.push(run);
            }
            tx.rollback().await?;
        }
        Ok(wrong)
    }
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
