//! Runs: one project's suites on one revision's image, by one recipe.

use super::{Store, Tx, new_id};
use crate::domain::job::{JobSpec, Report};
use anyhow::Result;
use sqlx::FromRow;
use std::collections::BTreeSet;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    pub revision_id: String,
    pub project: String,
    pub variant: String,
    pub platform: String,
    pub recipe: String,
    pub image_id: Option<String>,
    pub skip_reason: Option<String>,
    pub created_at: i64,
}

/// A run to be.
pub struct NewRun<'a> {
    pub revision_id: &'a str,
    pub project: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
    pub recipe: &'a str,
    pub image_id: Option<&'a str>,
    pub skip_reason: Option<&'a str>,
}

impl Store {
    /// Adds a run; None if the revision already has it.
    pub async fn insert_run(&self, tx: &mut Tx, new: &NewRun<'_>, now: i64) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "INSERT INTO run (id, revision_id, project, variant, platform, recipe, image_id, skip_reason, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
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

    /// The same where an inquiry may have added it: with its own job it is news. None: it has one.
    pub async fn adopt_run(&self, tx: &mut Tx, new: &NewRun<'_>, now: i64) -> Result<Option<String>> {
        if let Some(id) = self.insert_run(tx, new, now).await? {
            return Ok(Some(id));
        }
        Ok(sqlx::query_scalar(
            "UPDATE run SET judged_at = NULL WHERE revision_id = $1 AND project = $2 AND variant = $3 AND platform = $4
                 AND recipe = $5 AND skip_reason IS NULL
                 AND NOT EXISTS (SELECT 1 FROM job WHERE job.run_id = run.id AND job.inquiry_id IS NULL)
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

    /// The run of a project on a check-in by a recipe, added if there is none: one that is there for inquiries alone is
    /// no news.
    pub async fn run_for(&self, tx: &mut Tx, new: &NewRun<'_>, now: i64) -> Result<String> {
        if let Some(id) = self.insert_run(tx, new, now).await? {
            let judged = sqlx::query("UPDATE run SET judged_at = $1 WHERE id = $2");
            judged.bind(now).bind(&id).execute(&mut **tx).await?;
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

    /// The versions that a run has installed by itself, not for an inquiry.
    pub async fn lock_of_run(&self, tx: &mut Tx, id: &str) -> Result<Option<String>> {
        let sql = "SELECT attempt.report FROM job JOIN attempt ON attempt.job_id = job.id
                   WHERE job.run_id = $1 AND job.inquiry_id IS NULL
                     AND attempt.outcome NOT IN ('infra', 'cancelled', 'recipe_error')
                   ORDER BY attempt.started_at, attempt.id LIMIT 1";
        let report: Option<Option<String>> = sqlx::query_scalar(sql).bind(id).fetch_optional(&mut **tx).await?;
        let report: Option<Report> = report.flatten().and_then(|text| serde_json::from_str(&text).ok());
        Ok(report.and_then(|report| report.lock))
    }

    /// What a project's run on a check-in is, as its first job said.
    pub async fn spec_on(
        &self,
        revision_id: &str,
        project: &str,
        variant: &str,
        recipe: &str,
    ) -> Result<Option<JobSpec>> {
        let sql = "SELECT job.spec FROM run JOIN job ON job.run_id = run.id AND job.inquiry_id IS NULL
                   WHERE run.revision_id = $1 AND run.project = $2 AND run.variant = $3 AND run.recipe = $4
                   ORDER BY job.created_at, job.id LIMIT 1";
        let spec: Option<String> = sqlx::query_scalar(sql)
            .bind(revision_id)
            .bind(project)
            .bind(variant)
            .bind(recipe)
            .fetch_optional(self.pool())
            .await?;
        Ok(spec.and_then(|spec| serde_json::from_str(&spec).ok()))
    }

    pub async fn run(&self, id: &str) -> Result<Option<Run>> {
        Ok(sqlx::query_as(
            "SELECT id, revision_id, project, variant, platform, recipe, image_id, skip_reason, created_at
             FROM run WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Digests of the recipes that a revision has runs of.
    pub async fn recipes_run(&self, revision_id: &str, variant: &str, platform: &str) -> Result<BTreeSet<String>> {
        let digests: Vec<String> =
            // one that is there for inquiries alone is none yet
            sqlx::query_scalar(
                "SELECT recipe FROM run WHERE revision_id = $1 AND variant = $2 AND platform = $3
                     AND (skip_reason IS NOT NULL OR EXISTS (
                         SELECT 1 FROM job WHERE job.run_id = run.id AND job.inquiry_id IS NULL))",
            )
                .bind(revision_id)
                .bind(variant)
                .bind(platform)
                .fetch_all(self.pool())
                .await?;
        Ok(digests.into_iter().collect())
    }
}
