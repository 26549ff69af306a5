//! Runs that were done more than once.

use super::Store;
use crate::domain::job::Report;
use crate::verdict::{Noise, Told, noise};
use anyhow::Result;
use std::collections::BTreeMap;

impl Store {
    /// How often a project contradicted itself in its newest runs.
    pub async fn noise_of(&self, project: &str, newest: i64) -> Result<Noise> {
        let sql = "SELECT run.id, attempt.report
                   FROM (SELECT id FROM run WHERE project = $1 ORDER BY id DESC LIMIT $2) AS run
                   JOIN job ON job.run_id = run.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'finished'
                   WHERE 1 < (SELECT COUNT(*) FROM job AS all_jobs WHERE all_jobs.run_id = run.id)";
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(sql)
            .bind(project)
            .bind(newest)
            .fetch_all(self.pool())
            .await?;
        let mut runs: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        for (run, report) in rows {
            let report: Option<Report> = report.and_then(|text| serde_json::from_str(&text).ok());
            let Some(report) = report else { continue };
            let failures = report.summary.into_iter().flat_map(|summary| summary.failures);
            runs.entry(run).or_default().push(Told {
                outcome: report.outcome,
                failed: failures.map(|failure| failure.test).collect(),
            });
        }
        Ok(noise(&runs.into_values().collect::<Vec<_>>()))
    }
}
