//! Runs: one project's suites on one revision's image, by one recipe.

use super::rows::from_row;
use super::shared::{REPORT, SPEC};
use super::{Store, Tx, new_id};
use crate::domain::id::*;
use crate::domain::job::{JobSpec, Report};
use crate::domain::time::Timestamp;
use anyhow::Result;
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    pub revision_id: RevisionId,
    pub project: String,
    pub variant: String,
    pub platform: String,
    /// The digest of the recipe.
    pub recipe: String,
    pub image_id: Option<ImageId>,
    /// Why the recipe skips the project here, if it does.
    pub skip_reason: Option<String>,
    pub created_at: Timestamp,
    /// Whether the run only tries its recipe, so that its result is in no series.
    pub trial: bool,
}

from_row!(
    Run, "run" by "id":
    id, revision_id, project, variant, platform, recipe, image_id, skip_reason, created_at, trial,
);

/// A run to insert.
pub struct NewRun<'a> {
    pub revision_id: &'a RevisionId,
    pub project: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
    /// The digest of the recipe.
    pub recipe: &'a str,
    pub image_id: Option<&'a ImageId>,
    pub skip_reason: Option<&'a str>,
}

impl Store {
    /// Adds a run. Returns `None` if the revision already has it.
    pub async fn insert_run(&self, tx: &mut Tx, new: &NewRun<'_>, now: Timestamp) -> Result<Option<RunId>> {
        Ok(sqlx::query_scalar(
            "INSERT INTO run (id, revision_id, project, variant, platform, recipe, image_id, skip_reason, created_at, cell_attempts, cell_ended)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0)
             ON CONFLICT (revision_id, project, variant, platform, recipe) DO NOTHING RETURNING id",
        )
        .bind(new_id())
        .bind(new.revision_id)
        .bind(new.project)
        .bind(new.variant)
        .bind(new.platform)
        .bind(new.recipe)
        .bind(new.image_id)
        .bind(new.skip_reason)
        .bind(now)
        .fetch_optional(&mut **tx)
        .await?)
    }

    /// Returns a run that needs a job of its own, which is any job but a probe. Adds the run if there is none. Marks
    /// the run to be evaluated if an investigation has added it for its probes, or if it was withdrawn, and turns a
    /// trial into a run of its series. Returns `None` if the run already has its own job, or is skipped.
    pub async fn adopt_run(&self, tx: &mut Tx, new: &NewRun<'_>, now: Timestamp) -> Result<Option<RunId>> {
        if let Some(id) = self.insert_run(tx, new, now).await? {
            return Ok(Some(id));
        }
        // the run was a trial, and now its recipe is in force
        sqlx::query(
            "UPDATE run SET trial = 0, evaluated_at = NULL WHERE revision_id = $1 AND project = $2 AND variant = $3
                 AND platform = $4 AND recipe = $5 AND trial = 1",
        )
        .bind(new.revision_id)
        .bind(new.project)
        .bind(new.variant)
        .bind(new.platform)
        .bind(new.recipe)
        .execute(&mut **tx)
        .await?;
        Ok(sqlx::query_scalar(
            "UPDATE run SET evaluated_at = NULL, withdrawn = NULL WHERE revision_id = $1 AND project = $2 AND variant = $3 AND platform = $4
                 AND recipe = $5 AND skip_reason IS NULL
                 AND NOT EXISTS (SELECT 1 FROM job WHERE job.run_id = run.id AND job.investigation_id IS NULL
                     AND (run.withdrawn IS NULL OR job.state <> 'finished'))
             RETURNING id",
        )
        .bind(new.revision_id)
        .bind(new.project)
        .bind(new.variant)
        .bind(new.platform)
        .bind(new.recipe)
        .fetch_optional(&mut **tx)
        .await?)
    }

