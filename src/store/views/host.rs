//! The attempts of a host.

use crate::domain::id::{AttemptId, HostId, ImageId, RunId};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::rows::from_row;
use anyhow::Result;
use std::collections::BTreeMap;

/// One attempt of a host, with its run or image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAttempt {
    pub id: AttemptId,
    pub number: i64,
    /// The name of the attempt's outcome.
    pub outcome: Option<String>,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// The run of the attempt's job. `None` if the job built an image.
    pub run_id: Option<RunId>,
    pub project: Option<String>,
    pub image_id: Option<ImageId>,
    pub sha: String,
    pub label: Option<String>,
    pub branch: String,
    pub variant: String,
}

from_row!(
    HostAttempt, "attempt" by "id":
    id, number, outcome, started_at, finished_at, run_id, project, image_id, sha, label, branch, variant,
);

pub(super) const COLUMNS: &str =
    "attempt.id, attempt.number, attempt.outcome, attempt.started_at, attempt.finished_at, job.run_id,
    run.project, job.image_id, revision.sha, revision.label, branch.name AS branch,
    COALESCE(run.variant, image.variant) AS variant";

/// The tables that have these columns.
pub(super) const JOINED: &str = "attempt JOIN job ON job.id = attempt.job_id
    LEFT JOIN run ON run.id = job.run_id
    LEFT JOIN image ON image.id = job.image_id
    JOIN revision ON revision.id = COALESCE(run.revision_id, image.revision_id)
    JOIN branch ON branch.id = revision.branch_id";

impl Store {
    /// Returns the `most` newest attempts of a host, newest first.
    pub async fn host_history(&self, host: &HostId, most: i64) -> Result<Vec<HostAttempt>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {JOINED}
             WHERE attempt.host = $1 ORDER BY attempt.started_at DESC, attempt.id DESC LIMIT $2"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        Ok(query.bind(host).bind(most).fetch_all(self.pool()).await?)
    }

    /// Returns the names of all hosts by their ids.
    pub async fn host_names(&self) -> Result<BTreeMap<HostId, String>> {
        let names: Vec<(HostId, String)> = sqlx::query_as("SELECT id, name FROM host")
            .fetch_all(self.pool())
            .await?;
        Ok(names.into_iter().collect())
    }

    /// Returns how many jobs are leased to each host, by the host's id. Hosts without leased jobs are left out.
    pub async fn host_loads(&self) -> Result<BTreeMap<HostId, i64>> {
        let loads: Vec<(HostId, i64)> =
            sqlx::query_as("SELECT host, COUNT(*) FROM attempt WHERE state = 'leased' GROUP BY host")
                .fetch_all(self.pool())
                .await?;
        Ok(loads.into_iter().collect())
    }
}
