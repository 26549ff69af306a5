//! What is read to say what is new: the results of one project along a branch.

use super::{Store, Tx};
use anyhow::Result;
use sqlx::FromRow;

/// A run that nobody has looked at since its job ended.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Unjudged {
    pub id: String,
    pub branch_id: String,
    pub seq: i64,
    pub project: String,
    pub variant: String,
    pub platform: String,
    pub recipe: String,
}

/// A check-in, and one ended attempt of a project there; several rows where there were several.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct ResultRow {
    pub revision_id: String,
    pub seq: i64,
    pub run_id: String,
    /// Digest.
    pub recipe: String,
    pub attempt_id: String,
    pub finished_at: Option<i64>,
    pub report: Option<String>,
}

/// A check-in of a stretch, and what stands for it.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Step {
    pub revision_id: String,
    pub seq: i64,
    pub image_id: Option<String>,
    pub image_state: Option<String>,
    /// Why no image can be.
    pub reason: Option<String>,
    /// Of the job that makes the image: `queued` or `leased`.
    pub building: Option<String>,
    /// Attempts at making it.
    pub builds: i64,
    /// Those that failed, not by the machinery's fault.
    pub failures: i64,
    /// Truth value: a registry has it.
    pub pushed: i64,
}

/// Whose results: of a project on a branch, as a variant, on a platform.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub branch_id: &'a str,
    pub project: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
}

impl Unjudged {
    pub fn column(&self) -> Column<'_> {
        Column {
            branch_id: &self.branch_id,
            project: &self.project,
            variant: &self.variant,
            platform: &self.platform,
        }
    }
}

