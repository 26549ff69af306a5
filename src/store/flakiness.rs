//! Repeated runs, from which the flakiness of a suite is computed.

use super::Store;
use super::decode::RowOf;
use super::repetitions::COUNTS;
use crate::verdict::{AttemptResult, Flakiness, flakiness};
use anyhow::Result;
use std::collections::BTreeMap;

impl Store {
    /// Returns how often attempts at the same run disagreed, among the `newest` runs of a project.
    pub async fn flakiness_of(&self, project: &str, newest: i64) -> Result<Flakiness> {
        let sql = format!(
            "SELECT run.id, attempt.id, attempt.report
                   FROM (SELECT id FROM run WHERE project = $1 AND trial = 0 ORDER BY id DESC LIMIT $2) AS run
                   JOIN job ON job.run_id = run.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'finished' AND {COUNTS}
                   WHERE 1 < (SELECT COUNT(*) FROM job AS all_jobs WHERE all_jobs.run_id = run.id)"
        );
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(project)
            .bind(newest)
            .fetch_all(self.pool())
            .await?;
        let mut runs: BTreeMap<String, Vec<AttemptResult>> = BTreeMap::new();
        for (run, attempt, report) in rows {
            let row = RowOf {
                table: "attempt",
                id: &attempt,
            };
            let Some(report) = row.report(report.as_deref())? else {
                continue;
            };
            let failures = report.summary.into_iter().flat_map(|summary| summary.failures);
            runs.entry(run).or_default().push(AttemptResult {
                outcome: report.outcome,
                failed: failures.map(|failure| failure.test).collect(),
            });
        }
        Ok(flakiness(&runs.into_values().collect::<Vec<_>>()))
    }
}
