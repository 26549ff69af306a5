//! Jobs: what waits, what is leased, what is done. Only [`crate::queue`] calls this. How one is chosen for
//! a host is in [`super::claims`].

use super::claims::{mib, piped};
use super::{Store, Tx, new_id};
use crate::domain::host::only;
use crate::domain::job::JobSpec;
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    pub group_id: Option<String>,
    pub image_id: Option<String>,
    pub run_id: Option<String>,
    /// The image that it makes or works with.
    pub uses: Option<String>,
    pub state: String,
    /// Attempts at it that the machinery failed, since it was last revived.
    pub tries: i64,
    /// [`Wish`], by its name.
    pub wish: Option<String>,
    pub spec: String,
    /// The inquiry that it is for.
    pub inquiry_id: Option<String>,
}

/// A job to be.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// The image that it makes or works with.
    pub image: &'a str,
    /// The run that it is for; None: it makes the image.
    pub run: Option<&'a str>,
    pub platform: &'a str,
    /// Among jobs that are alike, the highest is next.
    pub priority: i64,
    pub spec: &'a JobSpec,
    pub probe: Option<Probe<'a>>,
}

/// Of a run that is done again to be compared.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// None: to see what newer dependencies do.
    pub inquiry: Option<&'a str>,
    /// `base` or `now`.
    pub lock_of: &'a str,
    /// With other versions than its run otherwise.
    pub crossed: bool,
    /// The id of the host that it is for; None: any.
    pub host: Option<&'a str>,
}

/// What a maintainer asks of a job in work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it ends.
    Cancel,
    /// That it begins again.
    Again,
}

impl Wish {
    pub fn name(self) -> &'static str {
        match self {
            Wish::Cancel => "cancel",
            Wish::Again => "again",
        }
    }
}

/// Where a job goes that is no longer leased.
#[derive(Clone, Copy, Debug)]
pub enum Release<'a> {
    Finished,
    /// It waits again, from a time on. A host that failed it is to leave it to others.
    Queued {
        from: i64,
        avoid: Option<&'a str>,
        tries: i64,
    },
}

