//! Pinned locks: the exact versions with which all runs of a recipe on one version of Python are made.

use super::decode::RowOf;
use super::jobs::{self, Job};
use super::shared::REPORT;
use super::{Store, Tx};
use crate::domain::id::{HostId, JobId, RunId};
use crate::domain::job::Report;
use crate::domain::time::Timestamp;
use anyhow::Result;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, FromRow};

/// The most jobs that [`Store::refreshes`] returns.
const REFRESHES_MOST: usize = 20;

/// The runs for which a lock is pinned.
#[derive(Clone, Copy, Debug)]
pub struct LockKey<'a> {
    /// The digest of the recipe.
    pub recipe: &'a str,
    /// The version of Python, such as `3.14`.
    pub python: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
}

/// A pinned lock that is due for newer versions.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct StaleLock {
    pub recipe: String,
    pub python: String,
    pub variant: String,
    pub platform: String,
    pub project: String,
    /// The job that tries newer versions.
    pub refresh_job: Option<JobId>,
    /// When the last such job was scheduled, in milliseconds UTC.
    pub refresh_at: Option<Timestamp>,
}

impl StaleLock {
    pub fn key(&self) -> LockKey<'_> {
        LockKey {
            recipe: &self.recipe,
            python: &self.python,
            variant: &self.variant,
            platform: &self.platform,
        }
    }
}

/// The end of a job, if it has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEnd {
    /// The job is queued or leased, or there is no such job.
    Pending,
    Reported(Box<Report>),
    /// The job ended without a report.
    Unreported,
}

impl Store {
    /// Returns the pinned lock, as the JSON that a run reported, or `None` if none is pinned yet.
    pub async fn pinned_lock(&self, tx: &mut Tx, key: &LockKey<'_>) -> Result<Option<String>> {
        let sql = "SELECT text FROM pinned_lock
                   WHERE recipe = $1 AND python = $2 AND variant = $3 AND platform = $4";
        Ok(sqlx::query_scalar(sql)
            .bind(key.recipe)
            .bind(key.python)
            .bind(key.variant)
            .bind(key.platform)
            .fetch_optional(&mut **tx)
            .await?)
    }

    /// Pins a lock unless another one is pinned already. Returns whether it was pinned.
    pub async fn pin_lock(&self, key: &LockKey<'_>, text: &str, now: Timestamp) -> Result<bool> {
        let _writer = self.writer().await;
        let pinned = sqlx::query(
            "INSERT INTO pinned_lock (recipe, python, variant, platform, text, pinned_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (recipe, python, variant, platform) DO NOTHING",
        )
        .bind(key.recipe)
        .bind(key.python)
        .bind(key.variant)
        .bind(key.platform)
        .bind(text)
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(pinned.rows_affected() == 1)
    }

    /// Returns the locks that were pinned at or before a time, oldest first, of recipes that are in force, or were when
    /// their project was removed.
    pub async fn stale_locks(&self, before: Timestamp) -> Result<Vec<StaleLock>> {
        let sql =
            "SELECT pinned_lock.recipe, python, variant, platform, project.name AS project, refresh_job, refresh_at
                   FROM pinned_lock JOIN project ON project.recipe = pinned_lock.recipe
                   WHERE pinned_at <= $1 AND project.registered = 1
                   ORDER BY pinned_at, pinned_lock.recipe, python, variant, platform";
        Ok(sqlx::query_as(sql).bind(before).fetch_all(self.pool()).await?)
    }

    /// Makes a pinned lock due for newer versions now, if it still is `text`. It becomes due even if newer versions
    /// were tried a short time ago. Returns `false` if this was done before, or another lock is pinned.
    pub async fn expire_lock(&self, key: &LockKey<'_>, text: &str) -> Result<bool> {
        let update = sqlx::query(
            "UPDATE pinned_lock SET pinned_at = 0, refresh_at = CASE WHEN refresh_job IS NULL THEN NULL ELSE refresh_at END
             WHERE recipe = $1 AND python = $2 AND variant = $3 AND platform = $4 AND pinned_at > 0 AND text = $5",
        );
        let _writer = self.writer().await;
        Ok(of(update, key).bind(text).execute(self.pool()).await?.rows_affected() == 1)
    }

    /// Records the job that tries newer versions, or `None` when that job has ended. `at` is the time at which it was
    /// scheduled.
    pub async fn note_refresh(&self, tx: &mut Tx, key: &LockKey<'_>, job: Option<&JobId>, at: Timestamp) -> Result<()> {
        let update = sqlx::query(
            "UPDATE pinned_lock SET refresh_job = $5, refresh_at = $6
             WHERE recipe = $1 AND python = $2 AND variant = $3 AND platform = $4",
        );
        of(update, key).bind(job).bind(at).execute(&mut **tx).await?;
        Ok(())
    }

