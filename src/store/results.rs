//! The results of one project along a branch, which verdicts compare.

use super::decode::RowOf;
use super::events::EventKind;
use super::repetitions::COUNTS;
use super::rows::BadRow;
use super::shared::REPORT;
use super::{Store, Tx};
use crate::domain::id::{AttemptId, BranchId, ImageId, RevisionId, RunId};
use crate::domain::job::{Facts, Report};
use crate::domain::series::Series;
use crate::domain::time::Timestamp;
use anyhow::Result;
use sqlx::FromRow;

/// A run to be evaluated: its own jobs have ended, and no evaluation has taken their results into account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnevaluatedRun {
    pub id: RunId,
    pub series: Series,
    /// The position of the run's revision on the branch.
    pub seq: i64,
    /// The digest of the run's recipe.
    pub recipe: String,
    /// How many attempts at the run had ended when it was read.
    pub ended: i64,
}

/// One finished attempt at a run of a series. A revision has several rows if it has several attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultRow {
    pub revision_id: RevisionId,
    pub seq: i64,
    pub run_id: RunId,
    /// The digest of the recipe.
    pub recipe: String,
    pub attempt_id: AttemptId,
    /// Milliseconds UTC.
    pub finished_at: Option<Timestamp>,
    pub report: Option<Report>,
}

/// A revision of the range that an investigation searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub revision_id: RevisionId,
    pub seq: i64,
    pub image: CandidateImage,
    /// How many attempts were made to build the image.
    pub builds: i64,
    /// How many builds failed because of code.
    pub failures: i64,
    /// The facts that the image's interpreter reported, once the image is ready.
    pub facts: Option<Facts>,
}

/// The image of a candidate, as one variant on one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateImage {
    /// No image is planned yet.
    Unplanned,
    /// The revision can't be built, or must not be built.
    Impossible,
    /// The image waits for its build. `is_building` is true while a build is queued or under way.
    Wanted { id: ImageId, is_building: bool },
    /// The image is ready. `is_pushed` is true if a registry has it.
    Ready { id: ImageId, is_pushed: bool },
    /// The last build of the image failed. `is_building` is true while another build is queued or under way.
    Failed { id: ImageId, is_building: bool },
}

impl Candidate {
    /// Returns the id of the image, if one is planned.
    pub fn image_id(&self) -> Option<&ImageId> {
        match &self.image {
            CandidateImage::Unplanned | CandidateImage::Impossible => None,
            CandidateImage::Wanted { id, .. }
            | CandidateImage::Ready { id, .. }
            | CandidateImage::Failed { id, .. } => Some(id),
        }
    }
}

#[derive(FromRow)]
struct StoredRun {
    id: RunId,
    branch_id: BranchId,
    seq: i64,
    project: String,
    variant: String,
    platform: String,
    recipe: String,
    ended: i64,
}

#[derive(FromRow)]
struct StoredResult {
    revision_id: RevisionId,
    seq: i64,
    run_id: RunId,
    recipe: String,
    attempt_id: AttemptId,
    finished_at: Option<Timestamp>,
    report: Option<String>,
}

impl StoredResult {
    fn decode(self) -> Result<ResultRow, BadRow> {
        let row = RowOf {
            table: "attempt",
            id: self.attempt_id.as_str(),
        };
        Ok(ResultRow {
            report: row.report(self.report.as_deref())?,
            revision_id: self.revision_id,
            seq: self.seq,
            run_id: self.run_id,
            recipe: self.recipe,
            attempt_id: self.attempt_id,
            finished_at: self.finished_at,
        })
    }
}

#[derive(FromRow)]
struct StoredCandidate {
    revision_id: RevisionId,
    seq: i64,
    image_id: Option<ImageId>,
    image_state: Option<String>,
    reason: Option<String>,
    /// The state of the build's job, unless it has finished.
    building: Option<String>,
    builds: i64,
    failures: i64,
    pushed: i64,
    facts: Option<Facts>,
}

impl StoredCandidate {
    fn decode(self) -> Result<Candidate, BadRow> {
        let row = RowOf {
            table: "image",
            id: self.image_id.as_ref().map_or("", ImageId::as_str),
        };
        let is_building = self.building.is_some();
        let is_pushed = row.flag("remote", self.pushed)?;
        let state = self.image_state.as_deref().unwrap_or_default();
        let image = match self.image_id.clone() {
            None if self.reason.is_some() => CandidateImage::Impossible,
            None => CandidateImage::Unplanned,
            Some(id) => match row.named("state", state, &["wanted", "ready", "failed"], |name| name)? {
                "ready" => CandidateImage::Ready { id, is_pushed },
                "failed" => CandidateImage::Failed { id, is_building },
                _ => CandidateImage::Wanted { id, is_building },
            },
        };
        Ok(Candidate {
            revision_id: self.revision_id,
            seq: self.seq,
            image,
            builds: self.builds,
            failures: self.failures,
            facts: self.facts,
        })
    }
}

