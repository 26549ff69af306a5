//! What a host has done.

use crate::store::Store;
use anyhow::Result;
use sqlx::FromRow;
use std::collections::BTreeMap;

/// One of its attempts, with what it was at.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct HostAttempt {
    pub id: String,
    pub number: i64,
    pub outcome: Option<String>,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    /// Of a run; else it is of an image.
    pub run_id: Option<String>,
    pub project: Option<String>,
    pub image_id: Option<String>,
    pub sha: String,
    pub label: Option<String>,
    pub branch: String,
    pub variant: String,
}

impl Store {
    /// The newest attempts of a host.
    pub async fn host_history(&self, host: &str, most: i64) -> Result<Vec<HostAttempt>> {
        Ok(sqlx::query_as(
            "SELECT attempt.id, attempt.number, attempt.outcome, attempt.started_at, attempt.finished_at, job.run_id,
                    run.project, job.image_id, revision.sha, revision.label, branch.name AS branch,
                    COALESCE(run.variant, image.variant) AS variant
             FROM attempt JOIN job ON job.id = attempt.job_id
             LEFT JOIN run ON run.id = job.run_id
             LEFT JOIN image ON image.id = job.image_id
             JOIN revision ON revision.id = COALESCE(run.revision_id, image.revision_id)
             JOIN branch ON branch.id = revision.branch_id
             WHERE attempt.host = $1 ORDER BY attempt.started_at DESC, attempt.id DESC LIMIT $2",
        )
        .bind(host)
        .bind(most)
        .fetch_all(self.pool())
        .await?)
    }

    /// Names of all hosts by their ids.
    pub async fn host_names(&self) -> Result<BTreeMap<String, String>> {
        let names: Vec<(String, String)> = sqlx::query_as("SELECT id, name FROM host")
            .fetch_all(self.pool())
            .await?;
        Ok(names.into_iter().collect())
    }

    /// How many jobs each host has in work, by its id.
    pub async fn host_loads(&self) -> Result<BTreeMap<String, i64>> {
        let loads: Vec<(String, i64)> =
            sqlx::query_as("SELECT host, COUNT(*) FROM attempt WHERE state = 'leased' GROUP BY host")
                .fetch_all(self.pool())
                .await?;
        Ok(loads.into_iter().collect())
    }
}
