//! The queries of claims: which jobs are first in each group. [`crate::queue`] decides which of them a host gets.

use super::jobs::{self, Job};
use super::rows::from_row;
use super::types::Flag;
use super::{Store, Tx};
use crate::domain::host::{Capabilities, Labels};
use crate::domain::id::*;
use crate::domain::state::JobKind;
use crate::domain::time::Timestamp;
use crate::domain::waiting::JobNeeds;
use anyhow::Result;
use sqlx::FromRow;
use std::collections::{BTreeMap, BTreeSet};

/// The host that makes a claim.
#[derive(Clone, Copy, Debug)]
pub struct Taker<'a> {
    pub host: &'a HostId,
    /// Whether the host may build images. A host that may not only does runs, on images that it holds or can pull.
    pub builds: bool,
    /// Whether the host can pull images from a registry.
    pub pulls: bool,
    /// The most jobs that the host may have leased; any number if this is `None`.
    pub most: Option<i64>,
    pub capabilities: &'a Capabilities,
}

/// How long only the hosts that hold its image may claim a run, in milliseconds.
const LOCAL_FIRST_MS: i64 = 500;

/// How long a job that failed on a host waits for another host, in milliseconds.
pub const ELSEWHERE_FIRST_MS: i64 = 60_000;

/// The most ids among the parameters of one statement. Both databases accept more.
pub(super) const PARAMETERS_MOST: usize = 500;

/// A job group, and the queued jobs that are first in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobGroup {
    pub id: JobGroupId,
    pub kind: JobKind,
    pub platform: String,
    /// The project, or an empty text for images.
    pub project: String,
    pub branch: String,
    pub variant: String,
    /// The labels of which a host must have all.
    pub labels: Labels,
    /// How much memory a run may use, in MiB.
    pub memory_mib: i64,
    /// Whether the jobs are reruns, or builds that investigations request.
    pub reruns: bool,
    /// The highest priority that a job of the group ever had; 0 for a group of reruns.
    pub newest: i64,
    /// How many turns the group has had.
    pub round: i64,
    /// The moving average of the time that a job of the group takes, in milliseconds.
    pub expected_ms: i64,
    /// The first job that may be claimed now.
    pub first: Option<JobId>,
    /// The first job that hosts without its image may claim, too.
    pub ripe: Option<JobId>,
    /// The first job that hosts without its image may claim, and whose image can be pulled. `None` if the reader did
    /// not ask for it.
    pub pullable: Option<JobId>,
}

from_row!(
    JobGroup, "job_group" by "id":
    id, kind, platform, project, branch, variant, labels, memory_mib, reruns, newest, round, expected_ms, first, ripe, pullable,
);

impl JobGroup {
    /// Returns the needs of its jobs.
    pub fn needs(&self) -> JobNeeds<'_> {
        JobNeeds {
            kind: self.kind,
            platform: &self.platform,
            project: &self.project,
            branch: &self.branch,
            labels: &self.labels,
            memory_mib: self.memory_mib,
        }
    }
}

/// The columns of a queued job that decide whether it is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstJob {
    pub id: JobId,
    pub priority: i64,
    /// The image that the job builds or uses.
    pub target_image_id: Option<ImageId>,
    /// The host that may not claim the job for [`ELSEWHERE_FIRST_MS`], because the job failed there.
    pub avoid_host: Option<HostId>,
    pub not_before: Timestamp,
}

from_row!(FirstJob, "job" by "id": id, priority, target_image_id, avoid_host, not_before);

/// The condition on jobs of a group that may be claimed now.
const MINE: &str = "job.group_id = job_group.id AND job.state = 'queued' AND job.not_before <= $1";
const ORDER: &str = "ORDER BY job.priority DESC, job.created_at, job.id LIMIT 1";
const PULLABLE: &str = "EXISTS (SELECT 1 FROM image WHERE image.id = job.target_image_id AND image.remote IS NOT NULL)";