impl Store {
    /// Runs whose jobs have ended since they were looked at, oldest check-in first.
    pub async fn unjudged(&self, most: i64) -> Result<Vec<Unjudged>> {
        let sql = "SELECT run.id, revision.branch_id, revision.seq, run.project, run.variant, run.platform, run.recipe
                   FROM run JOIN revision ON revision.id = run.revision_id
                   WHERE run.judged_at IS NULL AND NOT EXISTS (
                       SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished' AND job.inquiry_id IS NULL)
                   ORDER BY revision.seq, run.id LIMIT $1";
        Ok(sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Notes that it was looked at what is new in a run.
    pub async fn run_judged(&self, id: &str, now: i64) -> Result<()> {
        let _writer = self.writer().await;
        sqlx::query("UPDATE run SET judged_at = $1 WHERE id = $2")
            .bind(now)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// A run has ended once more: it is to be looked at again.
    pub async fn run_is_news(&self, tx: &mut Tx, id: &str) -> Result<()> {
        sqlx::query("UPDATE run SET judged_at = NULL WHERE id = $1 AND judged_at IS NOT NULL")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// A project's results on a stretch of a branch are to be looked at again.
    pub async fn results_are_news(
        &self,
        tx: &mut Tx,
        column: &Column<'_>,
        places: std::ops::RangeInclusive<i64>,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE run SET judged_at = NULL WHERE project = $1 AND variant = $2 AND platform = $3
                 AND judged_at IS NOT NULL AND revision_id IN (
                     SELECT id FROM revision WHERE branch_id = $4 AND seq BETWEEN $5 AND $6 AND left_at IS NULL)",
        )
        .bind(column.project)
        .bind(column.variant)
        .bind(column.platform)
        .bind(column.branch_id)
        .bind(*places.start())
        .bind(*places.end())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// A project's results on a branch that were looked at since a time are to be looked at again, but for those that an
    /// inquiry asked for.
    pub async fn judged_since_are_news(&self, tx: &mut Tx, column: &Column<'_>, since: i64) -> Result<()> {
        sqlx::query(
            "UPDATE run SET judged_at = NULL WHERE project = $1 AND variant = $2 AND platform = $3
                 AND judged_at >= $5 AND EXISTS (
                     SELECT 1 FROM revision WHERE id = run.revision_id AND branch_id = $4 AND left_at IS NULL)
                 AND EXISTS (SELECT 1 FROM job WHERE job.run_id = run.id AND job.inquiry_id IS NULL)",
        )
        .bind(column.project)
        .bind(column.variant)
        .bind(column.platform)
        .bind(column.branch_id)
        .bind(since)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// What is known of a project on the newest `most` check-ins up to a place that it was run on, oldest first; with
    /// the versions that it has there.
    pub async fn results_up_to(&self, column: &Column<'_>, seq: i64, most: i64) -> Result<Vec<ResultRow>> {
        let sql = "WITH picked AS (
                       SELECT id, seq FROM revision WHERE branch_id = $1 AND seq <= $2 AND left_at IS NULL
                         AND EXISTS (SELECT 1 FROM run JOIN job ON job.run_id = run.id AND job.crossed = 0
                             JOIN attempt ON attempt.job_id = job.id
                                 AND attempt.outcome NOT IN ('infra', 'cancelled', 'skipped', 'recipe_error')
                             WHERE run.revision_id = revision.id AND run.project = $4 AND run.variant = $5
                               AND run.platform = $6)
                       ORDER BY seq DESC LIMIT $3)
                   SELECT picked.id AS revision_id, picked.seq, run.id AS run_id, run.recipe,
                          attempt.id AS attempt_id, attempt.finished_at, attempt.report
                   FROM picked
                   JOIN run ON run.revision_id = picked.id AND run.project = $4 AND run.variant = $5
                        AND run.platform = $6
                   JOIN job ON job.run_id = run.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'finished'
                   ORDER BY picked.seq, run.id, job.id, attempt.number";
        Ok(sqlx::query_as(sql)
            .bind(column.branch_id)
            .bind(seq)
            .bind(most)
            .bind(column.project)
            .bind(column.variant)
            .bind(column.platform)
            .fetch_all(self.pool())
            .await?)
    }

    /// Whether results are awaited on the check-ins before a place: so many of them.
    pub async fn awaits_before(&self, column: &Column<'_>, seq: i64, most: i64) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM revision
                   WHERE branch_id = $1 AND seq < $2 AND seq >= $3 AND left_at IS NULL
                     AND (planned_at IS NULL OR EXISTS (
                         SELECT 1 FROM run JOIN job ON job.run_id = run.id AND job.inquiry_id IS NULL
                         WHERE run.revision_id = revision.id AND run.project = $4 AND run.variant = $5
                           AND run.platform = $6 AND job.state <> 'finished'))";
        let awaited: i64 = sqlx::query_scalar(sql)
            .bind(column.branch_id)
            .bind(seq)
            .bind(seq - most)
            .bind(column.project)
            .bind(column.variant)
            .bind(column.platform)
            .fetch_one(self.pool())
            .await?;
        Ok(awaited > 0)
    }

    /// The next check-in after a place on which a project's code has passed or failed.
    pub async fn next_result(&self, column: &Column<'_>, seq: i64) -> Result<Option<i64>> {
        let sql = "SELECT MIN(revision.seq) FROM revision
                   JOIN run ON run.revision_id = revision.id AND run.project = $3 AND run.variant = $4
                        AND run.platform = $5 AND run.judged_at IS NOT NULL
                   JOIN job ON job.run_id = run.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id
                        AND attempt.outcome NOT IN ('infra', 'cancelled', 'skipped', 'recipe_error')
                   WHERE revision.branch_id = $1 AND revision.seq > $2 AND revision.left_at IS NULL";
        Ok(sqlx::query_scalar(sql)
            .bind(column.branch_id)
            .bind(seq)
            .bind(column.project)
            .bind(column.variant)
            .bind(column.platform)
            .fetch_one(self.pool())
            .await?)
    }

    /// The check-ins of a stretch of a branch, both ends included, oldest first.
    pub async fn steps(&self, column: &Column<'_>, (first, last): (i64, i64)) -> Result<Vec<Step>> {
        let sql = "SELECT revision.id AS revision_id, revision.seq, image.id AS image_id, image.state AS image_state,
                          standing.reason, building.state AS building,
                          (SELECT COUNT(*) FROM job JOIN attempt ON attempt.job_id = job.id
                              WHERE job.image_id = image.id) AS builds,
                          (SELECT COUNT(*) FROM job JOIN attempt ON attempt.job_id = job.id WHERE job.image_id = image.id
                              AND attempt.outcome NOT IN ('passed', 'infra', 'cancelled', 'recipe_error', 'skipped')) AS failures,
                          CASE WHEN image.remote IS NULL THEN 0 ELSE 1 END AS pushed
                   FROM revision
                   LEFT JOIN revision_image AS standing ON standing.revision_id = revision.id
                        AND standing.variant = $2 AND standing.platform = $3
                   LEFT JOIN image ON image.id = standing.image_id
                   LEFT JOIN job AS building ON building.image_id = image.id AND building.state <> 'finished'
                   WHERE revision.branch_id = $1 AND revision.seq BETWEEN $4 AND $5 AND revision.left_at IS NULL
                   ORDER BY revision.seq";
        Ok(sqlx::query_as(sql)
            .bind(column.branch_id)
            .bind(column.variant)
            .bind(column.platform)
            .bind(first)
            .bind(last)
            .fetch_all(self.pool())
            .await?)
    }
}