impl Store {
    /// Returns runs that must be evaluated, at most `most`, lowest `seq` first. Probes that have not ended do not delay
    /// a run.
    pub async fn unevaluated(&self, most: i64) -> Result<Vec<UnevaluatedRun>> {
        let sql = "SELECT run.id, revision.branch_id, revision.seq, run.project, run.variant, run.platform, run.recipe,
                          run.ended
                   FROM run JOIN revision ON revision.id = run.revision_id
                   WHERE run.evaluated_at IS NULL AND NOT EXISTS (
                       SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished' AND job.investigation_id IS NULL)
                   ORDER BY revision.seq, run.id LIMIT $1";
        let rows: Vec<StoredRun> = sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?;
        let run = |row: StoredRun| UnevaluatedRun {
            id: row.id,
            series: Series {
                branch_id: row.branch_id,
                project: row.project,
                variant: row.variant,
                platform: row.platform,
            },
            seq: row.seq,
            recipe: row.recipe,
            ended: row.ended,
        };
        Ok(rows.into_iter().map(run).collect())
    }

    /// Records that a run was evaluated, and, if its result `counts`, the event about it. Does nothing if another of its
    /// attempts has ended since it was read, because that attempt must be evaluated too.
    pub async fn mark_evaluated(&self, run: &UnevaluatedRun, counts: bool, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        let marked = sqlx::query("UPDATE run SET evaluated_at = $1 WHERE id = $2 AND ended = $3")
            .bind(now)
            .bind(run.id.as_str())
            .bind(run.ended)
            .execute(&mut *tx)
            .await?;
        if marked.rows_affected() == 1 && counts {
            let subject = (run.id.as_str(), run.ended);
            self.insert_event_of(&mut tx, EventKind::RunFinished, subject, now)
                .await?;
        }
        tx.commit().await
    }

    /// Marks a run to be evaluated again, because another of its attempts has ended. An evaluation that is under way
    /// does not take that attempt into account, so its mark will not count. A trial is never marked.
    pub async fn reevaluate_run(&self, tx: &mut Tx, id: &RunId) -> Result<()> {
        sqlx::query(
            "UPDATE run SET evaluated_at = CASE WHEN trial = 1 THEN evaluated_at END, ended = ended + 1,
                            cell_ended = cell_ended + 1
             WHERE id = $1",
        )
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Marks the evaluated runs of a series to be evaluated again whose revisions have a `seq` in the range. Trials are
    /// left out.
    pub async fn reevaluate_results(
        &self,
        tx: &mut Tx,
        series: &Series,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE run SET evaluated_at = NULL WHERE project = $1 AND variant = $2 AND platform = $3
                 AND evaluated_at IS NOT NULL AND trial = 0 AND revision_id IN (
                     SELECT id FROM revision WHERE branch_id = $4 AND seq BETWEEN $5 AND $6 AND left_at IS NULL)",
        )
        .bind(&series.project)
        .bind(&series.variant)
        .bind(&series.platform)
        .bind(series.branch_id.as_str())
        .bind(*range.start())
        .bind(*range.end())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Marks the runs of a series to be evaluated again that were evaluated at or after `since`. Trials, and runs that
    /// only have jobs of investigations, are left out.
    pub async fn reevaluate_since(&self, tx: &mut Tx, series: &Series, since: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE run SET evaluated_at = NULL WHERE project = $1 AND variant = $2 AND platform = $3
                 AND evaluated_at >= $5 AND trial = 0 AND EXISTS (
                     SELECT 1 FROM revision WHERE id = run.revision_id AND branch_id = $4 AND left_at IS NULL)
                 AND EXISTS (SELECT 1 FROM job WHERE job.run_id = run.id AND job.investigation_id IS NULL)",
        )
        .bind(&series.project)
        .bind(&series.variant)
        .bind(&series.platform)
        .bind(series.branch_id.as_str())
        .bind(since)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Returns all finished attempts of a series at the newest `most` revisions up to `seq` that have a valid result,
    /// oldest revision first. Leaves out trials, crossed reruns, and results of new hosts that do not count
    /// (`repetitions::COUNTS`).
    pub async fn results_up_to(&self, series: &Series, seq: i64, most: i64) -> Result<Vec<ResultRow>> {
        let sql = format!(
            "WITH picked AS (
                       SELECT id, seq FROM revision WHERE branch_id = $1 AND seq <= $2 AND left_at IS NULL
                         AND EXISTS (SELECT 1 FROM run JOIN job ON job.run_id = run.id AND job.crossed = 0
                             JOIN attempt ON attempt.job_id = job.id
                                 AND attempt.outcome NOT IN ('infra', 'cancelled', 'skipped', 'recipe_error') AND {COUNTS}
                             WHERE run.revision_id = revision.id AND run.project = $4 AND run.variant = $5
                               AND run.platform = $6 AND run.trial = 0)
                       ORDER BY seq DESC LIMIT $3)
                   SELECT picked.id AS revision_id, picked.seq, run.id AS run_id, run.recipe,
                          attempt.id AS attempt_id, attempt.finished_at, {REPORT} AS report
                   FROM picked
                   JOIN run ON run.revision_id = picked.id AND run.project = $4 AND run.variant = $5
                        AND run.platform = $6 AND run.trial = 0
                   JOIN job ON job.run_id = run.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'finished' AND {COUNTS}
                   ORDER BY picked.seq, run.id, job.id, attempt.number"
        );
        let rows: Vec<StoredResult> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(series.branch_id.as_str())
            .bind(seq)
            .bind(most)
            .bind(&series.project)
            .bind(&series.variant)
            .bind(&series.platform)
            .fetch_all(self.pool())
            .await?;
        Ok(rows.into_iter().map(StoredResult::decode).collect::<Result<_, _>>()?)
    }

    /// Returns whether one of the `most` revisions before `seq` is not planned yet, or has a run of the series that has
    /// not ended.
    pub async fn awaits_before(&self, series: &Series, seq: i64, most: i64) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM revision
                   WHERE branch_id = $1 AND seq < $2 AND seq >= $3 AND left_at IS NULL
                     AND (planned_at IS NULL OR EXISTS (
                         SELECT 1 FROM run JOIN job ON job.run_id = run.id AND job.investigation_id IS NULL
                         WHERE run.revision_id = revision.id AND run.project = $4 AND run.variant = $5
                           AND run.platform = $6 AND run.trial = 0 AND job.state <> 'finished'))";
        let awaited: i64 = sqlx::query_scalar(sql)
            .bind(series.branch_id.as_str())
            .bind(seq)
            .bind(seq - most)
            .bind(&series.project)
            .bind(&series.variant)
            .bind(&series.platform)
            .fetch_one(self.pool())
            .await?;
        Ok(awaited > 0)
    }

