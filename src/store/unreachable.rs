//! Sources that do not answer, and the waits of jobs for them.

use super::claims::parameters;
use super::{Store, Tx};
use crate::domain::time::Timestamp;
use anyhow::Result;

impl Store {
    /// Records that a source did not answer. `wait_ms` returns for how long jobs wait after a number of failures, in
    /// milliseconds. Returns the time until which they wait. Attempts that fail during a wait began before it, so they
    /// do not prolong it.
    pub async fn source_failed(
        &self,
        tx: &mut Tx,
        address: &str,
        wait_ms: fn(i64) -> i64,
        now: Timestamp,
    ) -> Result<Timestamp> {
        let sql = "SELECT failures, until FROM unreachable_source WHERE address = $1";
        let before: Option<(i64, i64)> = sqlx::query_as(sql).bind(address).fetch_optional(&mut **tx).await?;
        let failures = match before {
            Some((_, until)) if now.as_millis() < until => return Ok(Timestamp::from_millis(until)),
            Some((failures, _)) => failures + 1,
            None => 1,
        };
        let until = now + wait_ms(failures);
        sqlx::query(
            "INSERT INTO unreachable_source (address, failures, until) VALUES ($1, $2, $3)
             ON CONFLICT (address) DO UPDATE SET failures = excluded.failures, until = excluded.until",
        )
        .bind(address)
        .bind(failures)
        .bind(until)
        .execute(&mut **tx)
        .await?;
        Ok(until)
    }

    /// Shortens the waits for sources that end after a time. Such waits were set by a clock that was ahead.
    pub async fn shorten_source_waits(&self, most: Timestamp) -> Result<()> {
        sqlx::query("UPDATE unreachable_source SET until = $1 WHERE until > $1")
            .bind(most)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Records that sources answered. Returns whether one of them had not answered before.
    pub async fn sources_answered(&self, tx: &mut Tx, addresses: &[String]) -> Result<bool> {
        if addresses.is_empty() {
            return Ok(false);
        }
        let among = parameters(1, addresses.len());
        let sql = format!("DELETE FROM unreachable_source WHERE address IN ({among})");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for address in addresses {
            query = query.bind(address);
        }
        Ok(query.execute(&mut **tx).await?.rows_affected() > 0)
    }

    /// Returns the latest time until which jobs wait for one of these sources, which may have passed. Returns `None` if
    /// all sources answered when they were last asked.
    pub async fn sources_until(&self, tx: &mut Tx, addresses: &[String]) -> Result<Option<Timestamp>> {
        if addresses.is_empty() {
            return Ok(None);
        }
        let among = parameters(1, addresses.len());
        let sql = format!("SELECT MAX(until) FROM unreachable_source WHERE address IN ({among})");
        let mut query = sqlx::query_scalar::<_, Option<i64>>(sqlx::AssertSqlSafe(sql));
        for address in addresses {
            query = query.bind(address);
        }
        Ok(query.fetch_one(&mut **tx).await?.map(Timestamp::from_millis))
    }

    /// Makes the queued jobs of a project wait until a time, unless they already wait longer.
    pub async fn put_off_project(&self, tx: &mut Tx, project: &str, until: Timestamp) -> Result<()> {
        let sql = "UPDATE job SET not_before = $1 WHERE state = 'queued' AND not_before < $1
                   AND group_id IN (SELECT id FROM job_group WHERE project = $2)";
        sqlx::query(sql).bind(until).bind(project).execute(&mut **tx).await?;
        Ok(())
    }

    /// Ends the waits of a project's queued jobs for its sources. A job that failed in the infrastructure before waits at
    /// most `retry_ms(failures)` milliseconds from `now`.
    pub async fn hasten_project(
        &self,
        tx: &mut Tx,
        project: &str,
        retry_ms: fn(i64) -> i64,
        now: Timestamp,
    ) -> Result<()> {
        let waiting =
            "state = 'queued' AND not_before > $1 AND group_id IN (SELECT id FROM job_group WHERE project = $2)";
        let sql = format!("SELECT DISTINCT infra_attempts FROM job WHERE {waiting}");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(now).bind(project);
        let failures: Vec<i64> = query.fetch_all(&mut **tx).await?;
        let sql = format!("UPDATE job SET not_before = $1 WHERE {waiting} AND infra_attempts = $3");
        for failures in failures {
            let query = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(now + retry_ms(failures));
            query.bind(project).bind(failures).execute(&mut **tx).await?;
        }
        Ok(())
    }
}
