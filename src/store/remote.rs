//! Images in the registry.

use super::Store;
use super::rows::from_row;
use crate::domain::job::Facts;
use anyhow::Result;

/// An image in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRow {
    pub build_key: String,
    /// The image's reference by digest.
    pub remote: String,
    pub facts: Facts,
}

from_row!(RemoteRow, "image" by "build_key": build_key, remote, facts);

/// The places where an image is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    pub build_key: String,
    /// The reference by digest in the registry, or `None` if it is not there.
    pub remote: Option<String>,
    /// How many hosts hold the image.
    pub hosts: i64,
}

from_row!(Whereabouts, "image" by "build_key": build_key, remote, hosts);

impl Store {
    /// Returns the image of a build key, if a registry has it.
    pub async fn remote(&self, build_key: &str) -> Result<Option<RemoteRow>> {
        let sql = "SELECT build_key, remote, facts FROM image WHERE build_key = $1 AND remote IS NOT NULL AND facts IS NOT NULL";
        Ok(sqlx::query_as(sql).bind(build_key).fetch_optional(self.pool()).await?)
    }

    /// Returns all images that a registry has, oldest first.
    pub async fn remotes(&self) -> Result<Vec<RemoteRow>> {
        let sql = "SELECT build_key, remote, facts FROM image WHERE remote IS NOT NULL AND facts IS NOT NULL ORDER BY ready_at, id";
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Records the reference of an image in the registry, or with `None` that the registry does not have it. Returns
    /// `false` if no image with that build key is ready.
    pub async fn set_remote(&self, build_key: &str, remote: Option<&str>) -> Result<bool> {
        let sql = "UPDATE image SET remote = $1 WHERE build_key = $2 AND state = 'ready'";
        let set = sqlx::query(sql)
            .bind(remote)
            .bind(build_key)
            .execute(self.pool())
            .await?;
        Ok(set.rows_affected() == 1)
    }

    /// Forgets the references into all repositories but one, or into all if `but` is `None`. Returns how many
    /// references it removed.
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

    /// Returns whether an image is ready, has this content id, and is in no registry.
    pub async fn is_unpushed(&self, build_key: &str, id: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM image WHERE build_key = $1 AND digest = $2 AND state = 'ready' AND remote IS NULL";
        let found: Option<i32> = sqlx::query_scalar(sql)
            .bind(build_key)
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        Ok(found.is_some())
    }

    /// Returns where the images of these build keys are, in no order. Keys without an image in the store are left out.
    pub async fn whereabouts(&self, keys: &[String]) -> Result<Vec<Whereabouts>> {
        self.by_build_key(keys, |list| {
            format!(
                "SELECT image.build_key, image.remote,
                    (SELECT COUNT(*) FROM image_on_host AS held WHERE held.image_id = image.id) AS hosts
                 FROM image WHERE image.build_key IN ({list})"
            )
        })
        .await
    }
}
