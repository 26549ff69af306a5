//! Runs: one project's suites on one revision's image, by one recipe.

use super::{Store, Tx, new_id};
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
            sqlx::query_scalar("SELECT recipe FROM run WHERE revision_id = $1 AND variant = $2 AND platform = $3")
                .bind(revision_id)
                .bind(variant)
                .bind(platform)
                .fetch_all(self.pool())
                .await?;
        Ok(digests.into_iter().collect())
    }
}
