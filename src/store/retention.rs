//! The images that hosts hold: who uses them, which revisions they belong to, and their pins.

use super::claims::{PARAMETERS_MOST, parameters};
use super::rows::{BadRow, from_row};
use super::shared::SPEC;
use super::types::Flag;
use super::{Store, Tx};
use crate::domain::id::{HostId, ImageId, IncidentId, JobId, RevisionId};
use crate::domain::job::{Facts, JobSpec};
use crate::domain::time::Timestamp;
use anyhow::Result;
use sqlx::FromRow;

/// The use of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    pub build_key: String,
    pub ready_at: Option<Timestamp>,
    /// When an attempt at the image's build last began or ended.
    pub built_at: Option<Timestamp>,
    /// When an attempt at a run on the image last began or ended.
    pub run_at: Option<Timestamp>,
    pub open_builds: i64,
    pub open_runs: i64,
}

from_row!(ImageUse, "image" by "build_key": build_key, ready_at, built_at, run_at, open_builds, open_runs);

/// A revision to which an image belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRevision {
    pub build_key: String,
    pub branch: String,
    /// The label of the revision, or its id in git.
    pub revision: String,
    pub committed_at: Timestamp,
    pub discovered_at: Timestamp,
    /// Whether the branch is watched.
    pub watched: bool,
    /// Whether the revision is the newest of a watched branch.
    pub tip: bool,
}

from_row!(
    ImageRevision, "image" by "build_key":
    build_key, branch, revision, committed_at, discovered_at, watched, tip,
);

/// An image that must stay on the engines, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub build_key: String,
    pub reason: String,
    pub since: Timestamp,
}

from_row!(Pin, "pin" by "build_key": build_key, reason, since);

impl Store {
    /// Returns whether an open job fetches a source folder, which its digest identifies.
    pub async fn is_folder_needed(&self, digest: &str) -> Result<bool> {
        // two parts, each of which has an index for its open jobs
        let sql = format!(
            "SELECT job.id FROM job WHERE job.state = 'queued' AND {SPEC} LIKE $1
                   UNION ALL SELECT job.id FROM job JOIN attempt ON attempt.job_id = job.id AND attempt.state = 'leased'
                   WHERE {SPEC} LIKE $1 LIMIT 1"
        );
        let found: Option<JobId> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(format!("%\"{digest}\"%"))
            .fetch_optional(self.pool())
            .await?;
        Ok(found.is_some())
    }
}

/// The spec of an image job. It is an error if another version of Pybots planned the job in another form.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedBuild {
    pub id: JobId,
    pub spec: Result<JobSpec, BadRow>,
}

from_row!(PlannedBuild, "job" by "id": id, spec);

