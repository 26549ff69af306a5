//! What is known of images that hosts hold: who needs them, what they stand for, and what was pinned.

use super::{Store, Tx};
use anyhow::Result;
use sqlx::FromRow;

/// So many build keys are asked about at a time: databases limit what one statement may bind.
const AT_ONCE: usize = 500;

/// How an image was used.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct ImageUse {
    pub build_key: String,
    pub ready_at: Option<i64>,
    /// When an attempt at its build last began or ended.
    pub built_at: Option<i64>,
    /// When an attempt at a run on it last began or ended.
    pub run_at: Option<i64>,
    pub open_builds: i64,
    pub open_runs: i64,
}

/// A check-in that an image stands for.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct ImagePlace {
    pub build_key: String,
    pub branch: String,
    /// The label or id of the check-in.
    pub revision: String,
    pub committed_at: i64,
    pub discovered_at: i64,
    /// Truth values.
    pub watched: i64,
    pub tip: i64,
}

/// Something that must stay.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Pin {
    pub build_key: String,
    pub reason: String,
    pub since: i64,
}

impl Store {
    /// Keeps an image on the engines. Of one that is pinned for this reason already, nothing changes.
    pub async fn pin_image(&self, build_key: &str, reason: &str, now: i64) -> Result<()> {
        sqlx::query("INSERT INTO pin (build_key, reason, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(build_key)
            .bind(reason)
            .bind(now)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Keeps the image of a check-in as long as an incident is open.
    pub async fn pin_for(
        &self,
        tx: &mut Tx,
        (revision_id, variant, platform): (&str, &str, &str),
        incident_id: &str,
        now: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO pin (build_key, reason, since)
             SELECT image.build_key, 'incident ' || incident.number, $1
             FROM incident, revision_image AS standing JOIN image ON image.id = standing.image_id
             WHERE incident.id = $2 AND standing.revision_id = $3 AND standing.variant = $4 AND standing.platform = $5
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

    /// Lets go what an incident kept.
    pub async fn unpin_for(&self, tx: &mut Tx, incident_id: &str) -> Result<()> {
        sqlx::query("DELETE FROM pin WHERE reason = (SELECT 'incident ' || number FROM incident WHERE id = $1)")
            .bind(incident_id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Takes one pin off an image, or all of them; returns how many there were.
    pub async fn unpin_image(&self, build_key: &str, reason: Option<&str>) -> Result<u64> {
        let removed = sqlx::query("DELETE FROM pin WHERE build_key = $1 AND (reason = $2 OR $2 IS NULL)")
            .bind(build_key)
            .bind(reason)
            .execute(self.pool())
            .await?;
        Ok(removed.rows_affected())
    }

    pub async fn pins(&self) -> Result<Vec<Pin>> {
        let sql = "SELECT build_key, reason, since FROM pin ORDER BY since, build_key, reason";
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Build keys of the images that stand for a check-in, wherever it is; of all variants.
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

    /// Those of the keys that are images of ours, and how they were used.
    pub async fn image_uses(&self, keys: &[String]) -> Result<Vec<ImageUse>> {
        let attempts = "FROM job JOIN attempt ON attempt.job_id = job.id";
        let latest = "SELECT MAX(COALESCE(attempt.finished_at, attempt.started_at))";
        self.about(keys, |list| {
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

    /// The check-ins that these images stand for, newest first.
    pub async fn image_places(&self, keys: &[String]) -> Result<Vec<ImagePlace>> {
        self.about(keys, |list| {
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

    pub(super) async fn about<T>(&self, keys: &[String], sql: impl Fn(&str) -> String) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, sqlx::any::AnyRow> + Send + Unpin,
    {
        let mut found = Vec::new();
        for keys in keys.chunks(AT_ONCE) {
            let places: Vec<String> = (1..=keys.len()).map(|number| format!("${number}")).collect();
            let sql = sql(&places.join(", "));
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for key in keys {
                query = query.bind(key);
            }
            found.extend(query.fetch_all(self.pool()).await?);
        }
        Ok(found)
    }

    /// Specs of the image builds that are open, or were tried since then.
    pub async fn builds_since(&self, since: i64) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT spec FROM job WHERE kind = 'image' AND (state <> 'finished' OR EXISTS (
                 SELECT 1 FROM attempt WHERE attempt.job_id = job.id AND attempt.started_at >= $1))",
        )
        .bind(since)
        .fetch_all(self.pool())
        .await?)
    }

    /// Projects, and the facts of the images that they have run on since then, or are to run on.
    pub async fn runs_since(&self, since: i64) -> Result<Vec<(String, String)>> {
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

    /// Notes which images a host holds, instead of what it held before.
    pub async fn set_held(&self, host: &str, keys: &[String], now: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        for key in keys {
            sqlx::query(
                "INSERT INTO image_on_host (host, image_id, seen_at) SELECT $1, id, $2 FROM image WHERE build_key = $3
                 ON CONFLICT (host, image_id) DO UPDATE SET seen_at = excluded.seen_at",
            )
            .bind(host)
            .bind(now)
            .bind(key)
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

    /// Notes that a host holds an image, before it next tells all that it holds.
    pub async fn holds(&self, tx: &mut Tx, host: &str, image_id: &str, now: i64) -> Result<()> {
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

    /// The hosts that hold an image.
    pub async fn hosts_with(&self, image_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT host FROM image_on_host WHERE image_id = $1 ORDER BY host";
        Ok(sqlx::query_scalar(sql).bind(image_id).fetch_all(self.pool()).await?)
    }
}
