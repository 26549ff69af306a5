//! Jobs: what waits, what is leased, what is done. Only [`crate::queue`] calls this.

use super::{Store, Tx, new_id};
use crate::domain::job::JobSpec;
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    pub image_id: Option<String>,
    pub run_id: Option<String>,
    pub state: String,
    pub spec: String,
}

/// Who wants a job.
#[derive(Clone, Copy, Debug)]
pub struct Taker<'a> {
    /// The host's id.
    pub host: &'a str,
    /// It may build images. One that may not does runs only, on images that it holds or can pull.
    pub builds: bool,
}

/// What a taker ($3, who may build: $2) can have at a time ($1).
const DUE: &str = "state = 'queued' AND not_before <= $1
    AND ($2 = 1 OR EXISTS (SELECT 1 FROM run JOIN image_on_host AS held ON held.image_id = run.image_id
                           WHERE run.id = job.run_id AND held.host = $3)
                OR EXISTS (SELECT 1 FROM run JOIN image ON image.id = run.image_id
                           WHERE run.id = job.run_id AND image.remote IS NOT NULL))";

/// What a job is for.
#[derive(Clone, Copy, Debug)]
pub enum For<'a> {
    Image(&'a str),
    Run(&'a str),
}

impl Store {
    pub async fn insert_job(&self, tx: &mut Tx, what: For<'_>, priority: i64, spec: &JobSpec, now: i64) -> Result<()> {
        let (kind, image_id, run_id) = match what {
            For::Image(id) => ("image", Some(id), None),
            For::Run(id) => ("run", None, Some(id)),
        };
        sqlx::query(
            "INSERT INTO job (id, kind, image_id, run_id, state, priority, not_before, created_at, spec)
             VALUES ($1, $2, $3, $4, 'queued', $5, $6, $6, $7)",
        )
        .bind(new_id())
        .bind(kind)
        .bind(image_id)
        .bind(run_id)
        .bind(priority)
        .bind(now)
        .bind(serde_json::to_string(spec)?)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Takes the most urgent job that waits and that the host may do. None: no work, or a lost race.
    pub async fn take_job(&self, tx: &mut Tx, taker: &Taker<'_>, now: i64) -> Result<Option<Job>> {
        let sql = format!(
            "UPDATE job SET state = 'leased'
             WHERE id = (SELECT id FROM job WHERE {DUE} ORDER BY priority DESC, created_at, id LIMIT 1)
               AND state = 'queued'
             RETURNING id, image_id, run_id, state, spec"
        );
        let job = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(now)
            .bind(i64::from(taker.builds))
            .bind(taker.host)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(job)
    }

    /// Whether a job waits that the host could take.
    pub async fn is_job_due(&self, taker: &Taker<'_>, now: i64) -> Result<bool> {
        let sql = format!("SELECT id FROM job WHERE {DUE} LIMIT 1");
        let due: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(now)
            .bind(i64::from(taker.builds))
            .bind(taker.host)
            .fetch_optional(self.pool())
            .await?;
        Ok(due.is_some())
    }

    pub async fn job(&self, tx: &mut Tx, id: &str) -> Result<Option<Job>> {
        let sql = "SELECT id, image_id, run_id, state, spec FROM job WHERE id = $1";
        Ok(sqlx::query_as(sql).bind(id).fetch_optional(&mut **tx).await?)
    }

    /// Gives a leased job back to the queue, or ends it. False: it was not leased.
    pub async fn release_job(&self, tx: &mut Tx, id: &str, again_at: Option<i64>) -> Result<bool> {
        let state = if again_at.is_some() { "queued" } else { "finished" };
        let moved = sqlx::query("UPDATE job SET state = $1, not_before = $2 WHERE id = $3 AND state = 'leased'")
            .bind(state)
            .bind(again_at.unwrap_or(0))
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Jobs that gave up on the machinery wait again; returns how many.
    pub async fn revive_jobs(&self, now: i64) -> Result<u64> {
        let moved = sqlx::query(
            "UPDATE job SET state = 'queued', not_before = $1 WHERE state = 'finished' AND id IN (
                 SELECT job_id FROM attempt AS last WHERE outcome = 'infra' AND number = (
                     SELECT MAX(number) FROM attempt WHERE job_id = last.job_id))",
        )
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(moved.rows_affected())
    }

    /// Jobs that are not finished: (waiting, in work).
    pub async fn open_jobs(&self) -> Result<(i64, i64)> {
        let ahead = self.ahead().await?;
        Ok((ahead.queued, ahead.leased))
    }

    /// What is left to do.
    pub async fn ahead(&self) -> Result<Ahead> {
        Ok(sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM branch WHERE watched = 1 AND checked_at IS NULL) AS unseen_branches,
                    (SELECT COUNT(*) FROM revision JOIN branch ON branch.id = revision.branch_id
                     WHERE branch.watched = 1 AND revision.left_at IS NULL AND revision.planned_at IS NULL
                       AND NOT EXISTS (SELECT 1 FROM revision_image JOIN image ON image.id = revision_image.image_id
                                       WHERE revision_image.revision_id = revision.id AND image.state = 'wanted')) AS unplanned,
                    (SELECT COUNT(*) FROM job WHERE state = 'queued') AS queued,
                    (SELECT COUNT(*) FROM job WHERE state = 'leased') AS leased",
        )
        .fetch_one(self.pool())
        .await?)
    }
}

/// Counts of what is left to do.
#[derive(Clone, Copy, Debug, FromRow, PartialEq, Eq)]
pub struct Ahead {
    pub unseen_branches: i64,
    /// Revisions that nobody has planned yet; those whose image is being built count as jobs.
    pub unplanned: i64,
    pub queued: i64,
    pub leased: i64,
}

impl Ahead {
    pub fn nothing(&self) -> bool {
        self.unseen_branches + self.unplanned + self.queued + self.leased == 0
    }
}