impl Store {
    /// Pins an image for a reason. Does nothing if the image already has a pin for that reason.
    pub async fn pin_image(&self, build_key: &str, reason: &str, now: Timestamp) -> Result<()> {
        sqlx::query("INSERT INTO pin (build_key, reason, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(build_key)
            .bind(reason)
            .bind(now)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Pins the image of a revision for an incident, if the revision has one.
    pub async fn pin_for(
        &self,
        tx: &mut Tx,
        (revision_id, variant, platform): (&RevisionId, &str, &str),
        incident_id: &IncidentId,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO pin (build_key, reason, since)
             SELECT image.build_key, 'incident ' || incident.number, $1
             FROM incident, revision_image AS built JOIN image ON image.id = built.image_id
             WHERE incident.id = $2 AND built.revision_id = $3 AND built.variant = $4 AND built.platform = $5
             ON CONFLICT DO NOTHING",
        )
        .bind(now)
        .bind(incident_id)
        .bind(revision_id)
        .bind(variant)
        .bind(platform)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Removes the pins of an incident.
    pub async fn unpin_for(&self, tx: &mut Tx, incident_id: &IncidentId) -> Result<()> {
        sqlx::query("DELETE FROM pin WHERE reason = (SELECT 'incident ' || number FROM incident WHERE id = $1)")
            .bind(incident_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Removes the pin of an image for one reason, or all its pins if `reason` is `None`. Returns how many pins it
    /// removed.
    pub async fn unpin_image(&self, build_key: &str, reason: Option<&str>) -> Result<u64> {
        let removed = sqlx::query("DELETE FROM pin WHERE build_key = $1 AND (reason = $2 OR $2 IS NULL)")
            .bind(build_key)
            .bind(reason)
            .execute(self.pool())
            .await?;
        Ok(removed.rows_affected())
    }

    /// Returns all pins, oldest first.
    pub async fn pins(&self) -> Result<Vec<Pin>> {
        let sql = "SELECT build_key, reason, since FROM pin ORDER BY since, build_key, reason";
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Returns the build keys of a revision's images, for all branches and variants.
    pub async fn build_keys_of(&self, sha: &str) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT image.build_key FROM image JOIN revision_image ON revision_image.image_id = image.id
             JOIN revision ON revision.id = revision_image.revision_id
             WHERE revision.sha = $1 ORDER BY image.build_key",
        )
        .bind(sha)
        .fetch_all(self.pool())
        .await?)
    }

    /// Returns how the images of these build keys were used. Keys without an image in the store are left out.
    pub async fn image_uses(&self, keys: &[String]) -> Result<Vec<ImageUse>> {
        let attempts = "FROM job JOIN attempt ON attempt.job_id = job.id";
        let latest = "SELECT MAX(COALESCE(attempt.finished_at, attempt.started_at))";
        self.by_build_key(keys, |list| {
            format!(
                "SELECT image.build_key, image.ready_at,
                    ({latest} {attempts} WHERE job.image_id = image.id) AS built_at,
                    ({latest} {attempts} JOIN run ON run.id = job.run_id WHERE run.image_id = image.id) AS run_at,
                    (SELECT COUNT(*) FROM job WHERE job.image_id = image.id AND job.state <> 'finished') AS open_builds,
                    (SELECT COUNT(*) FROM job JOIN run ON run.id = job.run_id
                     WHERE run.image_id = image.id AND job.state <> 'finished') AS open_runs
                 FROM image WHERE image.build_key IN ({list}) ORDER BY image.build_key"
            )
        })
        .await
    }

    /// Returns the revisions whose image has one of these build keys, newest first.
    pub async fn image_revisions(&self, keys: &[String]) -> Result<Vec<ImageRevision>> {
        self.by_build_key(keys, |list| {
            format!(
                "SELECT image.build_key, branch.name AS branch, COALESCE(revision.label, revision.sha) AS revision,
                    revision.committed_at, revision.discovered_at, branch.watched,
                    CASE WHEN branch.watched = 1 AND revision.sha = branch.head AND revision.left_at IS NULL
                         THEN 1 ELSE 0 END AS tip
                 FROM image JOIN revision_image ON revision_image.image_id = image.id
                 JOIN revision ON revision.id = revision_image.revision_id
                 JOIN branch ON branch.id = revision.branch_id
                 WHERE image.build_key IN ({list}) ORDER BY revision.discovered_at DESC, revision.id DESC"
            )
        })
        .await
    }

    /// Reads rows of images by their build keys. `sql` makes a statement of a list of [`PARAMETERS_MOST`] parameters at
    /// most, so its order holds only within so many keys.
    pub(super) async fn by_build_key<T>(&self, keys: &[String], sql: impl Fn(&str) -> String) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, sqlx::any::AnyRow> + Send + Unpin,
    {
        let mut found = Vec::new();
        for keys in keys.chunks(PARAMETERS_MOST) {
            let sql = sql(&parameters(1, keys.len()));
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for key in keys {
                query = query.bind(key);
            }
            found.extend(query.fetch_all(self.pool()).await?);
        }
        Ok(found)
    }

    /// Returns the specs of image jobs that are open, or had an attempt at or after `since`.
    pub async fn builds_since(&self, since: Timestamp) -> Result<Vec<PlannedBuild>> {
        Ok(sqlx::query_as(
            "SELECT id, spec FROM job WHERE kind = 'image' AND (state <> 'finished' OR EXISTS (
                 SELECT 1 FROM attempt WHERE attempt.job_id = job.id AND attempt.started_at >= $1))",
        )
        .bind(since)
        .fetch_all(self.pool())
        .await?)
    }

    /// Returns pairs of a project and the facts of an image, for runs that have an open job, or had an attempt at or
    /// after `since`.
    pub async fn runs_since(&self, since: Timestamp) -> Result<Vec<(String, Facts)>> {
        Ok(sqlx::query_as(
            "SELECT DISTINCT run.project, image.facts FROM run JOIN image ON image.id = run.image_id
             JOIN job ON job.run_id = run.id
             WHERE image.facts IS NOT NULL AND (job.state <> 'finished' OR EXISTS (
                 SELECT 1 FROM attempt WHERE attempt.job_id = job.id AND attempt.started_at >= $1))",
        )
        .bind(since)
        .fetch_all(self.pool())
        .await?)
    }

    /// Replaces the images that a host holds by the images with these build keys. Everybody can read the keys of
    /// images. So the word of a host that is not trusted counts only for images that a build or a run of its own has
    /// shown, or that it could pull from the registry.
    pub async fn set_held(&self, host: &HostId, keys: &[String], trusted: bool, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        for key in keys {
            sqlx::query(
                "INSERT INTO image_on_host (host, image_id, seen_at) SELECT $1, id, $2 FROM image WHERE build_key = $3
                     AND ($4 = 1 OR remote IS NOT NULL OR EXISTS (
                         SELECT 1 FROM image_on_host AS shown WHERE shown.host = $1 AND shown.image_id = image.id))
                 ON CONFLICT (host, image_id) DO UPDATE SET seen_at = excluded.seen_at",
            )
            .bind(host)
            .bind(now)
            .bind(key)
            .bind(Flag(trusted))
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("DELETE FROM image_on_host WHERE host = $1 AND seen_at < $2")
            .bind(host)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records that a host holds an image, until its next inventory.
    pub async fn holds(&self, tx: &mut Tx, host: &HostId, image_id: &ImageId, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO image_on_host (host, image_id, seen_at) VALUES ($1, $2, $3) ON CONFLICT (host, image_id) DO NOTHING",
        )
        .bind(host)
        .bind(image_id)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Returns the hosts that hold an image.
    pub async fn hosts_with(&self, image_id: &ImageId) -> Result<Vec<HostId>> {
        let sql = "SELECT host FROM image_on_host WHERE image_id = $1 ORDER BY host";
        Ok(sqlx::query_scalar(sql).bind(image_id).fetch_all(self.pool()).await?)
    }
}