impl Store {
    pub async fn insert_job(&self, tx: &mut Tx, new: &NewJob<'_>, now: i64) -> Result<String> {
        let kind = if new.run.is_some() { "run" } else { "image" };
        let (project, memory_mib) = match new.spec {
            JobSpec::Image(_) => ("", 0),
            JobSpec::Run(run) => (run.project.as_str(), mib(run.limits.memory.0.div_ceil(1 << 20))),
        };
        let (build, mut labels) = (new.spec.build(), new.spec.labels());
        labels.extend(new.probe.and_then(|probe| probe.host).map(only));
        let labels = piped(&labels);
        let memory = memory_mib.to_string();
        let group = [
            kind,
            new.platform,
            project,
            &build.branch,
            &build.variant,
            &labels,
            &memory,
        ]
        .join(" ");
        sqlx::query(
            "INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest, memory_mib)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (id) DO UPDATE SET newest = CASE WHEN excluded.newest > job_group.newest
                 THEN excluded.newest ELSE job_group.newest END",
        )
        .bind(&group)
        .bind(kind)
        .bind(new.platform)
        .bind(project)
        .bind(&build.branch)
        .bind(&build.variant)
        .bind(&labels)
        // what is done again for comparison is urgent, and does not make the others old
        .bind(if new.probe.is_some() { 0 } else { new.priority })
        .bind(memory_mib)
        .execute(&mut **tx)
        .await?;
        self.join_in(tx, &group).await?;
        let id = new_id();
        sqlx::query(
            "INSERT INTO job (id, kind, image_id, run_id, state, priority, not_before, created_at, spec, group_id, uses,
                 inquiry_id, lock_of, crossed)
             VALUES ($1, $2, $3, $4, 'queued', $5, $6, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(&id)
        .bind(kind)
        .bind(new.run.is_none().then_some(new.image))
        .bind(new.run)
        .bind(new.priority)
        .bind(now)
        .bind(serde_json::to_string(new.spec)?)
        .bind(&group)
        .bind(new.image)
        .bind(new.probe.and_then(|probe| probe.inquiry))
        .bind(new.probe.map(|probe| probe.lock_of))
        .bind(i64::from(new.probe.is_some_and(|probe| probe.crossed)))
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// A group that had nothing to do begins with those that have: it has no turns to catch up.
    async fn join_in(&self, tx: &mut Tx, group: &str) -> Result<()> {
        sqlx::query(
            "UPDATE job_group SET round = (
                 SELECT CASE WHEN MIN(busy.round) > job_group.round THEN MIN(busy.round) ELSE job_group.round END
                 FROM job_group AS busy
                 WHERE EXISTS (SELECT 1 FROM job WHERE job.group_id = busy.id AND job.state = 'queued')
                   AND busy.platform = job_group.platform AND busy.kind = job_group.kind)
             WHERE id = $1 AND NOT EXISTS (
                 SELECT 1 FROM job WHERE job.group_id = job_group.id AND job.state = 'queued')",
        )
        .bind(group)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    pub async fn job(&self, tx: &mut Tx, id: &str) -> Result<Option<Job>> {
        let sql =
            "SELECT id, group_id, image_id, run_id, uses, state, tries, wish, spec, inquiry_id FROM job WHERE id = $1";
        Ok(sqlx::query_as(sql).bind(id).fetch_optional(&mut **tx).await?)
    }

    /// What a job is: [`JobSpec`] as JSON.
    pub async fn spec_of(&self, id: &str) -> Result<Option<String>> {
        let sql = "SELECT spec FROM job WHERE id = $1";
        Ok(sqlx::query_scalar(sql).bind(id).fetch_optional(self.pool()).await?)
    }

    /// The newest job of a run or an image; those that are there to compare are none of it.
    pub async fn job_of(&self, run_or_image: &str) -> Result<Option<Job>> {
        let sql = "SELECT id, group_id, image_id, run_id, uses, state, tries, wish, spec, inquiry_id FROM job
                   WHERE (run_id = $1 OR image_id = $1) AND inquiry_id IS NULL AND crossed = 0
                   ORDER BY created_at DESC, id DESC LIMIT 1";
        Ok(sqlx::query_as(sql)
            .bind(run_or_image)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Takes a job that waits off the queue, for nobody. False: it does not wait.
    pub async fn take_queued(&self, tx: &mut Tx, id: &str) -> Result<bool> {
        let moved = sqlx::query("UPDATE job SET state = 'leased' WHERE id = $1 AND state = 'queued'")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Lets a finished job wait again. False: it is not finished.
    pub async fn requeue(&self, id: &str, now: i64) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE job SET state = 'queued', not_before = $1, tries = 0, avoid = NULL, wish = NULL
             WHERE id = $2 AND state = 'finished'",
        )
        .bind(now)
        .bind(id)
        .execute(self.pool())
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Notes what is wished of a job in work. False: nobody is at it.
    pub async fn wish_of_leased(&self, id: &str, wish: Wish) -> Result<bool> {
        let moved = sqlx::query("UPDATE job SET wish = $1 WHERE id = $2 AND state = 'leased'")
            .bind(wish.name())
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Gives a leased job back to the queue, or ends it. False: it was not leased.
    pub async fn release_job(&self, tx: &mut Tx, id: &str, to: Release<'_>) -> Result<bool> {
        let (state, from, avoid, tries) = match to {
            Release::Finished => ("finished", 0, None, 0),
            Release::Queued { from, avoid, tries } => ("queued", from, avoid, tries),
        };
        let moved = sqlx::query(
            "UPDATE job SET state = $1, not_before = $2, avoid = $3, tries = $4, wish = NULL
             WHERE id = $5 AND state = 'leased'",
        )
        .bind(state)
        .bind(from)
        .bind(avoid)
        .bind(tries)
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Notes how long a job of a group took.
    pub async fn group_took(&self, tx: &mut Tx, group: &str, took_ms: i64) -> Result<()> {
        sqlx::query(
            "UPDATE job_group SET expected_ms = CASE expected_ms WHEN 0 THEN $1 ELSE (expected_ms * 3 + $1) / 4 END
             WHERE id = $2",
        )
        .bind(took_ms)
        .bind(group)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Jobs that gave up on the machinery wait again; returns how many.
    pub async fn revive_jobs(&self, now: i64) -> Result<u64> {
        let moved = sqlx::query(
            "UPDATE job SET state = 'queued', not_before = $1, tries = 0, avoid = NULL
             WHERE state = 'finished' AND inquiry_id IS NULL AND id IN (
                 SELECT job_id FROM attempt AS last WHERE outcome = 'infra' AND number = (
                     SELECT MAX(number) FROM attempt WHERE job_id = last.job_id))",
        )
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(moved.rows_affected())
    }

    /// Lets the build of a check-in's image go before all others.
    pub async fn hasten_build(&self, revision_id: &str, variant: &str, platform: &str, now: i64) -> Result<()> {
        let _writer = self.writer().await;
        sqlx::query(
            "UPDATE job SET priority = $1 WHERE state = 'queued' AND priority < $1 AND image_id = (
                 SELECT image_id FROM revision_image WHERE revision_id = $2 AND variant = $3 AND platform = $4)",
        )
        .bind(now)
        .bind(revision_id)
        .bind(variant)
        .bind(platform)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Lets no job wait longer than until a time.
    pub async fn hasten_jobs(&self, until: i64) -> Result<u64> {
        let moved = sqlx::query("UPDATE job SET not_before = $1 WHERE state = 'queued' AND not_before > $1")
            .bind(until)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected())
    }

    /// Jobs that are not finished: (waiting, in work).
    pub async fn open_jobs(&self) -> Result<(i64, i64)> {
        let ahead = self.ahead().await?;
        Ok((ahead.queued, ahead.leased))
    }

    /// What is left to do.
    pub async fn ahead(&self) -> Result<Ahead> {
        Ok(sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM branch WHERE watched = 1 AND checked_at IS NULL) AS unseen_branches,
                    (SELECT COUNT(*) FROM revision JOIN branch ON branch.id = revision.branch_id
                     WHERE branch.watched = 1 AND revision.left_at IS NULL AND revision.planned_at IS NULL
                       AND NOT EXISTS (SELECT 1 FROM revision_image JOIN image ON image.id = revision_image.image_id
                                       WHERE revision_image.revision_id = revision.id AND image.state = 'wanted')) AS unplanned,
                    (SELECT COUNT(*) FROM inquiry WHERE state = 'open')
                        + (SELECT COUNT(*) FROM run WHERE judged_at IS NULL AND NOT EXISTS (
                               SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished')) AS doubtful,
                    (SELECT COUNT(*) FROM job WHERE state = 'queued') AS queued,
                    (SELECT COUNT(*) FROM job WHERE state = 'leased') AS leased",
        )
        .fetch_one(self.pool())
        .await?)
    }
}

/// Counts of what is left to do.
#[derive(Clone, Copy, Debug, FromRow, PartialEq, Eq)]
pub struct Ahead {
    pub unseen_branches: i64,
    /// Revisions that nobody has planned yet; those whose image is being built count as jobs.
    pub unplanned: i64,
    /// Results that nobody has looked at yet, and inquiries without an answer.
    pub doubtful: i64,
    pub queued: i64,
    pub leased: i64,
}

impl Ahead {
    pub fn nothing(&self) -> bool {
        self.unseen_branches + self.unplanned + self.doubtful + self.queued + self.leased == 0
    }
}