    /// Returns the `seq` of the next revision after `seq` with a valid and evaluated result.
    pub async fn next_result(&self, series: &Series, seq: i64) -> Result<Option<i64>> {
        let sql = format!(
            "SELECT MIN(revision.seq) FROM revision
                   JOIN run ON run.revision_id = revision.id AND run.project = $3 AND run.variant = $4
                        AND run.platform = $5 AND run.trial = 0 AND run.evaluated_at IS NOT NULL
                   JOIN job ON job.run_id = run.id AND job.crossed = 0
                   JOIN attempt ON attempt.job_id = job.id
                        AND attempt.outcome NOT IN ('infra', 'cancelled', 'skipped', 'recipe_error') AND {COUNTS}
                   WHERE revision.branch_id = $1 AND revision.seq > $2 AND revision.left_at IS NULL"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(series.branch_id.as_str())
            .bind(seq)
            .bind(&series.project)
            .bind(&series.variant)
            .bind(&series.platform)
            .fetch_one(self.pool())
            .await?)
    }

    /// Returns the revisions of a branch from `first` to `last`, both included, oldest first.
    pub async fn candidates(&self, series: &Series, (first, last): (i64, i64)) -> Result<Vec<Candidate>> {
        let sql = "SELECT revision.id AS revision_id, revision.seq, image.id AS image_id, image.state AS image_state,
                          planned.reason, building.state AS building,
                          (SELECT COUNT(*) FROM job JOIN attempt ON attempt.job_id = job.id
                              WHERE job.image_id = image.id) AS builds,
                          (SELECT COUNT(*) FROM job JOIN attempt ON attempt.job_id = job.id WHERE job.image_id = image.id
                              AND attempt.outcome NOT IN ('passed', 'infra', 'cancelled', 'recipe_error', 'skipped')) AS failures,
                          CASE WHEN image.remote IS NULL THEN 0 ELSE 1 END AS pushed,
                          image.facts
                   FROM revision
                   LEFT JOIN revision_image AS planned ON planned.revision_id = revision.id
                        AND planned.variant = $2 AND planned.platform = $3
                   LEFT JOIN image ON image.id = planned.image_id
                   LEFT JOIN job AS building ON building.image_id = image.id AND building.state <> 'finished'
                   WHERE revision.branch_id = $1 AND revision.seq BETWEEN $4 AND $5 AND revision.left_at IS NULL
                   ORDER BY revision.seq";
        let rows: Vec<StoredCandidate> = sqlx::query_as(sql)
            .bind(series.branch_id.as_str())
            .bind(&series.variant)
            .bind(&series.platform)
            .bind(first)
            .bind(last)
            .fetch_all(self.pool())
            .await?;
        Ok(rows
            .into_iter()
            .map(StoredCandidate::decode)
            .collect::<Result<_, _>>()?)
    }
}
