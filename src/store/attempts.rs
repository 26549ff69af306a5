//! Attempts: one try at a job on one host, under a lease.

use super::{Store, Tx, new_id};
use crate::domain::job::Report;
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Attempt {
    pub id: String,
    pub job_id: String,
    pub number: i64,
    pub host: String,
    pub state: String,
    pub fence: String,
    pub lease_until: i64,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub outcome: Option<String>,
    pub exit_code: Option<i64>,
    /// [`Report`] as JSON.
    pub report: Option<String>,
    /// Truth value: the coordinator ended it, since its host had fallen silent.
    pub lost: i64,
    /// When its host brought a report all the same, too late to count.
    pub late_at: Option<i64>,
    /// That [`Report`] as JSON.
    pub late_report: Option<String>,
    /// Truth value: it is there to be compared with others; only where all attempts of one thing are listed.
    #[sqlx(default)]
    pub compares: i64,
}

const COLUMNS: &str = "id, job_id, number, host, state, fence, lease_until, started_at, finished_at, outcome, exit_code, report, \
                       lost, late_at, late_report";

/// Of all attempts of one thing, the place of the newest that is not there to be compared with others; else of the newest.
pub fn newest(attempts: &[Attempt]) -> Option<usize> {
    let own = attempts.iter().rposition(|attempt| attempt.compares == 0);
    own.or(attempts.len().checked_sub(1))
}

impl Attempt {
    pub fn report(&self) -> Option<Report> {
        serde_json::from_str(self.report.as_deref()?).ok()
    }

    pub fn late_report(&self) -> Option<Report> {
        serde_json::from_str(self.late_report.as_deref()?).ok()
    }

    /// Whether its host may still come back with it.
    pub fn is_lost(&self) -> bool {
        self.lost == 1 && self.late_report.is_none()
    }

    /// Whether its host may still write to its log.
    pub fn is_open(&self) -> bool {
        self.state == "leased" || self.is_lost()
    }

    /// Wall-clock seconds, once it has ended.
    pub fn seconds(&self) -> Option<f64> {
        Some((self.finished_at? - self.started_at) as f64 / 1000.0)
    }
}

impl Store {
    pub async fn insert_attempt(
        &self,
        tx: &mut Tx,
        job_id: &str,
        host: &str,
        lease_until: i64,
        now: i64,
    ) -> Result<Attempt> {
        let sql = format!(
            "INSERT INTO attempt (id, job_id, number, host, state, fence, lease_until, started_at)
             SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, 'leased', $4, $5, $6 FROM attempt WHERE job_id = $2
             RETURNING {COLUMNS}"
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

    pub async fn attempt(&self, id: &str) -> Result<Option<Attempt>> {
        let sql = format!("SELECT {COLUMNS} FROM attempt WHERE id = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Prolongs a lease; false if it is no longer this holder's.
    pub async fn renew_attempt(&self, id: &str, fence: &str, until: i64) -> Result<bool> {
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

    /// Ends a leased attempt; false if it had ended before. `lost`: its host has fallen silent.
    pub async fn end_attempt(&self, tx: &mut Tx, id: &str, report: &Report, lost: bool, now: i64) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE attempt SET state = 'finished', finished_at = $1, outcome = $2, exit_code = $3, report = $4, lost = $5
             WHERE id = $6 AND state = 'leased'",
        )
        .bind(now)
        .bind(report.outcome.name())
        .bind(report.outcome.exit_code())
        .bind(serde_json::to_string(report)?)
        .bind(i64::from(lost))
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Leases a lost attempt to its host again, as long as nobody else has taken its job. False: somebody has.
    pub async fn regain_attempt(&self, tx: &mut Tx, attempt: &Attempt, until: i64) -> Result<bool> {
        // the try that it cost is given back; a job that was ended for having been tried too often goes on
        let job = sqlx::query(
            "UPDATE job SET state = 'leased', tries = CASE WHEN tries > 0 THEN tries - 1 ELSE 0 END
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
                                exit_code = NULL, report = NULL
             WHERE id = $2 AND state = 'finished' AND lost = 1",
        )
        .bind(until)
        .bind(&attempt.id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Keeps what a host brought too late; false: there is something kept already.
    pub async fn keep_late(&self, tx: &mut Tx, id: &str, report: &Report, now: i64) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE attempt SET late_at = $1, late_report = $2 WHERE id = $3 AND lost = 1 AND late_report IS NULL",
        )
        .bind(now)
        .bind(serde_json::to_string(report)?)
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Whether the machinery of some host failed an earlier attempt at the job.
    pub async fn failed_before(&self, tx: &mut Tx, attempt: &Attempt) -> Result<bool> {
        let sql = "SELECT id FROM attempt WHERE job_id = $1 AND number < $2 AND outcome = 'infra' AND lost = 0 LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(&attempt.job_id)
            .bind(attempt.number)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(found.is_some())
    }

    /// Whether a host other than this one has done a job since a time.
    pub async fn others_do_well(&self, tx: &mut Tx, host: &str, since: i64) -> Result<bool> {
        let sql = "SELECT id FROM attempt WHERE host <> $1 AND started_at >= $2
                   AND outcome IS NOT NULL AND outcome NOT IN ('infra', 'cancelled') LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(host)
            .bind(since)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(found.is_some())
    }

    /// Lets every lease hold until a time.
    pub async fn prolong_leases(&self, until: i64) -> Result<u64> {
        let moved = sqlx::query("UPDATE attempt SET lease_until = $1 WHERE state = 'leased'")
            .bind(until)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected())
    }

    /// Attempts in work that a maintainer has asked to end.
    pub async fn unwanted_attempts(&self) -> Result<Vec<String>> {
        let sql = "SELECT attempt.id FROM job JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'leased'
                   WHERE job.wish IS NOT NULL AND job.state = 'leased' ORDER BY attempt.id";
        Ok(sqlx::query_scalar(sql).fetch_all(self.pool()).await?)
    }

    pub async fn expired_attempts(&self, now: i64) -> Result<Vec<Attempt>> {
        let sql = format!("SELECT {COLUMNS} FROM attempt WHERE state = 'leased' AND lease_until < $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(now);
        Ok(query.fetch_all(self.pool()).await?)
    }

    pub async fn leased_by(&self, host: &str) -> Result<Vec<Attempt>> {
        let sql = format!("SELECT {COLUMNS} FROM attempt WHERE state = 'leased' AND host = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(host);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// What a host has done or does, newest first.
    pub async fn attempts_by(&self, host: &str, most: i64) -> Result<Vec<Attempt>> {
        let sql = format!("SELECT {COLUMNS} FROM attempt WHERE host = $1 ORDER BY started_at DESC, id DESC LIMIT $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(host).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// All attempts at a run or at an image, in order.
    pub async fn attempts_of(&self, run_or_image: &str) -> Result<Vec<Attempt>> {
        let columns = COLUMNS
            .split(", ")
            .map(|column| format!("attempt.{column}"))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "SELECT {columns}, CASE WHEN job.inquiry_id IS NULL AND job.crossed = 0 THEN 0 ELSE 1 END AS compares FROM attempt JOIN job ON job.id = attempt.job_id
             WHERE job.run_id = $1 OR job.image_id = $1 ORDER BY attempt.started_at, attempt.number"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(run_or_image)
            .fetch_all(self.pool())
            .await?)
    }
}
