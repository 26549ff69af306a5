//! The first results of new hosts, and their repetitions on other hosts.

use super::rows::from_row;
use super::{Store, Tx};
use crate::domain::id::{AttemptId, HostId, JobId, RunId};
use crate::domain::state::Repetition;
use crate::domain::time::Timestamp;
use anyhow::Result;
use sqlx::{Any, Executor};

/// The condition on attempts that count as evidence: all but results of new hosts whose repetition is awaited, had
/// another result, or failed.
pub(super) const COUNTS: &str = "(attempt.repetition IS NULL OR attempt.repetition IN ('agreed', 'no_host'))";

/// Returns whether a result counts as evidence if its repetition has this state. [`COUNTS`] is the same rule in SQL.
pub fn counts(repetition: Repetition) -> bool {
    matches!(repetition, Repetition::Agreed | Repetition::NoHost)
}

/// A result of a new host that was to be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstResultRow {
    pub id: AttemptId,
    pub run_id: RunId,
    pub project: String,
    pub repetition: Repetition,
    /// The job that repeats the result.
    pub repeat_job_id: Option<JobId>,
}

from_row!(FirstResultRow, "attempt" by "id": id, run_id, project, repetition, repeat_job_id);

impl Store {
    /// Returns the results of a host that another host was to repeat, oldest first, at most `most`. Leaves out results
    /// that no other host could repeat.
    pub async fn first_results<'e>(
        &self,
        on: impl Executor<'e, Database = Any>,
        host: &HostId,
        most: i64,
    ) -> Result<Vec<FirstResultRow>> {
        let sql = "SELECT attempt.id, job.run_id, run.project, attempt.repetition, attempt.repeat_job_id
                   FROM attempt JOIN job ON job.id = attempt.job_id JOIN run ON run.id = job.run_id
                   WHERE attempt.host = $1 AND attempt.repetition <> 'no_host'
                   ORDER BY attempt.started_at, attempt.id LIMIT $2";
        Ok(sqlx::query_as(sql).bind(host).bind(most).fetch_all(on).await?)
    }

    /// Returns whether the host has a result that counts because no other host could repeat it.
    pub async fn counts_alone(&self, host: &HostId) -> Result<bool> {
        let sql = "SELECT id FROM attempt WHERE host = $1 AND repetition = 'no_host' LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql).bind(host).fetch_optional(self.pool()).await?;
        Ok(found.is_some())
    }

    /// Returns the awaited results whose repetition is queued, each with the job and the platform of the repetition.
    pub async fn queued_repetitions(&self) -> Result<Vec<(AttemptId, JobId, String)>> {
        let sql = "SELECT attempt.id, job.id, job_group.platform
                   FROM attempt JOIN job ON job.id = attempt.repeat_job_id JOIN job_group ON job_group.id = job.group_id
                   WHERE attempt.repetition = 'awaited' AND job.state = 'queued'";
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Records the state of the repetition of a new host's result. With `None`, the result counts like any other.
    pub async fn set_repetition(&self, tx: &mut Tx, id: &AttemptId, repetition: Option<Repetition>) -> Result<()> {
        sqlx::query("UPDATE attempt SET repetition = $1 WHERE id = $2")
            .bind(repetition)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Records which job repeats a result of a new host.
    pub async fn set_repeat_job(&self, tx: &mut Tx, id: &AttemptId, job: Option<&JobId>) -> Result<()> {
        sqlx::query("UPDATE attempt SET repeat_job_id = $1 WHERE id = $2")
            .bind(job)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Records that the results of a host count from now on without being repeated.
    pub async fn prove_host(&self, tx: &mut Tx, id: &HostId, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE host SET proven_at = $1 WHERE id = $2 AND proven_at IS NULL")
            .bind(now)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
