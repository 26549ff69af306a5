//! What is read to say where the builds of a branch turned.

use super::{Store, Tx};
use anyhow::Result;
use sqlx::FromRow;

/// A check-in of whose build there is news.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct BuildNews {
    pub revision_id: String,
    pub branch_id: String,
    /// Its name.
    pub branch: String,
    pub seq: i64,
    pub variant: String,
    pub platform: String,
    /// How often.
    pub news: i64,
}

impl Store {
    /// The check-ins of whose builds there is news, together by branch, variant and platform, oldest first.
    pub async fn build_news(&self, most: i64) -> Result<Vec<BuildNews>> {
        let sql = "SELECT standing.revision_id, revision.branch_id, branch.name AS branch, revision.seq,
                          standing.variant, standing.platform, standing.news
                   FROM revision_image AS standing
                   JOIN revision ON revision.id = standing.revision_id
                   JOIN branch ON branch.id = revision.branch_id
                   WHERE standing.news > 0
                   ORDER BY revision.branch_id, standing.variant, standing.platform, revision.seq LIMIT $1";
        Ok(sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Notes that they were looked at; what became of them meanwhile stays news.
    pub async fn builds_judged(&self, builds: &[BuildNews]) -> Result<()> {
        let mut tx = self.begin().await?;
        for build in builds {
            sqlx::query(
                "UPDATE revision_image SET news = 0
                 WHERE revision_id = $1 AND variant = $2 AND platform = $3 AND news = $4",
            )
            .bind(&build.revision_id)
            .bind(&build.variant)
            .bind(&build.platform)
            .bind(build.news)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The build of an image has ended, however.
    pub async fn build_is_news(&self, tx: &mut Tx, image_id: &str) -> Result<()> {
        sqlx::query("UPDATE revision_image SET news = news + 1 WHERE image_id = $1")
            .bind(image_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
