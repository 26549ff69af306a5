//! Repeated runs, from which the flakiness of a suite is computed.

use super::decode::RowOf;
use super::repetitions::COUNTS;
use super::rows::from_row;
use super::shared::REPORT;
use super::{Store, Tx};
use crate::domain::id::RunId;
use crate::domain::time::Timestamp;
use crate::verdict::AttemptResult;
use anyhow::Result;
use std::collections::BTreeMap;

/// The progress of a project's burn-in.
#[derive(Clone, Debug)]
pub struct BurnIn {
    /// How many repeated results agreed in a row, up to the newest one.
    pub agreeing: i64,
    /// When a repeat was requested that [`Store::set_agreeing`] has not counted yet.
    pub repeat_asked_at: Option<Timestamp>,
}

from_row!(BurnIn, "project" by "name": agreeing, repeat_asked_at);

impl Store {
    /// Returns the ended attempts at each run with more than one job, among the `newest` runs of a project, by the id
    /// of the run. Leaves out trials, attempts of crossed jobs, and results of new hosts that do not count.
    pub async fn repeated_runs(&self, project: &str, newest: i64) -> Result<BTreeMap<RunId, Vec<AttemptResult>>> {
        let sql = format!(
            "SELECT picked.id, attempt.id, {REPORT}
                   FROM (SELECT id FROM run WHERE project = $1 AND trial = 0 ORDER BY id DESC LIMIT $2) AS picked
                   JOIN job ON job.run_id = picked.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'finished' AND {COUNTS}
                   WHERE 1 < (SELECT COUNT(*) FROM job AS all_jobs WHERE all_jobs.run_id = picked.id)"
        );
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(project)
            .bind(newest)
            .fetch_all(self.pool())
            .await?;
        let mut runs: BTreeMap<RunId, Vec<AttemptResult>> = BTreeMap::new();
        for (run, attempt, report) in rows {
            let row = RowOf {
                table: "attempt",
                id: &attempt,
            };
            let Some(report) = row.report(report.as_deref())? else {
                continue;
            };
            let failures = report.summary.into_iter().flat_map(|summary| summary.failures);
            runs.entry(run.into()).or_default().push(AttemptResult {
                outcome: report.outcome,
                failed: failures.map(|failure| failure.test).collect(),
            });
        }
        Ok(runs)
    }

    /// Returns the progress of a project's burn-in, or `None` if there is no such project.
    pub async fn burn_in(&self, project: &str) -> Result<Option<BurnIn>> {
        Ok(
            sqlx::query_as("SELECT name, agreeing, repeat_asked_at FROM project WHERE name = $1")
                .bind(project)
                .fetch_optional(self.pool())
                .await?,
        )
    }

    /// Records how many repeated results agreed in a row. Afterwards another repeat may be requested.
    pub async fn set_agreeing(&self, project: &str, agreeing: u32) -> Result<()> {
        sqlx::query("UPDATE project SET agreeing = $1, repeat_asked_at = NULL WHERE name = $2")
            .bind(i64::from(agreeing))
            .bind(project)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Records that the burn-in of a project requested a repeat.
    pub async fn repeat_asked(&self, tx: &mut Tx, project: &str, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE project SET repeat_asked_at = $1 WHERE name = $2")
            .bind(now)
            .bind(project)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
