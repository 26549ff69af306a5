//! Jobs: queued, leased or finished. Only [`crate::queue`] changes their states. [`super::claims`] has the queries that
//! choose a job for a host.

pub use crate::domain::state::Request;

use super::rows::{BadRow, from_row};
use super::shared::{SPEC, Stored};
use super::types::Flag;
use super::{Store, Tx, new_id};
use crate::domain::host::{PROVEN, only, stored_mib};
use crate::domain::id::*;
use crate::domain::job::JobSpec;
use crate::domain::state::{JobKind, JobState};
use crate::domain::time::Timestamp;
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub group_id: Option<JobGroupId>,
    /// The image that an image job builds.
    pub image_id: Option<ImageId>,
    /// The run that a run job does.
    pub run_id: Option<RunId>,
    /// The image that the job builds or uses.
    pub target_image_id: Option<ImageId>,
    pub state: JobState,
    /// How many attempts ended as `infra` and count against the job; 0 once the job is finished.
    pub infra_attempts: i64,
    /// How many attempts ended because a source did not answer; 0 once the job is finished.
    pub unanswered_attempts: i64,
    /// A maintainer's request about the job while it is leased.
    pub request: Option<Request>,
    /// The spec. It is an error if another version of Pybots planned the job in another form. Callers that need the
    /// spec handle the error.
    pub spec: Result<JobSpec, BadRow>,
    /// The investigation that scheduled the job.
    pub investigation_id: Option<InvestigationId>,
}

/// The columns of a [`Job`], of the table `job`.
pub(super) fn columns() -> String {
    format!(
        "job.id, job.group_id, job.image_id, job.run_id, job.target_image_id, job.state, job.infra_attempts,
         job.unanswered_attempts, job.request, {SPEC} AS spec, job.investigation_id"
    )
}

from_row!(
    Job, "job" by "id":
    id, group_id, image_id, run_id, target_image_id, state, infra_attempts, unanswered_attempts, request, spec,
    investigation_id,
);

/// The suffix in the ids of groups of reruns, and of builds that investigations request.
const RERUNS: &str = " reruns";

/// A job to insert.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// The image that the job builds or uses.
    pub image: &'a ImageId,
    /// The run that the job performs. `None` if the job builds the image.
    pub run: Option<&'a RunId>,
    pub platform: &'a str,
    /// The priority. In each group, the job with the highest one is next.
    pub priority: i64,
    pub spec: &'a JobSpec,
    /// Whether new hosts may not do the job.
    pub proven: bool,
    /// Why the job reruns its run for a comparison, if it does.
    pub probe: Option<Probe<'a>>,
}

/// A rerun for a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The investigation that needs the result. A probe without an investigation tries newer dependencies.
    pub investigation: Option<&'a InvestigationId>,
    /// The end whose lock the run installs: `base` or `now`.
    pub lock_of: &'a str,
    /// Whether the rerun installs another lock than its run, so that it does not count for the run's cell.
    pub crossed: bool,
    /// The only host that may do the job; any host may if this is `None`.
    pub host: Option<&'a HostId>,
}

/// The next state of a leased job.
#[derive(Clone, Copy, Debug)]
pub enum Release<'a> {
    Finished,
    /// The job waits again until `from`. For a while, only hosts other than `avoid_host` may claim it.
    Queued {
        from: Timestamp,
        avoid_host: Option<&'a HostId>,
        infra_attempts: i64,
        unanswered_attempts: i64,
    },
}

