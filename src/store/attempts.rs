//! Attempts: one try at a job on one host, under a lease.

use super::rows::{BadRow, from_row};
use super::shared::{REPORT, Stored};
use super::types::Flag;
use super::{Store, Tx, new_id};
use crate::domain::id::*;
use crate::domain::job::{JobSpec, Report};
use crate::domain::state::{AttemptState, JobKind, Repetition};
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub id: AttemptId,
    pub job_id: JobId,
    /// Counted from 1 for each job.
    pub number: i64,
    /// The host. The id is empty for the attempt that records the cancellation of a queued job.
    pub host: HostId,
    pub state: AttemptState,
    pub fence: String,
    pub lease_until: Timestamp,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// The name of the report's outcome.
    pub outcome: Option<String>,
    pub exit_code: Option<i64>,
    /// The report; see [`Attempt::report`].
    pub report: Option<Result<Report, BadRow>>,
    /// Whether the coordinator ended the attempt because its host fell silent.
    pub lost: bool,
    /// When the host sent a report after another host had been given the job.
    pub late_at: Option<Timestamp>,
    /// The late report, which does not count; see [`Attempt::late_report`].
    pub late_report: Option<Result<Report, BadRow>>,
    /// The state of the repetition, if a new host had the result.
    pub repetition: Option<Repetition>,
    /// The job that repeats the result on another host.
    pub repeat_job_id: Option<JobId>,
    /// Whether the job of the attempt is a probe. Only [`Store::attempts_of`] reads this; attempts from other queries
    /// have `false`.
    pub is_probe: bool,
    /// The clock offset of the host when the attempt began, in milliseconds.
    pub clock_offset_ms: Option<i64>,
}

/// The columns of an [`Attempt`], of the table `attempt`, apart from `is_probe`.
fn columns() -> String {
    format!(
        "attempt.id, attempt.job_id, attempt.number, attempt.host, attempt.state, attempt.fence, attempt.lease_until,
         attempt.started_at, attempt.finished_at, attempt.outcome, attempt.exit_code, {REPORT} AS report, attempt.lost,
         attempt.late_at, attempt.late_report, attempt.repetition, attempt.repeat_job_id, attempt.clock_offset_ms"
    )
}

/// The column `is_probe` of queries that neither read the job nor need the column.
const NO_PROBE: &str = "0 AS is_probe";

from_row!(
    Attempt, "attempt" by "id":
    id, job_id, number, host, state, fence, lease_until, started_at, finished_at, outcome, exit_code, report, lost, late_at,
    late_report, repetition, repeat_job_id, is_probe, clock_offset_ms,
);

/// Returns the index of the newest attempt that is not a probe's or, if all are, of the newest one. `attempts` are in
/// order, oldest first. Returns `None` if there is no attempt.
pub fn newest(attempts: &[Attempt]) -> Option<usize> {
    let own = attempts.iter().rposition(|attempt| !attempt.is_probe);
    own.or(attempts.len().checked_sub(1))
}

impl Attempt {
    /// Returns the report. Returns `None` while the attempt runs, and if another version of Pybots wrote a report that
    /// can't be read. Then `outcome` still has the name of its outcome.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()?.as_ref().ok()
    }

    /// Returns the late report, as [`Attempt::report`] does.
    pub fn late_report(&self) -> Option<&Report> {
        self.late_report.as_ref()?.as_ref().ok()
    }

    /// Returns whether the host fell silent, and may still come back with a report.
    pub fn is_lost(&self) -> bool {
        self.lost && self.late_report.is_none()
    }

    /// Returns whether the host may still append to the log.
    pub fn is_open(&self) -> bool {
        self.state == AttemptState::Leased || self.is_lost()
    }

    /// Returns how long the attempt took, in seconds, or `None` while it runs.
    pub fn seconds(&self) -> Option<f64> {
        Some((self.finished_at? - self.started_at) as f64 / 1000.0)
    }
}