impl Store {
    /// Returns the groups with a queued job that is due. Looks for their `pullable` jobs only if `pulls` is true.
    pub async fn waiting_groups(&self, tx: &mut Tx, pulls: bool, now: Timestamp) -> Result<Vec<JobGroup>> {
        let ripe = format!("{MINE} AND job.not_before <= $1 - {LOCAL_FIRST_MS}");
        let first = |which: &str| format!("(SELECT job.id FROM job WHERE {which} {ORDER})");
        let pullable = if pulls {
            first(&format!("{ripe} AND {PULLABLE}"))
        } else {
            "NULL".to_owned()
        };
        let sql = format!(
            "SELECT id, kind, platform, project, branch, variant, labels, memory_mib, reruns, newest, round, expected_ms,
                    {first} AS first, {ripe} AS ripe, {pullable} AS pullable FROM job_group
             WHERE EXISTS (SELECT 1 FROM job WHERE {MINE})",
            first = first(MINE),
            ripe = first(&ripe),
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(now);
        Ok(query.fetch_all(&mut **tx).await?)
    }

    /// Returns the `first`, `ripe` and `pullable` jobs of the groups, each once and in no order.
    pub async fn heads(&self, tx: &mut Tx, groups: &[JobGroup]) -> Result<Vec<FirstJob>> {
        let named = |group: &JobGroup| [group.first.clone(), group.ripe.clone(), group.pullable.clone()];
        let ids: BTreeSet<JobId> = groups.iter().flat_map(named).flatten().collect();
        let mut heads = Vec::new();
        for ids in Vec::from_iter(ids).chunks(PARAMETERS_MOST) {
            let among = parameters(1, ids.len());
            let sql =
                format!("SELECT id, priority, target_image_id, avoid_host, not_before FROM job WHERE id IN ({among})");
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for id in ids {
                query = query.bind(id);
            }
            heads.extend(query.fetch_all(&mut **tx).await?);
        }
        Ok(heads)
    }

    /// Returns the pairs of a host and an image that it holds, among these hosts and images.
    pub async fn held(&self, tx: &mut Tx, hosts: &[HostId], images: &[ImageId]) -> Result<BTreeSet<(HostId, ImageId)>> {
        let mut held = BTreeSet::new();
        for images in images.chunks(PARAMETERS_MOST) {
            let (these, those) = (parameters(1, images.len()), parameters(images.len() + 1, hosts.len()));
            let sql =
                format!("SELECT host, image_id FROM image_on_host WHERE image_id IN ({these}) AND host IN ({those})");
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for image in images {
                query = query.bind(image);
            }
            for host in hosts {
                query = query.bind(host);
            }
            held.extend(query.fetch_all(&mut **tx).await?);
        }
        Ok(held)
    }

    /// Returns the first job of a group that a host may claim now, and whether the host holds its image. Returns `None`
    /// if there is no such job.
    pub async fn first_for(
        &self,
        tx: &mut Tx,
        group: &JobGroup,
        taker: &Taker<'_>,
        now: Timestamp,
    ) -> Result<Option<(FirstJob, bool)>> {
        let held =
            "EXISTS (SELECT 1 FROM image_on_host AS held WHERE held.image_id = job.target_image_id AND held.host = $2)";
        let there = if group.kind == JobKind::Image {
            "1 = 1".to_owned()
        } else if taker.builds {
            format!("(job.not_before <= $1 - {LOCAL_FIRST_MS} OR {held})")
        } else if taker.pulls {
            format!("(job.not_before <= $1 - {LOCAL_FIRST_MS} AND {PULLABLE} OR {held})")
        } else {
            held.to_owned()
        };
        let sql = format!(
            "SELECT id, priority, target_image_id, avoid_host, not_before, CASE WHEN {held} THEN 1 ELSE 0 END AS held FROM job
             WHERE group_id = $3 AND state = 'queued' AND not_before <= $1
               AND (avoid_host IS NULL OR avoid_host <> $2 OR not_before <= $1 - {ELSEWHERE_FIRST_MS}) AND {there} {ORDER}"
        );
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            head: FirstJob,
            #[sqlx(try_from = "Flag")]
            held: bool,
        }
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(now)
            .bind(taker.host)
            .bind(&group.id)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(row.map(|row| (row.head, row.held)))
    }

    /// Returns how many jobs are leased to a host.
    pub async fn working(&self, tx: &mut Tx, host: &HostId) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM attempt WHERE host = $1 AND state = 'leased'";
        Ok(sqlx::query_scalar(sql).bind(host).fetch_one(&mut **tx).await?)
    }

    /// Leases a queued job. Returns `None` if the job is no longer queued. The transaction must end with
    /// [`Store::take_turns`].
    pub async fn take_job(&self, tx: &mut Tx, id: &JobId) -> Result<Option<Job>> {
        let columns = jobs::columns();
        let sql = format!("UPDATE job SET state = 'leased' WHERE id = $1 AND state = 'queued' RETURNING {columns}");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?)
    }

    /// Leases a queued job to no host. Returns `false` if the job is not queued.
    pub async fn take_queued(&self, tx: &mut Tx, id: &JobId) -> Result<bool> {
        if let Some(run) = self.run_of_job(tx, id).await? {
            self.lock_cell(tx, &run).await?;
        }
        let moved = sqlx::query("UPDATE job SET state = 'leased' WHERE id = $1 AND state = 'queued'")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Counts the turns that groups took. Call it after the last job of the transaction is taken, because an
    /// attempt that ends locks its job before the group.
    pub async fn take_turns(&self, tx: &mut Tx, turns: &BTreeMap<JobGroupId, i64>) -> Result<()> {
        for (group, turns) in turns {
            sqlx::query("UPDATE job_group SET round = round + $1 WHERE id = $2")
                .bind(turns)
                .bind(group)
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// Returns whether any queued job is due, even if no host may claim it.
    pub async fn is_job_due(&self, now: Timestamp) -> Result<bool> {
        let due: Option<String> =
            sqlx::query_scalar("SELECT id FROM job WHERE state = 'queued' AND not_before <= $1 LIMIT 1")
                .bind(now)
                .fetch_optional(self.pool())
                .await?;
        Ok(due.is_some())
    }
}

/// Returns the parameters for a list in a statement: `$3, $4, $5`.
pub(super) fn parameters(from: usize, count: usize) -> String {
    let parameters: Vec<String> = (from..from + count).map(|number| format!("${number}")).collect();
    parameters.join(", ")
}
