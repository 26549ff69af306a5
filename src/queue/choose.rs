//! Chooses the next job for a host. Jobs that the same hosts can take are a group, and only the first job of each group
//! competes: the cost of a choice depends on the number of groups, not on the length of the queue.

use crate::domain::id::{HostId, ImageId, JobId};
use crate::domain::state::JobKind;
use crate::domain::time::Timestamp;
use crate::store::claims::{ELSEWHERE_FIRST_MS, FirstJob, JobGroup, Taker};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// The groups with queued jobs, for claims that are served together.
pub struct QueuedGroups {
    groups: Vec<QueuedGroup>,
    heads: BTreeMap<JobId, FirstJob>,
    /// Pairs of a host and an image that it holds, for the hosts that claim and the images of `heads`.
    held: BTreeSet<(HostId, ImageId)>,
    now: Timestamp,
}

struct QueuedGroup {
    group: JobGroup,
    /// A job of the group was taken. Only the database knows which one is first now.
    taken: bool,
}

/// A job that a host may get. The smallest is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct JobChoice {
    rank: Rank,
    /// The index of the group.
    pub group: usize,
    /// `None` if the database has to be asked which job of the group the host may get. That job ranks no better than this.
    pub job: Option<JobId>,
}

/// The order of choices: what kind of work it is, and then whose turn. Within a turn, jobs come first whose image the host holds,
/// and then those that take longest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    work: Urgency,
    round: i64,
    elsewhere: bool,
    expected_ms: Reverse<i64>,
    /// Empty if the database has to be asked which job it is.
    job: JobId,
}

/// Kinds of work, the most urgent first. Somebody waits for the result of the newest revision of a branch, so what it needs goes
/// before the reruns of investigations: any recipe can make investigations go on and on. Among the newest jobs, runs come before
/// builds, which take longer. Older revisions fill the gaps.
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

    /// The choices for a host, the best first.
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
            // for a while, only hosts that hold its image may have it
            Some(head(&group.ripe)?)
        } else if taker.pulls {
            // if no image can be pulled, the host may hold the image of a job behind the first
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

    /// The choice of one job of a group. `elsewhere` says that the host does not hold its image.
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

    /// Records that a job of a group was taken, which was the group's turn.
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

/// Whether a host accepts the jobs of a group, and has what they require.
pub fn fits(group: &JobGroup, taker: &Taker<'_>) -> bool {
    group.needs().are_met(taker.host, taker.builds, taker.capabilities)
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