    /// Replaces a pinned lock by a newer one.
    pub async fn refresh_lock(&self, tx: &mut Tx, key: &LockKey<'_>, text: &str, now: Timestamp) -> Result<()> {
        let update = sqlx::query(
            "UPDATE pinned_lock SET text = $5, pinned_at = $6, refresh_job = NULL, refresh_at = NULL
             WHERE recipe = $1 AND python = $2 AND variant = $3 AND platform = $4",
        );
        of(update, key).bind(text).bind(now).execute(&mut **tx).await?;
        Ok(())
    }

    /// Returns the jobs that tried newer versions for a recipe and were scheduled between two times, oldest first, at most
    /// [`REFRESHES_MOST`]. Includes jobs for other versions of Python than that of the key.
    pub async fn refreshes(&self, key: &LockKey<'_>, from: Timestamp, until: Timestamp) -> Result<Vec<Job>> {
        let sql = format!(
            "SELECT {} FROM job
             WHERE lock_of = 'now' AND investigation_id IS NULL AND created_at >= $4 AND created_at <= $5
               AND EXISTS (SELECT 1 FROM run WHERE run.id = job.run_id AND recipe = $1 AND variant = $2 AND platform = $3)
             ORDER BY created_at, id LIMIT {REFRESHES_MOST}",
            jobs::columns()
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(key.recipe)
            .bind(key.variant)
            .bind(key.platform)
            .bind(from)
            .bind(until)
            .fetch_all(self.pool())
            .await?)
    }

    /// Returns the ids of the newest evaluated runs of a recipe on watched branches, newest revision first, at most
    /// `most`. Runs on all versions of Python are included, whatever `key.python` is; trials and runs with an open job
    /// of their own are not.
    pub async fn newest_runs_by(&self, key: &LockKey<'_>, most: i64) -> Result<Vec<RunId>> {
        let sql = "SELECT run.id FROM run JOIN revision ON revision.id = run.revision_id
                   JOIN branch ON branch.id = revision.branch_id AND branch.watched = 1
                   WHERE run.recipe = $1 AND run.variant = $2 AND run.platform = $3 AND run.trial = 0 AND run.evaluated_at IS NOT NULL
                     AND revision.left_at IS NULL AND NOT EXISTS (
                         SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished' AND job.investigation_id IS NULL)
                   ORDER BY revision.listed_at DESC, run.id DESC LIMIT $4";
        Ok(sqlx::query_scalar(sql)
            .bind(key.recipe)
            .bind(key.variant)
            .bind(key.platform)
            .bind(most)
            .fetch_all(self.pool())
            .await?)
    }

    /// Returns the newest reports about runs of a recipe, with their hosts, at most `most`. All jobs of the runs are
    /// included, on all versions of Python, whatever `key.python` is. Reports that can't be read are left out.
    pub async fn reports_by(&self, key: &LockKey<'_>, most: i64) -> Result<Vec<(HostId, Report)>> {
        let sql = format!("SELECT attempt.host, {REPORT} FROM run
                   JOIN job ON job.run_id = run.id JOIN attempt ON attempt.job_id = job.id AND attempt.report IS NOT NULL
                   WHERE run.recipe = $1 AND run.variant = $2 AND run.platform = $3
                   ORDER BY attempt.started_at DESC, attempt.id DESC LIMIT $4");
        let rows: Vec<(HostId, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(key.recipe)
            .bind(key.variant)
            .bind(key.platform)
            .bind(most)
            .fetch_all(self.pool())
            .await?;
        let read = |(host, text): (HostId, String)| Some((host, serde_json::from_str(&text).ok()?));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Returns whether a job has ended, and the report of its last attempt. Fails if the report can't be read.
    pub async fn end_of_job(&self, id: &JobId) -> Result<JobEnd> {
        let sql = format!(
            "SELECT attempt.id, {REPORT} FROM job LEFT JOIN attempt ON attempt.job_id = job.id
                   WHERE job.id = $1 AND job.state = 'finished' ORDER BY attempt.number DESC LIMIT 1"
        );
        let ended: Option<(Option<String>, Option<String>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?;
        let Some((attempt, report)) = ended else {
            return Ok(JobEnd::Pending);
        };
        let row = RowOf {
            table: "attempt",
            id: attempt.as_deref().unwrap_or_default(),
        };
        Ok(match row.report(report.as_deref())? {
            Some(report) => JobEnd::Reported(Box::new(report)),
            None => JobEnd::Unreported,
        })
    }
}

fn of<'q>(query: Query<'q, Any, AnyArguments>, key: &LockKey<'q>) -> Query<'q, Any, AnyArguments> {
    let query = query.bind(key.recipe).bind(key.python);
    query.bind(key.variant).bind(key.platform)
}
