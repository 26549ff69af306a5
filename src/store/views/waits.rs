//! Finds out why jobs wait: reads the input of the rule in [`crate::domain::waiting`]. One query serves all jobs of a
//! page, by their groups.

use crate::domain::id::{HostId, ImageId, InvestigationId, JobGroupId};
use crate::domain::time::Timestamp;
use crate::domain::waiting::{COUNTED_MOST, WaitReason, WaitingHost, WaitingJob, wait_reason};
use crate::store::Store;
use crate::store::claims::{JobGroup, PARAMETERS_MOST, parameters};
use crate::store::rows::from_row;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The columns of a queued job that decide why it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuedJob {
    /// The group, or `None` for jobs that an earlier version added.
    pub group_id: Option<JobGroupId>,
    pub not_before: Timestamp,
    pub target_image_id: Option<ImageId>,
}

from_row!(QueuedJob, "job" by "id": group_id, not_before, target_image_id);

/// A group with queued jobs: the next job, and the number of jobs.
struct GroupHead {
    id: JobGroupId,
    not_before: Timestamp,
    target_image_id: Option<ImageId>,
    queued: i64,
}

from_row!(GroupHead, "job_group" by "id": id, not_before, target_image_id, queued);

/// A job that waits, with everything that says why.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub(super) job: QueuedJob,
    queue: Arc<QueueState>,
}

/// The hosts, and the groups, images and sources of the jobs on a page.
#[derive(Debug, Default, PartialEq)]
struct QueueState {
    hosts: Vec<WaitingHost>,
    groups: BTreeMap<JobGroupId, JobGroup>,
    /// The sources for which jobs wait, by the time at which the wait ends. A job that waits for a source has exactly
    /// this time.
    sources: BTreeMap<Timestamp, String>,
    holders: BTreeMap<ImageId, BTreeSet<HostId>>,
    pushed: BTreeSet<ImageId>,
    queued: i64,
}

impl Waiting {
    /// Creates a waiting job without the input of the rule, which [`Store::explain`] reads.
    pub(super) fn new(job: QueuedJob) -> Self {
        Self {
            job,
            queue: Arc::default(),
        }
    }

    /// Returns why the job waits at `now`. Returns [`WaitReason::Soon`] for a job without a group.
    pub fn reason(&self, now: Timestamp) -> WaitReason {
        match self.waiting_job() {
            Some(waiting) => wait_reason(&waiting, &self.queue.hosts, now),
            None => WaitReason::Soon,
        }
    }

    /// Returns the time from which the job may be claimed.
    pub(super) fn from(&self) -> Timestamp {
        self.job.not_before
    }

    /// Returns the group of the job, unless an earlier version added it.
    pub(super) fn group(&self) -> Option<&JobGroup> {
        self.queue.groups.get(self.job.group_id.as_ref()?)
    }

    /// Returns the hosts that take the job as soon as they have a free slot.
    pub(super) fn takers(&self, now: Timestamp) -> BTreeSet<HostId> {
        let Some(waiting) = self.waiting_job() else {
            return BTreeSet::new();
        };
        let takers = self.queue.hosts.iter().filter(|host| host.takes(&waiting, now));
        takers.map(|host| host.id.clone()).collect()
    }

    /// Returns the input of the rule. Returns `None` for a job without a group.
    fn waiting_job(&self) -> Option<WaitingJob<'_>> {
        static NOBODY: BTreeSet<HostId> = BTreeSet::new();
        let (job, queue) = (&self.job, &self.queue);
        let image = job.target_image_id.as_ref();
        Some(WaitingJob {
            needs: self.group()?.needs(),
            from: job.not_before,
            source: queue.sources.get(&job.not_before).map(String::as_str),
            holders: image.and_then(|id| queue.holders.get(id)).unwrap_or(&NOBODY),
            is_pushed: image.is_some_and(|id| queue.pushed.contains(id)),
            queued: queue.queued,
        })
    }
}

