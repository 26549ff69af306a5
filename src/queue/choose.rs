//! Chooses the next job for a host. Jobs that the same hosts can take form a group, and only the first job of each
//! group competes. So the cost of a choice depends on the number of groups, not on the length of the queue.

use crate::domain::id::{HostId, ImageId, JobId};
use crate::domain::state::JobKind;
use crate::domain::time::Timestamp;
use crate::store::claims::{ELSEWHERE_FIRST_MS, FirstJob, JobGroup, Taker};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// The groups with queued jobs, for a batch of claims.
pub struct QueuedGroups {
    groups: Vec<QueuedGroup>,
    heads: BTreeMap<JobId, FirstJob>,
    /// Pairs of a host and an image that it holds, for the claiming hosts and the images of `heads`.
    held: BTreeSet<(HostId, ImageId)>,
    now: Timestamp,
}

struct QueuedGroup {
    group: JobGroup,
    /// Whether this batch has taken a job of the group. Only the database can then find the group's next job.
    taken: bool,
}

/// A job that a host may get. The smallest value is the best choice.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct JobChoice {
    rank: Rank,
    /// The index of the group.
    pub group: usize,
    /// `None` if only the database can say which job of the group the host may get. That job ranks no better than this
    /// choice.
    pub job: Option<JobId>,
}

/// The order of choices: by kind of work, and then by the groups' turns. Within a turn, jobs whose image the host holds
/// come first, and then the longest ones.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    work: Urgency,
    round: i64,
    elsewhere: bool,
    expected_ms: Reverse<i64>,
    /// Empty if only the database can find the job.
    job: JobId,
}

/// Kinds of work, the most urgent first. People wait for the results of the newest revision of a branch, so its jobs
/// come before the reruns of investigations, which any recipe can cause again and again. Among the newest jobs, runs
/// come before builds, which take longer. Older revisions fill the gaps.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    NewestRun,
    NewestBuild,
    Rerun,
    OlderRun,
    OlderBuild,
}

impl QueuedGroups {
    pub fn new(groups: Vec<JobGroup>, heads: Vec<FirstJob>, held: BTreeSet<(HostId, ImageId)>, now: Timestamp) -> Self {
        Self {
            groups: groups
                .into_iter()
                .map(|group| QueuedGroup { group, taken: false })
                .collect(),
            heads: heads.into_iter().map(|head| (head.id.clone(), head)).collect(),
            held,
            now,
        }
    }

    /// Returns the choices for a host: one for each group whose jobs it may do, best first.
    pub fn choices(&self, taker: &Taker<'_>) -> BinaryHeap<Reverse<JobChoice>> {
        let indexed = self.groups.iter().enumerate();
        indexed
            .filter(|(_, queued)| fits(&queued.group, taker))
            .filter_map(|(index, queued)| self.choice(index, queued, taker))
            .map(Reverse)
            .collect()
    }

    fn choice(&self, index: usize, queued: &QueuedGroup, taker: &Taker<'_>) -> Option<JobChoice> {
        let group = &queued.group;
        let first = self.heads.get(group.first.as_ref()?)?;
        let image = group.kind == JobKind::Image;
        let holds = |head: &FirstJob| {
            let (host, image) = (taker.host.clone(), head.target_image_id.clone());
            image.is_some_and(|image| self.held.contains(&(host, image)))
        };
        let head = |id: &Option<JobId>| id.as_ref().and_then(|id| self.heads.get(id));
        let job = if holds(first) || (image && taker.builds) {
            Some(first)
        } else if taker.builds {
            // for a while after it is queued, only hosts that hold its image may take a job
            Some(head(&group.ripe)?)
        } else if taker.pulls {
            // if the first job's image can't be pulled, the host may still hold the image of a later job
            head(&group.pullable)
        } else {
            None
        };
        let job = job.filter(|head| !queued.taken && !self.avoids(head, taker));
        Some(match job {
            Some(head) => self.choice_of(index, head, !holds(head)),
            None => JobChoice {
                rank: rank(group, first, false, JobId::default()),
                group: index,
                job: None,
            },
        })
    }

    /// Returns the choice of one job of a group. `elsewhere` is true if the host does not hold its image.
    pub fn choice_of(&self, index: usize, head: &FirstJob, elsewhere: bool) -> JobChoice {
        JobChoice {
            rank: rank(&self.groups[index].group, head, elsewhere, head.id.clone()),
            group: index,
            job: Some(head.id.clone()),
        }
    }

    fn avoids(&self, head: &FirstJob, taker: &Taker<'_>) -> bool {
        head.avoid_host.as_ref() == Some(taker.host) && head.not_before > self.now - ELSEWHERE_FIRST_MS
    }

    pub fn group(&self, index: usize) -> &JobGroup {
        &self.groups[index].group
    }

    /// Records that a job of a group was taken, and that the group had its turn.
    pub fn took(&mut self, index: usize) {
        let queued = &mut self.groups[index];
        queued.taken = true;
        queued.group.round += 1;
    }
}

fn rank(group: &JobGroup, head: &FirstJob, elsewhere: bool, job: JobId) -> Rank {
    Rank {
        work: work(group, head),
        round: group.round,
        elsewhere,
        expected_ms: Reverse(group.expected_ms),
        job,
    }
}

fn work(group: &JobGroup, head: &FirstJob) -> Urgency {
    let is_newest = head.priority >= group.newest;
    match (group.kind, is_newest) {
        _ if group.reruns => Urgency::Rerun,
        (JobKind::Run, true) => Urgency::NewestRun,
        (JobKind::Image, true) => Urgency::NewestBuild,
        (JobKind::Run, false) => Urgency::OlderRun,
        (JobKind::Image, false) => Urgency::OlderBuild,
    }
}

/// Returns whether a host accepts the jobs of a group, and meets their needs.
pub fn fits(group: &JobGroup, taker: &Taker<'_>) -> bool {
    group.needs().are_met(taker.host, taker.builds, taker.capabilities)
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