impl Store {
    /// Adds the next attempt at a job, leased to a host.
    pub async fn insert_attempt(
        &self,
        tx: &mut Tx,
        job_id: &JobId,
        host: &HostId,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Attempt> {
        let sql = format!(
            "INSERT INTO attempt (id, job_id, number, host, state, fence, lease_until, started_at, clock_offset_ms)
             SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, 'leased', $4, $5, $6,
                    (SELECT host.clock_offset_ms FROM host WHERE host.id = $3) FROM attempt WHERE job_id = $2
             RETURNING {columns}, {NO_PROBE}",
            columns = columns()
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(new_id())
            .bind(job_id)
            .bind(host)
            .bind(uuid::Uuid::new_v4().simple().to_string())
            .bind(lease_until)
            .bind(now)
            .fetch_one(&mut **tx)
            .await?)
    }

    pub async fn attempt(&self, id: &AttemptId) -> Result<Option<Attempt>> {
        let sql = format!(
            "SELECT {columns}, {NO_PROBE} FROM attempt WHERE id = $1",
            columns = columns()
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Returns the page to which an attempt belongs: `run` or `image`, and the id of that.
    pub async fn page_of_attempt(&self, id: &AttemptId) -> Result<Option<(JobKind, String)>> {
        let sql = "SELECT job.kind, COALESCE(job.run_id, job.image_id) FROM attempt JOIN job ON job.id = attempt.job_id
                   WHERE attempt.id = $1";
        Ok(sqlx::query_as(sql).bind(id).fetch_optional(self.pool()).await?)
    }

    /// Renews a lease. Returns `false` if the attempt has ended, or has another fence.
    pub async fn renew_attempt(&self, id: &AttemptId, fence: &str, until: Timestamp) -> Result<bool> {
        let _writer = self.writer().await;
        let moved =
            sqlx::query("UPDATE attempt SET lease_until = $1 WHERE id = $2 AND fence = $3 AND state = 'leased'")
                .bind(until)
                .bind(id)
                .bind(fence)
                .execute(self.pool())
                .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Ends a leased attempt. `lost` says that its host fell silent. Returns `false` if the attempt had ended before.
    pub async fn end_attempt(
        &self,
        tx: &mut Tx,
        id: &AttemptId,
        report: &Report,
        lost: bool,
        now: Timestamp,
    ) -> Result<bool> {
        let stored = Stored::report(report)?;
        let [images, lock] = self.share(tx, &stored).await?;
        let moved = sqlx::query(
            "UPDATE attempt SET state = 'finished', finished_at = $1, outcome = $2, exit_code = $3, report = $4, lost = $5,
                                report_images = $7, report_lock = $8
             WHERE id = $6 AND state = 'leased'",
        )
        .bind(now)
        .bind(report.outcome.name())
        .bind(report.outcome.exit_code())
        .bind(stored.own)
        .bind(Flag(lost))
        .bind(id)
        .bind(images)
        .bind(lock)
        .execute(&mut **tx)
        .await?;
        let has_moved = moved.rows_affected() == 1;
        if has_moved {
            let query = sqlx::query_scalar("SELECT job_id FROM attempt WHERE id = $1").bind(id);
            let job: JobId = query.fetch_one(&mut **tx).await?;
            if let Some(run) = self.run_of_job(tx, &job).await? {
                self.write_cell(tx, &run).await?;
            }
        }
        Ok(has_moved)
    }

    /// Leases a lost attempt to its host again, and no longer counts its loss against the job. Returns `false` if
    /// another attempt at the job has begun, or if the attempt is no longer lost.
    pub async fn regain_attempt(&self, tx: &mut Tx, attempt: &Attempt, until: Timestamp) -> Result<bool> {
        let run = self.run_of_job(tx, &attempt.job_id).await?;
        if let Some(run) = &run {
            self.lock_cell(tx, run).await?;
        }
        // the loss no longer counts as an attempt that the infrastructure failed; a job that it finished is leased again
        let job = sqlx::query(
            "UPDATE job SET state = 'leased', infra_attempts = CASE WHEN infra_attempts > 0 THEN infra_attempts - 1 ELSE 0 END
             WHERE id = $1 AND state <> 'leased' AND EXISTS (
                 SELECT 1 FROM attempt WHERE attempt.job_id = job.id AND attempt.number = $2 AND attempt.outcome = 'infra')
               AND NOT EXISTS (
                 SELECT 1 FROM attempt WHERE attempt.job_id = job.id AND attempt.number > $2)",
        )
        .bind(&attempt.job_id)
        .bind(attempt.number)
        .execute(&mut **tx)
        .await?;
        if job.rows_affected() == 0 {
            return Ok(false);
        }
        let moved = sqlx::query(
            "UPDATE attempt SET state = 'leased', lease_until = $1, lost = 0, finished_at = NULL, outcome = NULL,
                                exit_code = NULL, report = NULL, report_images = NULL,
                                report_lock = NULL
             WHERE id = $2 AND state = 'finished' AND lost = 1",
        )
        .bind(until)
        .bind(&attempt.id)
        .execute(&mut **tx)
        .await?;
        if let Some(run) = &run {
            self.write_cell(tx, run).await?;
        }
        Ok(moved.rows_affected() == 1)
    }

    /// Stores a report that came too late to count. Returns `false` if the attempt is not lost, or has such a report
    /// already.
    pub async fn keep_late(&self, tx: &mut Tx, id: &AttemptId, report: &Report, now: Timestamp) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE attempt SET late_at = $1, late_report = $2 WHERE id = $3 AND lost = 1 AND late_report IS NULL",
        )
        .bind(now)
        .bind(report)
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Returns whether an earlier attempt at the job ended as `infra`. Attempts whose host fell silent do not count.
    pub async fn failed_before(&self, tx: &mut Tx, attempt: &Attempt) -> Result<bool> {
        let sql = "SELECT id FROM attempt WHERE job_id = $1 AND number < $2 AND outcome = 'infra' AND lost = 0 LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(&attempt.job_id)
            .bind(attempt.number)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(found.is_some())
    }

    /// Returns whether another host began an attempt at or after `since` that has ended, neither as `infra` nor as
    /// `cancelled`.
    pub async fn others_do_well(&self, tx: &mut Tx, host: &HostId, since: Timestamp) -> Result<bool> {
        let sql = "SELECT id FROM attempt WHERE host <> $1 AND started_at >= $2
                   AND outcome IS NOT NULL AND outcome NOT IN ('infra', 'cancelled') LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(host)
            .bind(since)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(found.is_some())
    }

    /// Renews every lease. Returns how many leases there are.
    pub async fn prolong_leases(&self, until: Timestamp) -> Result<u64> {
        let moved = sqlx::query("UPDATE attempt SET lease_until = $1 WHERE state = 'leased'")
            .bind(until)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected())
    }

    /// Returns the leased attempts that a maintainer's request ends.
    pub async fn unwanted_attempts(&self) -> Result<Vec<AttemptId>> {
        let sql = "SELECT attempt.id FROM job JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'leased'
                   WHERE job.request IS NOT NULL AND job.state = 'leased' ORDER BY attempt.id";
        Ok(sqlx::query_scalar(sql).fetch_all(self.pool()).await?)
    }

    /// Returns the leased attempts whose lease has run out.
    pub async fn expired_attempts(&self, now: Timestamp) -> Result<Vec<Attempt>> {
        let sql = format!(
            "SELECT {columns}, {NO_PROBE} FROM attempt WHERE state = 'leased' AND lease_until < $1",
            columns = columns()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(now);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the leased attempts that began before a time, with the specs of their jobs.
    pub async fn leased_since(&self, before: Timestamp) -> Result<Vec<(Attempt, Result<JobSpec, BadRow>)>> {
        let sql = format!(
            "SELECT {columns}, {NO_PROBE} FROM attempt WHERE state = 'leased' AND started_at < $1",
            columns = columns()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(before);
        let attempts: Vec<Attempt> = query.fetch_all(self.pool()).await?;
        let mut leased = Vec::new();
        for attempt in attempts {
            let mut tx = self.begin().await?;
            let job = self.job(&mut tx, &attempt.job_id).await?;
            tx.rollback().await?;
            leased.extend(job.map(|job| (attempt, job.spec)));
        }
        Ok(leased)
    }

    pub async fn leased_by(&self, host: &HostId) -> Result<Vec<Attempt>> {
        let sql = format!(
            "SELECT {columns}, {NO_PROBE} FROM attempt WHERE state = 'leased' AND host = $1",
            columns = columns()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(host);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the `most` newest attempts of a host, newest first.
    pub async fn attempts_by(&self, host: &HostId, most: i64) -> Result<Vec<Attempt>> {
        let sql = format!(
            "SELECT {columns}, {NO_PROBE} FROM attempt WHERE host = $1 ORDER BY started_at DESC, id DESC LIMIT $2",
            columns = columns()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(host).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns all attempts at a job, oldest first.
    pub async fn attempts_at(&self, job: &JobId) -> Result<Vec<Attempt>> {
        let sql = format!(
            "SELECT {columns}, {NO_PROBE} FROM attempt WHERE job_id = $1 ORDER BY number",
            columns = columns()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(job);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns all attempts at a run or an image, given by its id, oldest first. Attempts of probes are included.
    pub async fn attempts_of(&self, run_or_image: &str) -> Result<Vec<Attempt>> {
        let sql = format!(
            "SELECT {columns}, CASE WHEN job.investigation_id IS NULL AND job.crossed = 0 THEN 0 ELSE 1 END AS is_probe
             FROM attempt JOIN job ON job.id = attempt.job_id
             WHERE job.id IN (SELECT id FROM job WHERE run_id = $1 UNION ALL SELECT id FROM job WHERE image_id = $1)
             ORDER BY attempt.started_at, attempt.number",
            columns = columns()
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(run_or_image)
            .fetch_all(self.pool())
            .await?)
    }
}
