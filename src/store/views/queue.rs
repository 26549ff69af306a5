//! The queue: the jobs in progress, the jobs that wait, and when they will be done.

use super::host::{COLUMNS, HostAttempt, JOINED};
use super::waits::Waiting;
use crate::domain::forecast::{Load, forecast};
use crate::domain::id::HostId;
use crate::domain::time::Timestamp;
use crate::domain::waiting::{COUNTED_MOST, WaitReason, WaitingHost};
use crate::store::Store;
use crate::store::claims::JobGroup;
use anyhow::Result;
use sqlx::FromRow;
use std::collections::BTreeMap;

/// The most leased jobs that an estimate counts.
const RUNNING_MOST: i64 = 2_000;

/// The most queued jobs that [`Store::backlog`] counts.
pub const BACKLOG_MOST: i64 = 10_000;

/// What runs, what waits, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueForecast {
    /// The jobs in progress, oldest first, [`RUNNING_MOST`] at most.
    pub running: Vec<RunningJob>,
    /// The groups with queued jobs. Groups that no host takes come first, then the group that is done first.
    pub groups: Vec<GroupForecast>,
    pub fleet: Fleet,
}

impl QueueForecast {
    /// Returns when the last job ends of those whose end can be estimated. `None` if there is none.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.groups.iter().filter_map(|group| group.ends_at).max()
    }

    /// Returns whether the end is a lower bound: hosts take jobs that were not counted, or whose end can't be estimated.
    pub fn may_end_later(&self) -> bool {
        let mut taken = self.groups.iter().filter(|group| group.has_taker);
        taken.any(|group| group.jobs > COUNTED_MOST || group.ends_at.is_none())
    }

    /// Returns whether more jobs that no host takes wait than were counted.
    pub fn may_have_more_stuck(&self) -> bool {
        let mut stuck = self.groups.iter().filter(|group| !group.has_taker);
        stuck.any(|group| group.jobs > COUNTED_MOST)
    }

    /// Counts the queued jobs that no host takes at present.
    pub fn stuck(&self) -> i64 {
        let stuck = self.groups.iter().filter(|group| !group.has_taker);
        stuck.map(|group| group.jobs).sum()
    }
}

/// A job in progress.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct RunningJob {
    #[sqlx(flatten)]
    pub attempt: HostAttempt,
    pub host: HostId,
    /// The name of the host, unless it was never registered.
    pub host_name: Option<String>,
    /// How long such jobs took recently, in milliseconds; 0 if none has ended.
    expected_ms: i64,
}

impl RunningJob {
    /// Returns when the job ends, if it takes as long as such jobs did recently.
    pub fn ends_at(&self) -> Option<Timestamp> {
        let at = Timestamp::from_millis(self.attempt.started_at.as_millis().saturating_add(self.expected_ms));
        (self.expected_ms > 0).then_some(at)
    }
}

/// Queued jobs that the same hosts can take.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupForecast {
    pub group: JobGroup,
    /// How many jobs are queued, counted up to one more than [`crate::domain::waiting::COUNTED_MOST`].
    pub jobs: i64,
    /// Why the next job waits.
    pub reason: WaitReason,
    /// Whether a host takes the jobs as soon as they may be claimed and a slot is free.
    pub has_taker: bool,
    /// When the last of them ends. `None` if no host takes them, or if no such job has ended before.
    pub ends_at: Option<Timestamp>,
}

/// The hosts that call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    pub online: usize,
    /// The registered hosts that do not call.
    pub silent: usize,
    /// How many jobs the hosts that take jobs at present do at the same time.
    pub slots: i64,
}

impl Fleet {
    fn of(hosts: &[WaitingHost], now: Timestamp) -> Self {
        use crate::domain::host::HostState::Removed;
        let registered = || hosts.iter().filter(|host| host.state != Removed && host.has_token);
        let online = || registered().filter(|host| host.is_online(now));
        Self {
            online: online().count(),
            silent: registered().count() - online().count(),
            slots: registered()
                .filter(|host| host.is_ready(now))
                .map(WaitingHost::slots)
                .sum(),
        }
    }
}

