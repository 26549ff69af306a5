//! Locks: the exact versions with which a recipe is run on a line of Python.

use super::{Store, Tx};
use anyhow::Result;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, FromRow};

/// What a lock is for.
#[derive(Clone, Copy, Debug)]
pub struct LockKey<'a> {
    /// Digest of the recipe.
    pub recipe: &'a str,
    /// `3.14`
    pub line: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
}

/// A lock that is to be refreshed.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct OldLock {
    pub recipe: String,
    pub line: String,
    pub variant: String,
    pub platform: String,
    pub project: String,
    /// The job that tries what is newer, and when the last one was asked for.
    pub refresh_job: Option<String>,
    pub refresh_at: Option<i64>,
}

impl OldLock {
    pub fn key(&self) -> LockKey<'_> {
        LockKey {
            recipe: &self.recipe,
            line: &self.line,
            variant: &self.variant,
            platform: &self.platform,
        }
    }
}

impl Store {
    /// JSON, as a run reports it.
    pub async fn kept_lock(&self, key: &LockKey<'_>) -> Result<Option<String>> {
        let sql = "SELECT text FROM kept_lock
                   WHERE recipe = $1 AND line = $2 AND variant = $3 AND platform = $4";
        Ok(sqlx::query_scalar(sql)
            .bind(key.recipe)
            .bind(key.line)
            .bind(key.variant)
            .bind(key.platform)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Keeps a lock, if there is none. False: there is one.
    pub async fn keep_lock(&self, key: &LockKey<'_>, text: &str, now: i64) -> Result<bool> {
        let _writer = self.writer().await;
        let kept = sqlx::query(
            "INSERT INTO kept_lock (recipe, line, variant, platform, text, since) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (recipe, line, variant, platform) DO NOTHING",
        )
        .bind(key.recipe)
        .bind(key.line)
        .bind(key.variant)
        .bind(key.platform)
        .bind(text)
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Those that were kept before a time, of recipes that are in force.
    pub async fn old_locks(&self, before: i64) -> Result<Vec<OldLock>> {
        let sql = "SELECT kept_lock.recipe, line, variant, platform, project.name AS project, refresh_job, refresh_at
                   FROM kept_lock JOIN project ON project.recipe = kept_lock.recipe
                   WHERE since <= $1 ORDER BY since, kept_lock.recipe, line, variant, platform";
        Ok(sqlx::query_as(sql).bind(before).fetch_all(self.pool()).await?)
    }

    /// Notes the job that tries what is newer, or that none does any more.
    pub async fn refreshes(&self, tx: &mut Tx, key: &LockKey<'_>, job: Option<&str>, now: i64) -> Result<()> {
        let update = sqlx::query(
            "UPDATE kept_lock SET refresh_job = $5, refresh_at = $6
             WHERE recipe = $1 AND line = $2 AND variant = $3 AND platform = $4",
        );
        of(update, key).bind(job).bind(now).execute(&mut **tx).await?;
        Ok(())
    }

    /// Keeps newer versions from now on.
    pub async fn refresh_lock(&self, tx: &mut Tx, key: &LockKey<'_>, text: &str, now: i64) -> Result<()> {
        let update = sqlx::query(
            "UPDATE kept_lock SET text = $5, since = $6, refresh_job = NULL
             WHERE recipe = $1 AND line = $2 AND variant = $3 AND platform = $4",
        );
        of(update, key).bind(text).bind(now).execute(&mut **tx).await?;
        Ok(())
    }

    /// The newest runs by a recipe that have ended, on check-ins that are on their branches: their ids.
    pub async fn newest_runs_by(&self, key: &LockKey<'_>, most: i64) -> Result<Vec<String>> {
        let sql = "SELECT run.id FROM run JOIN revision ON revision.id = run.revision_id
                   JOIN branch ON branch.id = revision.branch_id AND branch.watched = 1
                   WHERE run.recipe = $1 AND run.variant = $2 AND run.platform = $3 AND run.judged_at IS NOT NULL
                     AND revision.left_at IS NULL AND NOT EXISTS (
                         SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished' AND job.inquiry_id IS NULL)
                   ORDER BY revision.committed_at DESC, run.id DESC LIMIT $4";
        Ok(sqlx::query_scalar(sql)
            .bind(key.recipe)
            .bind(key.variant)
            .bind(key.platform)
            .bind(most)
            .fetch_all(self.pool())
            .await?)
    }

    /// The report of a job that has ended; the outer None: it has not.
    pub async fn end_of_job(&self, id: &str) -> Result<Option<Option<String>>> {
        let sql = "SELECT (SELECT report FROM attempt WHERE attempt.job_id = job.id ORDER BY number DESC LIMIT 1)
                   FROM job WHERE id = $1 AND state = 'finished'";
        Ok(sqlx::query_scalar(sql).bind(id).fetch_optional(self.pool()).await?)
    }
}

fn of<'q>(query: Query<'q, Any, AnyArguments>, key: &LockKey<'q>) -> Query<'q, Any, AnyArguments> {
    let query = query.bind(key.recipe).bind(key.line);
    query.bind(key.variant).bind(key.platform)
}
