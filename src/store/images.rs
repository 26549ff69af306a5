//! Images by build key, and which revision each stands for.

use super::{Store, Tx, new_id};
use crate::domain::job::BuiltImage;
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub build_key: String,
    /// The revision that it was built from.
    pub revision_id: String,
    pub variant: String,
    pub platform: String,
    pub state: String,
    pub reference: Option<String>,
    pub digest: Option<String>,
    pub size: Option<i64>,
    /// [`crate::domain::job::Facts`] as JSON.
    pub facts: Option<String>,
}

/// What stands for a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Image(Box<Image>),
    /// Nothing can be built, and why.
    None(String),
}

/// An image to be, for one revision.
pub struct NewImage<'a> {
    pub revision_id: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
    pub build_key: &'a str,
}

impl Store {
    pub async fn image(&self, id: &str) -> Result<Option<Image>> {
        let sql = "SELECT id, build_key, revision_id, variant, platform, state, reference, digest, size, facts
                   FROM image WHERE id = $1";
        Ok(sqlx::query_as(sql).bind(id).fetch_optional(self.pool()).await?)
    }

    pub async fn image_of(&self, revision_id: &str, variant: &str, platform: &str) -> Result<Option<Standing>> {
        let reason: Option<Option<String>> = sqlx::query_scalar(
            "SELECT reason FROM revision_image WHERE revision_id = $1 AND variant = $2 AND platform = $3",
        )
        .bind(revision_id)
        .bind(variant)
        .bind(platform)
        .fetch_optional(self.pool())
        .await?;
        match reason {
            None => Ok(None),
            Some(Some(reason)) => Ok(Some(Standing::None(reason))),
            Some(None) => {
                let image = sqlx::query_as(
                    "SELECT image.id, image.build_key, image.revision_id, image.variant, image.platform, image.state,
                            image.reference, image.digest, image.size, image.facts
                     FROM image JOIN revision_image ON revision_image.image_id = image.id
                     WHERE revision_image.revision_id = $1 AND revision_image.variant = $2
                       AND revision_image.platform = $3",
                )
                .bind(revision_id)
                .bind(variant)
                .bind(platform)
                .fetch_one(self.pool())
                .await?;
                Ok(Some(Standing::Image(Box::new(image))))
            }
        }
    }

    /// Gives a revision the image of its build key, made new if there is none, instead of one that it
    /// had. Returns its id, and whether it is new.
    pub async fn attach_image(&self, tx: &mut Tx, new: &NewImage<'_>, now: i64) -> Result<(String, bool)> {
        let inserted = sqlx::query(
            "INSERT INTO image (id, build_key, revision_id, variant, platform, state, created_at)
             VALUES ($1, $2, $3, $4, $5, 'wanted', $6) ON CONFLICT (build_key) DO NOTHING",
        )
        .bind(new_id())
        .bind(new.build_key)
        .bind(new.revision_id)
        .bind(new.variant)
        .bind(new.platform)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        let id: String = sqlx::query_scalar("SELECT id FROM image WHERE build_key = $1")
            .bind(new.build_key)
            .fetch_one(&mut **tx)
            .await?;
        sqlx::query(
            "INSERT INTO revision_image (revision_id, variant, platform, image_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT (revision_id, variant, platform) DO UPDATE SET image_id = excluded.image_id, reason = NULL",
        )
        .bind(new.revision_id)
        .bind(new.variant)
        .bind(new.platform)
        .bind(&id)
        .execute(&mut **tx)
        .await?;
        // its runs are still to come
        sqlx::query("UPDATE revision SET planned_at = NULL WHERE id = $1")
            .bind(new.revision_id)
            .execute(&mut **tx)
            .await?;
        Ok((id, inserted.rows_affected() == 1))
    }

    /// Notes that no profile builds this revision.
    pub async fn no_image(&self, revision_id: &str, variant: &str, platform: &str, reason: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO revision_image (revision_id, variant, platform, reason) VALUES ($1, $2, $3, $4)
             ON CONFLICT (revision_id, variant, platform) DO NOTHING",
        )
        .bind(revision_id)
        .bind(variant)
        .bind(platform)
        .bind(reason)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Moves an image on when its build ended: ready with what was built, or failed.
    pub async fn image_built(&self, tx: &mut Tx, id: &str, built: Option<&BuiltImage>, now: i64) -> Result<()> {
        match built {
            Some(built) => {
                let facts = serde_json::to_string(&built.facts)?;
                sqlx::query(
                    "UPDATE image SET state = 'ready', reference = $1, digest = $2, size = $3, facts = $4, ready_at = $5,
                        remote = $6
                     WHERE id = $7 AND state <> 'ready'",
                )
                .bind(&built.reference)
                .bind(&built.digest)
                .bind(built.size as i64)
                .bind(facts)
                .bind(now)
                .bind(&built.remote)
                .bind(id)
                .execute(&mut **tx)
                .await?;
                // also of one that had failed before: the runs on it are still to come
                sqlx::query(
                    "UPDATE revision SET planned_at = NULL WHERE planned_at IS NOT NULL
                     AND id IN (SELECT revision_id FROM revision_image WHERE image_id = $1)",
                )
                .bind(id)
                .execute(&mut **tx)
                .await?;
            }
            None => {
                sqlx::query("UPDATE image SET state = 'failed' WHERE id = $1 AND state = 'wanted'")
                    .bind(id)
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}