/// The work that waits, without regard to which host takes which job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many jobs are queued, counted up to one more than [`BACKLOG_MOST`].
    pub queued: i64,
    /// How long the counted jobs take on the whole fleet, in milliseconds. `None` if no such job has ended before, or if
    /// no host takes jobs at present.
    pub takes_ms: Option<i64>,
    pub fleet: Fleet,
}

impl Store {
    /// Reads the queue, and estimates when it is done.
    pub async fn queue_forecast(&self, now: Timestamp) -> Result<QueueForecast> {
        let running = self.running_jobs(RUNNING_MOST).await?;
        let waiting = self.waiting_jobs().await?;
        let hosts = self.waiting_hosts().await?;
        let slots: BTreeMap<HostId, i64> = hosts.iter().map(|host| (host.id.clone(), host.slots())).collect();
        let mut loads: Vec<Load> = waiting.iter().map(|(job, jobs)| load(job, *jobs, now)).collect();
        // what is left of a running job says nothing about others
        let measured: Vec<i64> = loads.iter().filter_map(|load| load.expected_ms).collect();
        let usual = i64::try_from(measured.len()).map_or(0, |count| measured.iter().sum::<i64>() / count.max(1));
        loads.extend(running.iter().map(|job| Load {
            jobs: 1,
            expected_ms: job.ends_at().map(|end| (end - now).max(0)),
            hosts: [job.host.clone()].into(),
        }));
        let ends = forecast(&loads, &slots, usual);
        let mut groups: Vec<GroupForecast> = waiting
            .iter()
            .zip(loads.iter().zip(ends))
            .filter_map(|((job, jobs), (load, end))| {
                Some(GroupForecast {
                    group: job.group()?.clone(),
                    jobs: *jobs,
                    reason: job.reason(now),
                    has_taker: !load.hosts.is_empty(),
                    ends_at: end.map(|ms| (now + ms).max(job.from() + load.expected_ms.unwrap_or(0))),
                })
            })
            .collect();
        groups.sort_by(|a, b| (a.has_taker, a.ends_at, &a.group.id).cmp(&(b.has_taker, b.ends_at, &b.group.id)));
        Ok(QueueForecast {
            running,
            groups,
            fleet: Fleet::of(&hosts, now),
        })
    }

    /// Adds up the work that waits. This costs less than [`Store::queue_forecast`].
    pub async fn backlog(&self, now: Timestamp) -> Result<Backlog> {
        let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(job_group.expected_ms), 0) AS BIGINT),
                          COUNT(CASE WHEN job_group.expected_ms > 0 THEN 1 END)
                   FROM (SELECT group_id FROM job WHERE state = 'queued' ORDER BY group_id, priority DESC, created_at, id
                         LIMIT $1) AS waiting
                   LEFT JOIN job_group ON job_group.id = waiting.group_id";
        let (queued, work, measured): (i64, i64, i64) = sqlx::query_as(sql)
            .bind(BACKLOG_MOST + 1)
            .fetch_one(self.pool())
            .await?;
        let fleet = Fleet::of(&self.waiting_hosts().await?, now);
        let is_measured = measured > 0 && fleet.slots > 0;
        Ok(Backlog {
            queued,
            // jobs without a duration take as long as the others
            takes_ms: is_measured.then(|| work / measured * queued / fleet.slots),
            fleet,
        })
    }

    /// Returns the jobs in progress, oldest first, `most` at most.
    async fn running_jobs(&self, most: i64) -> Result<Vec<RunningJob>> {
        let sql = format!(
            "SELECT {COLUMNS}, attempt.host, host.name AS host_name, COALESCE(job_group.expected_ms, 0) AS expected_ms
             FROM {JOINED}
             LEFT JOIN job_group ON job_group.id = job.group_id
             LEFT JOIN host ON host.id = attempt.host
             WHERE attempt.state = 'leased' ORDER BY attempt.started_at, attempt.id LIMIT $1"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        Ok(query.bind(most).fetch_all(self.pool()).await?)
    }
}

fn load(waiting: &Waiting, jobs: i64, now: Timestamp) -> Load {
    let expected = waiting.group().map_or(0, |group| group.expected_ms);
    Load {
        jobs,
        expected_ms: (expected > 0).then_some(expected),
        hosts: waiting.takers(now),
    }
}
