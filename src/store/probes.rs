//! Probes: the jobs of an investigation, with the reports of their last attempts.

use super::Store;
use super::decode::RowOf;
use super::rows::BadRow;
use super::shared::REPORT;
use crate::domain::host::Labels;
use crate::domain::id::{AttemptId, HostId, ImageId, InvestigationId, JobId, RevisionId, RunId};
use crate::domain::job::Report;
use crate::domain::state::JobState;
use crate::domain::time::Timestamp;
use crate::verdict::LockSide;
use anyhow::Result;
use sqlx::FromRow;

/// A job of an investigation, with its last attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRow {
    pub job_id: JobId,
    pub run_id: RunId,
    pub revision_id: RevisionId,
    /// The image on which the job runs.
    pub image_id: ImageId,
    pub state: JobState,
    pub lock: LockSide,
    pub created_at: Timestamp,
    /// The labels that its host must have.
    pub labels: Labels,
    pub attempt: Option<ProbeAttempt>,
}

/// The last attempt at a job of an investigation.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeAttempt {
    pub id: AttemptId,
    /// The id of the host. It is empty if the job was cancelled before a host claimed it.
    pub host: HostId,
    pub finished_at: Option<Timestamp>,
    /// The report, or `None` until the attempt has ended.
    pub report: Option<Report>,
}

/// Returns the name under which the database stores the side of a lock.
pub fn lock_name(lock: LockSide) -> &'static str {
    match lock {
        LockSide::Base => "base",
        LockSide::Now => "now",
    }
}

#[derive(FromRow)]
struct StoredProbe {
    job_id: JobId,
    run_id: RunId,
    revision_id: RevisionId,
    image_id: ImageId,
    state: JobState,
    lock_of: String,
    created_at: Timestamp,
    labels: Labels,
    attempt_id: Option<AttemptId>,
    host: Option<HostId>,
    finished_at: Option<Timestamp>,
    report: Option<String>,
}

impl StoredProbe {
    fn decode(self) -> Result<ProbeRow, BadRow> {
        let row = RowOf {
            table: "job",
            id: self.job_id.as_str(),
        };
        let lock = row.named("lock_of", &self.lock_of, &[LockSide::Base, LockSide::Now], lock_name)?;
        let attempt = match self.attempt_id {
            Some(id) => {
                let row = RowOf {
                    table: "attempt",
                    id: id.as_str(),
                };
                let report = row.report(self.report.as_deref())?;
                Some(ProbeAttempt {
                    id,
                    host: self.host.unwrap_or_default(),
                    finished_at: self.finished_at,
                    report,
                })
            }
            None => None,
        };
        Ok(ProbeRow {
            state: self.state,
            lock,
            attempt,
            job_id: self.job_id,
            run_id: self.run_id,
            revision_id: self.revision_id,
            image_id: self.image_id,
            created_at: self.created_at,
            labels: self.labels,
        })
    }
}

impl Store {
    /// Returns the jobs of an investigation, oldest first, each with its last attempt.
    pub async fn probes(&self, investigation_id: &InvestigationId) -> Result<Vec<ProbeRow>> {
        let sql = format!(
            "SELECT job.id AS job_id, run.id AS run_id, run.revision_id, job.target_image_id AS image_id,
                          job.state, job.lock_of,
                          job.created_at, job_group.labels,
                          attempt.id AS attempt_id, attempt.host, attempt.finished_at, {REPORT} AS report
                   FROM job JOIN run ON run.id = job.run_id JOIN job_group ON job_group.id = job.group_id
                   LEFT JOIN attempt ON attempt.job_id = job.id AND attempt.number =
                       (SELECT MAX(number) FROM attempt AS last WHERE last.job_id = job.id)
                   WHERE job.investigation_id = $1 ORDER BY job.created_at, job.id"
        );
        let rows: Vec<StoredProbe> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(investigation_id.as_str())
            .fetch_all(self.pool())
            .await?;
        Ok(rows.into_iter().map(StoredProbe::decode).collect::<Result<_, _>>()?)
    }
}
