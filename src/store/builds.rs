//! Build events: ended image builds, after which Pybots looks again where the builds of a branch broke or were fixed.

use super::{Store, Tx};
use crate::domain::id::{BranchId, ImageId, RevisionId};
use anyhow::Result;
use sqlx::FromRow;

/// A revision with build events that were not evaluated yet.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct BuildEvents {
    pub revision_id: RevisionId,
    pub branch_id: BranchId,
    /// The name of the branch.
    pub branch: String,
    pub seq: i64,
    pub variant: String,
    pub platform: String,
    /// The number of build events.
    pub count: i64,
}

impl Store {
    /// Returns revisions with build events, at most `most`, sorted by branch, variant, platform and `seq`.
    pub async fn build_events(&self, most: i64) -> Result<Vec<BuildEvents>> {
        let sql = "SELECT row_image.revision_id, revision.branch_id, branch.name AS branch, revision.seq,
                          row_image.variant, row_image.platform, row_image.build_events AS count
                   FROM revision_image AS row_image
                   JOIN revision ON revision.id = row_image.revision_id
                   JOIN branch ON branch.id = revision.branch_id
                   WHERE row_image.build_events > 0
                   ORDER BY revision.branch_id, row_image.variant, row_image.platform, revision.seq LIMIT $1";
        Ok(sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Records that build events were evaluated. If other events of a revision arrived since they were read, all its
    /// events stay.
    pub async fn builds_evaluated(&self, builds: &[BuildEvents]) -> Result<()> {
        let mut tx = self.begin().await?;
        for build in builds {
            sqlx::query(
                "UPDATE revision_image SET build_events = 0
                 WHERE revision_id = $1 AND variant = $2 AND platform = $3 AND build_events = $4",
            )
            .bind(build.revision_id.as_str())
            .bind(&build.variant)
            .bind(&build.platform)
            .bind(build.count)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Records for each revision with an image that an attempt at the image's build has ended, whatever its outcome.
    pub async fn add_build_event(&self, tx: &mut Tx, image_id: &ImageId) -> Result<()> {
        sqlx::query("UPDATE revision_image SET build_events = build_events + 1 WHERE image_id = $1")
            .bind(image_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
