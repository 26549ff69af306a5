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
}

const COLUMNS: &str =
    "id, job_id, number, host, state, fence, lease_until, started_at, finished_at, outcome, exit_code, report";

impl Attempt {
    pub fn report(&self) -> Option<Report> {
        serde_json::from_str(self.report.as_deref()?).ok()
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
        let moved =
            sqlx::query("UPDATE attempt SET lease_until = $1 WHERE id = $2 AND fence = $3 AND state = 'leased'")
                .bind(until)
                .bind(id)
                .bind(fence)
                .execute(self.pool())
                .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Ends a leased attempt; false if it had ended before.
    pub async fn end_attempt(&self, tx: &mut Tx, id: &str, report: &Report, now: i64) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE attempt SET state = 'finished', finished_at = $1, outcome = $2, exit_code = $3, report = $4
             WHERE id = $5 AND state = 'leased'",
        )
        .bind(now)
        .bind(report.outcome.name())
        .bind(report.outcome.exit_code())
        .bind(serde_json::to_string(report)?)
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
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
            "SELECT {columns} FROM attempt JOIN job ON job.id = attempt.job_id
             WHERE job.run_id = $1 OR job.image_id = $1 ORDER BY attempt.started_at, attempt.number"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(run_or_image)
            .fetch_all(self.pool())
            .await?)
    }
}
