//! Which images are in the registry.

use super::Store;
use anyhow::Result;
use sqlx::FromRow;

/// An image in the registry.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct RemoteRow {
    pub build_key: String,
    /// By digest.
    pub remote: String,
    /// [`crate::domain::job::Facts`] as JSON.
    pub facts: String,
}

/// Where an image is.
#[derive(Clone, Debug, Default, FromRow, PartialEq, Eq)]
pub struct Whereabouts {
    pub build_key: String,
    /// In the registry, by digest.
    pub remote: Option<String>,
    /// How many hosts have told that they hold it.
    pub hosts: i64,
}

impl Store {
    pub async fn remote(&self, build_key: &str) -> Result<Option<RemoteRow>> {
        let sql = "SELECT build_key, remote, facts FROM image WHERE build_key = $1 AND remote IS NOT NULL AND facts IS NOT NULL";
        Ok(sqlx::query_as(sql).bind(build_key).fetch_optional(self.pool()).await?)
    }

    pub async fn remotes(&self) -> Result<Vec<RemoteRow>> {
        let sql = "SELECT build_key, remote, facts FROM image WHERE remote IS NOT NULL AND facts IS NOT NULL ORDER BY ready_at, id";
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Notes where an image is, or that it is nowhere. False: there is no such image.
    pub async fn set_remote(&self, build_key: &str, remote: Option<&str>) -> Result<bool> {
        let sql = "UPDATE image SET remote = $1 WHERE build_key = $2 AND state = 'ready'";
        let set = sqlx::query(sql)
            .bind(remote)
            .bind(build_key)
            .execute(self.pool())
            .await?;
        Ok(set.rows_affected() == 1)
    }

    /// Forgets what is in other repositories than this one; None: in any.
    pub async fn forget_remotes(&self, but: Option<&str>) -> Result<u64> {
        let prefix = but.map(|repository| format!("{repository}@")).unwrap_or_default();
        let length = prefix.chars().count() as i64;
        let forgotten = sqlx::query(
            "UPDATE image SET remote = NULL WHERE remote IS NOT NULL AND ($1 = '' OR SUBSTR(remote, 1, $2) <> $1)",
        )
        .bind(prefix)
        .bind(i32::try_from(length)?)
        .execute(self.pool())
        .await?;
        Ok(forgotten.rows_affected())
    }

    /// Whether an image is ready, was reported with this content id, and is in no registry.
    pub async fn is_unpushed(&self, build_key: &str, id: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM image WHERE build_key = $1 AND digest = $2 AND state = 'ready' AND remote IS NULL";
        let found: Option<i32> = sqlx::query_scalar(sql)
            .bind(build_key)
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        Ok(found.is_some())
    }

    /// Where the images of these build keys are.
    pub async fn whereabouts(&self, keys: &[String]) -> Result<Vec<Whereabouts>> {
        self.about(keys, |list| {
            format!(
                "SELECT image.build_key, image.remote,
                    (SELECT COUNT(*) FROM image_on_host AS held WHERE held.image_id = image.id) AS hosts
                 FROM image WHERE image.build_key IN ({list})"
            )
        })
        .await
    }
}
