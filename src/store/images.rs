//! Images by build key, and the image of each revision.

use super::rows::from_row;
use super::{Store, Tx, new_id};
use crate::domain::id::{ImageId, RevisionId};
use crate::domain::job::{BuiltImage, Facts};
use crate::domain::state::ImageState;
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub id: ImageId,
    pub build_key: String,
    /// The revision that the image was built from.
    pub revision_id: RevisionId,
    pub variant: String,
    pub platform: String,
    pub state: ImageState,
    /// The name of the image on engines.
    pub reference: Option<String>,
    /// The content id, `sha256:..`.
    pub digest: Option<String>,
    /// The size in bytes.
    pub size: Option<i64>,
    pub facts: Option<Facts>,
}

from_row!(
    Image, "image" by "id":
    id, build_key, revision_id, variant, platform, state, reference, digest, size, facts,
);

/// The image of a revision, or why it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevisionImage {
    Image(Box<Image>),
    /// No image of the revision can be built, for this reason.
    Impossible(String),
}

/// The image that a revision needs.
pub struct NewImage<'a> {
    pub revision_id: &'a RevisionId,
    pub variant: &'a str,
    pub platform: &'a str,
    pub build_key: &'a str,
    /// Whether the runs of all projects on the image are still to be planned.
    pub plans_runs: bool,
}

impl Store {
    pub async fn image(&self, id: &ImageId) -> Result<Option<Image>> {
        let sql = "SELECT id, build_key, revision_id, variant, platform, state, reference, digest, size, facts
                   FROM image WHERE id = $1";
        Ok(sqlx::query_as(sql).bind(id).fetch_optional(self.pool()).await?)
    }

    /// Returns the image of a revision, or why it has none. Returns `None` until its build is planned.
    pub async fn image_of(
        &self,
        revision_id: &RevisionId,
        variant: &str,
        platform: &str,
    ) -> Result<Option<RevisionImage>> {
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
            Some(Some(reason)) => Ok(Some(RevisionImage::Impossible(reason))),
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
                Ok(Some(RevisionImage::Image(Box::new(image))))
            }
        }
    }

    /// Gives a revision the image of its build key, in place of any earlier image. Adds the image if there is none, and
    /// marks the revision as not planned if `plans_runs` is true. Returns the image's id, and whether it is new.
    pub async fn attach_image(&self, tx: &mut Tx, new: &NewImage<'_>, now: Timestamp) -> Result<(ImageId, bool)> {
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
        let id: ImageId = sqlx::query_scalar("SELECT id FROM image WHERE build_key = $1")
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
        if new.plans_runs {
            sqlx::query("UPDATE revision SET planned_at = NULL WHERE id = $1")
                .bind(new.revision_id)
                .execute(&mut **tx)
                .await?;
        }
        Ok((id, inserted.rows_affected() == 1))
    }

    /// Records why no image of a revision can be built. If the revision has an image, it loses it.
    pub async fn no_image(&self, revision_id: &RevisionId, variant: &str, platform: &str, reason: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO revision_image (revision_id, variant, platform, reason) VALUES ($1, $2, $3, $4)
             ON CONFLICT (revision_id, variant, platform) DO UPDATE SET image_id = NULL, reason = excluded.reason",
        )
        .bind(revision_id)
        .bind(variant)
        .bind(platform)
        .bind(reason)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Records the end of an image's build. The image is ready if `built` describes it, and failed otherwise; a ready
    /// image does not change. With `built`, revisions with the image but without runs are planned again.
    pub async fn image_built(
        &self,
        tx: &mut Tx,
        id: &ImageId,
        built: Option<&BuiltImage>,
        now: Timestamp,
    ) -> Result<()> {
        match built {
            Some(built) => {
                sqlx::query(
                    "UPDATE image SET state = 'ready', reference = $1, digest = $2, size = $3, facts = $4, ready_at = $5,
                        remote = $6
                     WHERE id = $7 AND state <> 'ready'",
                )
                .bind(&built.reference)
                .bind(&built.digest)
                .bind(built.size as i64)
                .bind(&built.facts)
                .bind(now)
                .bind(&built.remote)
                .bind(id)
                .execute(&mut **tx)
                .await?;
                // the image may have failed before, so that no run on it is planned yet
                sqlx::query(
                    "UPDATE revision SET planned_at = NULL WHERE planned_at IS NOT NULL
                     AND id IN (SELECT planned.revision_id FROM revision_image AS planned WHERE planned.image_id = $1
                         AND NOT EXISTS (SELECT 1 FROM run WHERE run.revision_id = planned.revision_id
                             AND run.variant = planned.variant AND run.platform = planned.platform))",
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