impl Store {
    /// Adds a queued job, and its group unless there is one. The job waits while a source of its run does not answer.
    /// Returns the job's id.
    pub async fn insert_job(&self, tx: &mut Tx, new: &NewJob<'_>, now: Timestamp) -> Result<JobId> {
        let kind = new.run.map_or(JobKind::Image, |_| JobKind::Run);
        let (project, memory_mib) = match new.spec {
            JobSpec::Image(_) => ("", 0),
            JobSpec::Run(run) => (run.project.as_str(), stored_mib(run.limits.memory.0.div_ceil(1 << 20))),
        };
        let (build, mut labels) = (new.spec.build(), new.spec.labels());
        labels.extend(new.probe.and_then(|probe| probe.host).map(only));
        labels.extend(new.proven.then(|| PROVEN.to_owned()));
        let mut group = [
            kind.name(),
            new.platform,
            project,
            &build.branch,
            &build.variant,
            &labels.to_string(),
            &memory_mib.to_string(),
        ]
        .join(" ");
        if new.probe.is_some() {
            group += RERUNS;
        }
        let group = JobGroupId::from(group);
        sqlx::query(
            "INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest, memory_mib, reruns)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
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
        // reruns count as no newer work, so they make no other job old
        .bind(if new.probe.is_some() { 0 } else { new.priority })
        .bind(memory_mib)
        .bind(Flag(new.probe.is_some()))
        .execute(&mut **tx)
        .await?;
        self.join_round(tx, &group).await?;
        let sources = match new.spec {
            JobSpec::Image(_) => Vec::new(),
            JobSpec::Run(run) => run.fetch.source_keys(),
        };
        let until = self.sources_until(tx, &sources).await?;
        let not_before = until.map_or(now, |until| until.max(now));
        let id = JobId::from(new_id());
        let spec = Stored::spec(new.spec)?;
        let [image, recipe] = self.share(tx, &spec).await?;
        sqlx::query(
            "INSERT INTO job (id, kind, image_id, run_id, state, priority, not_before, created_at, spec, group_id, target_image_id,
                 investigation_id, lock_of, crossed, spec_image, spec_recipe)
             VALUES ($1, $2, $3, $4, 'queued', $5, $13, $6, $7, $8, $9, $10, $11, $12, $14, $15)",
        )
        .bind(&id)
        .bind(kind)
        .bind(new.run.is_none().then_some(new.image))
        .bind(new.run)
        .bind(new.priority)
        .bind(now)
        .bind(spec.own)
        .bind(&group)
        .bind(new.image)
        .bind(new.probe.and_then(|probe| probe.investigation))
        .bind(new.probe.map(|probe| probe.lock_of))
        .bind(Flag(new.probe.is_some_and(|probe| probe.crossed)))
        .bind(not_before)
        .bind(image)
        .bind(recipe)
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// Moves a group without queued jobs up to the lowest round of the groups with queued jobs of its kind and
    /// platform, because it has no turns to make up for.
    async fn join_round(&self, tx: &mut Tx, group: &JobGroupId) -> Result<()> {
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

    pub async fn job(&self, tx: &mut Tx, id: &JobId) -> Result<Option<Job>> {
        let sql = format!("SELECT {} FROM job WHERE id = $1", columns());
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_optional(&mut **tx).await?)
    }

    pub async fn spec_of(&self, id: &JobId) -> Result<Option<JobSpec>> {
        let sql = "SELECT spec FROM job_spec WHERE job_id = $1";
        Ok(sqlx::query_scalar(sql).bind(id).fetch_optional(self.pool()).await?)
    }

    /// Returns the newest job of a run or an image, given by its id. Jobs of investigations and crossed jobs do not
    /// count.
    pub async fn job_of(&self, run_or_image: &str) -> Result<Option<Job>> {
        let sql = format!(
            "SELECT {} FROM job
             WHERE id IN (SELECT id FROM job WHERE run_id = $1 UNION ALL SELECT id FROM job WHERE image_id = $1)
               AND investigation_id IS NULL AND crossed = 0
             ORDER BY created_at DESC, id DESC LIMIT 1",
            columns()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(run_or_image);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Queues a finished job again. Returns `false` if the job is not finished.
    pub async fn requeue(&self, id: &JobId, now: Timestamp) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE job SET state = 'queued', not_before = $1, infra_attempts = 0, unanswered_attempts = 0, avoid_host = NULL,
                            request = NULL
             WHERE id = $2 AND state = 'finished'",
        )
        .bind(now)
        .bind(id)
        .execute(self.pool())
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Sets the request of a leased job, in place of an earlier one. Returns `false` if the job is not leased.
    pub async fn request_of_leased(&self, id: &JobId, request: Request) -> Result<bool> {
        let moved = sqlx::query("UPDATE job SET request = $1 WHERE id = $2 AND state = 'leased'")
            .bind(request)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Finishes a leased job or queues it again, and removes its request. Returns `false` if the job is not leased.
    pub async fn release_job(&self, tx: &mut Tx, id: &JobId, to: Release<'_>) -> Result<bool> {
        let (state, from, avoid_host, infra_attempts, unanswered_attempts) = match to {
            Release::Finished => (JobState::Finished, Timestamp::default(), None, 0, 0),
            Release::Queued {
                from,
                avoid_host,
                infra_attempts,
                unanswered_attempts,
            } => (JobState::Queued, from, avoid_host, infra_attempts, unanswered_attempts),
        };
        let moved = sqlx::query(
            "UPDATE job SET state = $1, not_before = $2, avoid_host = $3, infra_attempts = $4, unanswered_attempts = $6,
                            request = NULL
             WHERE id = $5 AND state = 'leased'",
        )
        .bind(state)
        .bind(from)
        .bind(avoid_host)
        .bind(infra_attempts)
        .bind(id)
        .bind(unanswered_attempts)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Adds the duration of a job to the moving average of its group.
    pub async fn group_took(&self, tx: &mut Tx, group: &JobGroupId, took_ms: i64) -> Result<()> {
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

    /// Queues the finished jobs again whose last attempt ended as `infra` on a host, except jobs of investigations and
    /// of recipes that are not in force. Returns how many jobs there were.
    pub async fn revive_jobs(&self, host: &HostId, now: Timestamp) -> Result<u64> {
        let moved = sqlx::query(
            "UPDATE job SET state = 'queued', not_before = $1, infra_attempts = 0, unanswered_attempts = 0, avoid_host = NULL
             WHERE state = 'finished' AND investigation_id IS NULL
               AND (run_id IS NULL OR EXISTS (
                   SELECT 1 FROM run JOIN project ON project.name = run.project
                   WHERE run.id = job.run_id AND project.registered = 1 AND project.recipe = run.recipe))
               AND id IN (
                 SELECT job_id FROM attempt AS last WHERE outcome = 'infra' AND host = $2 AND number = (
                     SELECT MAX(number) FROM attempt WHERE job_id = last.job_id))",
        )
        .bind(now)
        .bind(host)
        .execute(self.pool())
        .await?;
        Ok(moved.rows_affected())
    }

    /// Moves the build of a revision's image, if it is queued, to the group of reruns, and makes it the next one there.
    /// The newest build of its branch stays where it is, because it goes before them.
    pub async fn hasten_build(
        &self,
        revision_id: &RevisionId,
        variant: &str,
        platform: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "SELECT job.id, job.group_id FROM job JOIN job_group ON job_group.id = job.group_id
                   WHERE job.state = 'queued' AND job.priority < job_group.newest AND job_group.reruns = 0 AND job.image_id = (
                       SELECT image_id FROM revision_image WHERE revision_id = $1 AND variant = $2 AND platform = $3)";
        let query = sqlx::query_as(sql).bind(revision_id).bind(variant).bind(platform);
        let queued: Option<(JobId, JobGroupId)> = query.fetch_optional(&mut *tx).await?;
        if let Some((job, group)) = queued {
            let reruns = JobGroupId::from(format!("{group}{RERUNS}"));
            sqlx::query(
                "INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest, memory_mib, reruns)
                 SELECT $1, kind, platform, project, branch, variant, labels, 0, memory_mib, 1 FROM job_group WHERE id = $2
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&reruns)
            .bind(&group)
            .execute(&mut *tx)
            .await?;
            self.join_round(&mut tx, &reruns).await?;
            sqlx::query("UPDATE job SET priority = $1, group_id = $2 WHERE id = $3 AND state = 'queued'")
                .bind(now)
                .bind(&reruns)
                .bind(&job)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Shortens the waits of queued jobs to `until`, unless they wait for a source. Returns how many waits it
    /// shortened.
    pub async fn hasten_jobs(&self, until: Timestamp) -> Result<u64> {
        let sql = "UPDATE job SET not_before = $1 WHERE state = 'queued' AND not_before > $1
                   AND NOT EXISTS (SELECT 1 FROM unreachable_source WHERE unreachable_source.until = job.not_before)";
        let moved = sqlx::query(sql).bind(until).execute(self.pool()).await?;
        Ok(moved.rows_affected())
    }

    /// Returns how many jobs are queued, and how many are leased.
    pub async fn open_jobs(&self) -> Result<(i64, i64)> {
        let sql = "SELECT (SELECT COUNT(*) FROM job WHERE state = 'queued'), (SELECT COUNT(*) FROM job WHERE state = 'leased')";
        Ok(sqlx::query_as(sql).fetch_one(self.pool()).await?)
    }

    /// Counts the work that is left.
    pub async fn ahead(&self) -> Result<Ahead> {
        Ok(sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM branch WHERE watched = 1 AND checked_at IS NULL) AS unseen_branches,
                    (SELECT COUNT(*) FROM revision JOIN branch ON branch.id = revision.branch_id
                     WHERE branch.watched = 1 AND revision.left_at IS NULL AND revision.planned_at IS NULL
                       AND NOT EXISTS (SELECT 1 FROM revision_image JOIN image ON image.id = revision_image.image_id
                                       WHERE revision_image.revision_id = revision.id AND image.state = 'wanted'))
                        + (SELECT COUNT(*) FROM run WHERE run.withdrawn = 'unplanned' AND EXISTS (
                               SELECT 1 FROM project WHERE project.name = run.project AND project.registered = 1)) AS unplanned,
                    (SELECT COUNT(*) FROM investigation WHERE state = 'open')
                        + (SELECT COUNT(*) FROM run WHERE evaluated_at IS NULL AND NOT EXISTS (
                               SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished')) AS doubtful,
                    (SELECT COUNT(*) FROM job WHERE state = 'queued') AS queued,
                    (SELECT COUNT(*) FROM job WHERE state = 'leased') AS leased",
        )
        .fetch_one(self.pool())
        .await?)
    }
}

/// Counts of the work that is left.
#[derive(Clone, Copy, Debug, FromRow, PartialEq, Eq)]
pub struct Ahead {
    pub unseen_branches: i64,
    /// Revisions whose runs are not planned, and withdrawn runs that nothing has replaced. A revision that waits for
    /// its image is left out, because the build counts as a job.
    pub unplanned: i64,
    /// Runs whose jobs have ended but that are not evaluated, and investigations without an answer.
    pub doubtful: i64,
    pub queued: i64,
    pub leased: i64,
}

impl Ahead {
    pub fn nothing(&self) -> bool {
        self.unseen_branches + self.unplanned + self.doubtful + self.queued + self.leased == 0
    }
}