    /// Returns the run that tries a recipe, and whether it needs a job. Adds the run if there is none. A run that was
    /// not a trial becomes one, unless it needs no job: it has an attempt that was not cancelled, or a job that is not
    /// finished.
    pub async fn trial_run(&self, tx: &mut Tx, new: &NewRun<'_>, now: Timestamp) -> Result<(RunId, bool)> {
        let id = self.run_for(tx, new, now).await?;
        let is_new: Option<RunId> = sqlx::query_scalar(
            "UPDATE run SET trial = 1, evaluated_at = COALESCE(evaluated_at, $2) WHERE id = $1 AND NOT EXISTS (
                 SELECT 1 FROM job WHERE job.run_id = run.id AND job.investigation_id IS NULL
                   AND (job.state <> 'finished' OR EXISTS (
                       SELECT 1 FROM attempt WHERE attempt.job_id = job.id AND attempt.outcome <> 'cancelled'))) RETURNING id",
        )
        .bind(&id)
        .bind(now)
        .fetch_optional(&mut **tx)
        .await?;
        Ok((id, is_new.is_some()))
    }

    /// Returns the run to which an investigation adds its probes, for a project on a revision with a recipe. Adds the
    /// run if there is none. A run added here is marked as evaluated, so that its probes alone raise no suspicion.
    pub async fn run_for(&self, tx: &mut Tx, new: &NewRun<'_>, now: Timestamp) -> Result<RunId> {
        if let Some(id) = self.insert_run(tx, new, now).await? {
            let evaluated = sqlx::query("UPDATE run SET evaluated_at = $1 WHERE id = $2");
            evaluated.bind(now).bind(&id).execute(&mut **tx).await?;
            return Ok(id);
        }
        Ok(sqlx::query_scalar(
            "SELECT id FROM run WHERE revision_id = $1 AND project = $2 AND variant = $3 AND platform = $4 AND recipe = $5",
        )
        .bind(new.revision_id)
        .bind(new.project)
        .bind(new.variant)
        .bind(new.platform)
        .bind(new.recipe)
        .fetch_one(&mut **tx)
        .await?)
    }

    /// Returns the lock that the first attempt with a result at a run's own jobs installed, as JSON, even if it is
    /// unconfirmed. Returns `None` if there is none. Jobs of investigations are left out.
    pub async fn lock_of_run(&self, tx: &mut Tx, id: &RunId) -> Result<Option<String>> {
        let sql = format!(
            "SELECT {REPORT} FROM job JOIN attempt ON attempt.job_id = job.id
                   WHERE job.run_id = $1 AND job.investigation_id IS NULL
                     AND attempt.outcome NOT IN ('infra', 'cancelled', 'recipe_error')
                   ORDER BY attempt.started_at, attempt.id LIMIT 1"
        );
        let report: Option<Option<Report>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(report
            .flatten()
            .and_then(|report| report.lock.or(report.unconfirmed_lock)))
    }

    /// Returns the spec of the first job of a project's run on a revision, jobs of investigations aside. Fails if the
    /// spec can't be read.
    pub async fn spec_on(
        &self,
        revision_id: &RevisionId,
        project: &str,
        variant: &str,
        recipe: &str,
    ) -> Result<Option<JobSpec>> {
        let sql = format!(
            "SELECT {SPEC} FROM run JOIN job ON job.run_id = run.id AND job.investigation_id IS NULL
                   WHERE run.revision_id = $1 AND run.project = $2 AND run.variant = $3 AND run.recipe = $4
                   ORDER BY job.created_at, job.id LIMIT 1"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(revision_id)
            .bind(project)
            .bind(variant)
            .bind(recipe)
            .fetch_optional(self.pool())
            .await?)
    }

    pub async fn run(&self, id: &RunId) -> Result<Option<Run>> {
        Ok(sqlx::query_as(
            "SELECT id, revision_id, project, variant, platform, recipe, image_id, skip_reason, created_at, trial
             FROM run WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Returns the digests of the recipes of which a revision has runs. Trials, withdrawn runs, and runs that only have
    /// jobs of investigations do not count; skipped runs do.
    pub async fn recipes_run(
        &self,
        revision_id: &RevisionId,
        variant: &str,
        platform: &str,
    ) -> Result<BTreeSet<String>> {
        let digests: Vec<String> = sqlx::query_scalar(
            "SELECT recipe FROM run WHERE revision_id = $1 AND variant = $2 AND platform = $3 AND trial = 0
                 AND (skip_reason IS NOT NULL OR withdrawn IS NULL AND EXISTS (
                     SELECT 1 FROM job WHERE job.run_id = run.id AND job.investigation_id IS NULL))",
        )
        .bind(revision_id)
        .bind(variant)
        .bind(platform)
        .fetch_all(self.pool())
        .await?;
        Ok(digests.into_iter().collect())
    }
}