impl Store {
    /// Reads why jobs wait. Makes no query if there are none.
    pub(super) async fn explain(&self, jobs: Vec<&mut Waiting>) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let state = Arc::new(self.queue_state(jobs.iter().map(|waiting| &waiting.job)).await?);
        for waiting in jobs {
            waiting.queue = state.clone();
        }
        Ok(())
    }

    /// Returns a queued job of a run or an image, given by its id, with the reasons why it waits. Jobs of
    /// investigations count unless they are crossed. Returns `None` if none is queued.
    pub async fn waiting_of(&self, run_or_image: &str) -> Result<Option<Waiting>> {
        let sql = "SELECT id, group_id, not_before, target_image_id FROM job
                   WHERE (run_id = $1 OR image_id = $1) AND state = 'queued' AND crossed = 0 LIMIT 1";
        let job: Option<QueuedJob> = sqlx::query_as(sql)
            .bind(run_or_image)
            .fetch_optional(self.pool())
            .await?;
        let mut waiting = job.map(Waiting::new);
        self.explain(waiting.iter_mut().collect()).await?;
        Ok(waiting)
    }

    /// Returns the next queued rerun of each of these investigations, with the reasons why it waits. Investigations
    /// without one are left out.
    pub async fn waiting_in(&self, investigations: &[InvestigationId]) -> Result<BTreeMap<InvestigationId, Waiting>> {
        let sql = "SELECT id, group_id, not_before, target_image_id FROM job
                   WHERE investigation_id = $1 AND state = 'queued' ORDER BY created_at, id LIMIT 1";
        let mut waiting = BTreeMap::new();
        for id in investigations {
            let job: Option<QueuedJob> = sqlx::query_as(sql)
                .bind(id.as_str())
                .fetch_optional(self.pool())
                .await?;
            waiting.extend(job.map(|job| (id.clone(), Waiting::new(job))));
        }
        self.explain(waiting.values_mut().collect()).await?;
        Ok(waiting)
    }

    /// Returns the next queued job of each group, with the reasons why it waits, and the number of queued jobs in the
    /// group. They are counted up to one more than [`COUNTED_MOST`].
    pub async fn waiting_jobs(&self) -> Result<Vec<(Waiting, i64)>> {
        let heads: Vec<GroupHead> = sqlx::query_as(
            "SELECT job_group.id, job.not_before, job.target_image_id,
                    (SELECT COUNT(*) FROM (SELECT 1 AS one FROM job WHERE job.group_id = job_group.id AND job.state = 'queued'
                                           LIMIT $1) AS counted) AS queued
             FROM job_group JOIN job ON job.id = (
                 SELECT next.id FROM job AS next WHERE next.group_id = job_group.id AND next.state = 'queued'
                 ORDER BY next.priority DESC, next.created_at, next.id LIMIT 1)",
        )
        .bind(COUNTED_MOST + 1)
        .fetch_all(self.pool())
        .await?;
        let waiting = |head: GroupHead| {
            let job = QueuedJob {
                group_id: Some(head.id),
                not_before: head.not_before,
                target_image_id: head.target_image_id,
            };
            (Waiting::new(job), head.queued)
        };
        let mut jobs: Vec<(Waiting, i64)> = heads.into_iter().map(waiting).collect();
        self.explain(jobs.iter_mut().map(|(waiting, _)| waiting).collect())
            .await?;
        Ok(jobs)
    }

    async fn queue_state(&self, jobs: impl Iterator<Item = &QueuedJob> + Clone) -> Result<QueueState> {
        let groups: BTreeSet<&JobGroupId> = jobs.clone().filter_map(|job| job.group_id.as_ref()).collect();
        let images: BTreeSet<&ImageId> = jobs.filter_map(|job| job.target_image_id.as_ref()).collect();
        let mut state = QueueState {
            hosts: self.waiting_hosts().await?,
            queued: sqlx::query_scalar(
                "SELECT COUNT(*) FROM (SELECT 1 AS one FROM job WHERE state = 'queued' LIMIT $1) AS counted",
            )
            .bind(COUNTED_MOST + 1)
            .fetch_one(self.pool())
            .await?,
            ..QueueState::default()
        };
        let sources: Vec<(i64, String)> = sqlx::query_as("SELECT until, address FROM unreachable_source")
            .fetch_all(self.pool())
            .await?;
        let shown = |address: &str| crate::domain::address::Address::new(address).to_string();
        state.sources = sources
            .into_iter()
            .map(|(until, address)| (Timestamp::from_millis(until), shown(&address)))
            .collect();
        for ids in Vec::from_iter(groups).chunks(PARAMETERS_MOST) {
            let sql = format!(
                "SELECT id, kind, platform, project, branch, variant, labels, memory_mib, reruns, newest, round, expected_ms,
                        NULL AS first, NULL AS ripe, NULL AS pullable FROM job_group WHERE id IN ({})",
                parameters(1, ids.len())
            );
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for id in ids {
                query = query.bind(*id);
            }
            let groups: Vec<JobGroup> = query.fetch_all(self.pool()).await?;
            state
                .groups
                .extend(groups.into_iter().map(|group| (group.id.clone(), group)));
        }
        for ids in Vec::from_iter(images).chunks(PARAMETERS_MOST) {
            let among = parameters(1, ids.len());
            let sql = format!("SELECT image_id, host FROM image_on_host WHERE image_id IN ({among})");
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for id in ids {
                query = query.bind(*id);
            }
            let held: Vec<(ImageId, HostId)> = query.fetch_all(self.pool()).await?;
            for (image, host) in held {
                state.holders.entry(image).or_default().insert(host);
            }
            let sql = format!("SELECT id FROM image WHERE id IN ({among}) AND remote IS NOT NULL");
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
            for id in ids {
                query = query.bind(*id);
            }
            let pushed: Vec<ImageId> = query.fetch_all(self.pool()).await?;
            state.pushed.extend(pushed);
        }
        Ok(state)
    }

    /// Returns the registered hosts, and the removed ones, because reasons may name them.
    pub(super) async fn waiting_hosts(&self) -> Result<Vec<WaitingHost>> {
        let loads = self.host_loads().await?;
        let hosts = self.hosts().await?.into_iter().map(|host| WaitingHost {
            working: loads.get(&host.id).copied().unwrap_or(0),
            has_token: host.token.is_some(),
            id: host.id,
            name: host.name,
            state: host.state,
            builds: host.builds,
            seen_at: host.seen_at,
            backoff_until: host.backoff_until,
            consecutive_failures: host.consecutive_failures,
            capabilities: host.capabilities,
        });
        Ok(hosts.collect())
    }
}
