//! Decides which images and volumes stay on a host's engine, and why. The rules compare the host's inventory with the
//! history of its images in the store, the retention policy and the time. They only decide; the host removes.

mod held;
mod kind;
mod pressure;
mod reason;
mod remote;

pub use super::time::DAY_MS;
pub use held::{HELD_MOST, HeldImage, HeldVolume, Inventory, below, own_bytes};
pub use kind::{ImageKind, VolumeKind};
use pressure::{carriers, relieve};
pub use reason::RetentionReason;
pub use remote::{Push, remote};

use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many days the image of a project stays after its last run. It is large and serves one revision only; a day is
/// enough for another attempt.
const PROJECT_DAYS: u32 = 1;

/// The retention policy of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many days an image stays after its last use.
    pub days: u32,
    /// The days of branches with a value of their own, by branch.
    pub branch_days: BTreeMap<String, u32>,
    /// Whether key frames stay longer, for `key_frame_days`.
    pub key_frames: bool,
    pub key_frame_days: u32,
    /// How many bytes of the engine's disk are to be free. If fewer are, recent images are removed too.
    pub min_free: u64,
}

impl Policy {
    fn of(&self, branch: &str) -> u32 {
        self.branch_days.get(branch).copied().unwrap_or(self.days)
    }

    /// Returns the days of the branch that keeps its images longest.
    pub fn longest(&self) -> u32 {
        self.branch_days.values().copied().fold(self.days, u32::max)
    }
}

/// The history of an image in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageHistory {
    pub ready_at: Option<Timestamp>,
    /// When an attempt last built the image or ran on it.
    pub last_used: Option<Timestamp>,
    /// How many queued and leased jobs need it.
    pub open_jobs: u32,
    /// The reasons of its pins.
    pub pins: Vec<String>,
    /// The branches with a revision that has this image.
    pub branches: Vec<BranchUse>,
}

/// A branch on which a revision has an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchUse {
    pub branch: String,
    /// When the newest of these revisions was committed, or discovered if that was later.
    pub since: Timestamp,
    pub watched: bool,
    /// Whether the newest revision of the branch has the image.
    pub tip: bool,
}

impl ImageHistory {
    /// Returns when the image was last used or became ready, or 1970 if it never was.
    pub fn used(&self) -> Timestamp {
        self.last_used.max(self.ready_at).unwrap_or_default()
    }
}

/// The volumes that jobs need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededVolumes {
    pub build_trees: BTreeSet<String>,
    pub caches: BTreeSet<String>,
    /// All caches that this installation ever used. Other installations may share the engine.
    pub own_caches: BTreeSet<String>,
    /// Pairs of project and ABI key.
    pub wheels: BTreeSet<(String, String)>,
}

/// The decision about an image, named by its id, or a volume, named by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionDecision {
    pub name: String,
    pub reason: RetentionReason,
    /// How many bytes are freed once everything that goes is removed; 0 for an object that stays.
    pub frees: u64,
}

/// The coordinator's answer to an inventory: a decision about each image and volume, in the order of the inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    pub images: Vec<RetentionDecision>,
    pub volumes: Vec<RetentionDecision>,
    /// The images that the host is to push to the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Push>,
}

/// Decides about each image, in the order of the inventory. `histories` is by build key. An image without a history
/// belongs to another installation.
pub fn images(
    inventory: &Inventory,
    histories: &BTreeMap<String, ImageHistory>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<RetentionDecision> {
    let held = &inventory.images;
    let lasts = last_of_build_trees(held, histories);
    let mut reasons: Vec<RetentionReason> = held
        .iter()
        .map(|image| match (image.kind, histories.get(&image.build_key)) {
            (ImageKind::Toolchain | ImageKind::Runtime, _) => RetentionReason::Base,
            (ImageKind::Cpython, Some(history)) => of_cpython(image, history, lasts.contains(&image.id), policy, now),
            (ImageKind::Project, Some(history)) => of_project(image, history, now),
            _ => RetentionReason::Foreign,
        })
        .collect();
    let indexes: BTreeMap<&str, usize> = held
        .iter()
        .enumerate()
        .map(|(at, image)| (image.id.as_str(), at))
        .collect();
    let below: Vec<Option<usize>> = held
        .iter()
        .map(|image| image.below.as_ref().and_then(|id| indexes.get(id.as_str()).copied()))
        .collect();
    for (at, carries) in carriers(&reasons, &below).into_iter().enumerate() {
        if carries
            && matches!(
                reasons[at],
                RetentionReason::Old { .. } | RetentionReason::Superseded { .. }
            )
        {
            reasons[at] = RetentionReason::Beneath;
        }
    }
    if let Some(free) = inventory.free {
        let missing = policy.min_free.saturating_sub(free);
        relieve(held, &below, &mut reasons, missing, |image| {
            histories
                .get(&image.build_key)
                .map(ImageHistory::used)
                .unwrap_or_default()
        });
    }
    let carries = carriers(&reasons, &below);
    let decide = |(at, image): (usize, &HeldImage)| RetentionDecision {
        name: image.id.clone(),
        frees: if reasons[at].stays() || carries[at] {
            0
        } else {
            image.bytes
        },
        reason: reasons[at].clone(),
    };
    held.iter().enumerate().map(decide).collect()
}

/// Decides about an image of CPython without regard to the images on it.
fn of_cpython(
    image: &HeldImage,
    history: &ImageHistory,
    is_last: bool,
    policy: &Policy,
    now: Timestamp,
) -> RetentionReason {
    if let Some(reason) = busy(image, history) {
        return reason;
    }
    if !image.is_named() {
        return RetentionReason::Leftover;
    }
    if let Some(reason) = wanted(history) {
        return reason;
    }
    if is_last && history.branches.iter().any(|branch| branch.watched) {
        return RetentionReason::Last;
    }
    let within = |since: Timestamp, days: u32| since.max(history.used()) + i64::from(days) * DAY_MS > now;
    let fresh = history
        .branches
        .iter()
        .map(|branch| (branch.since, policy.of(&branch.branch)));
    let Some((_, days)) = fresh.clone().max_by_key(|(_, days)| *days) else {
        return match within(Timestamp::default(), policy.days) {
            true => RetentionReason::Recent { days: policy.days },
            false => RetentionReason::Superseded { days: policy.days },
        };
    };
    if let Some((_, days)) = fresh.clone().find(|(since, days)| within(*since, *days)) {
        return RetentionReason::Recent { days };
    }
    let since = fresh.map(|(since, _)| since).max().unwrap_or_default();
    if policy.key_frames && image.depth == 0 && within(since, policy.key_frame_days) {
        return RetentionReason::KeyFrame {
            days: policy.key_frame_days,
        };
    }
    RetentionReason::Old { days }
}

/// Decides about an image with a project's packages. It has the history of the CPython in it.
fn of_project(image: &HeldImage, history: &ImageHistory, now: Timestamp) -> RetentionReason {
    let days = PROJECT_DAYS;
    busy(image, history)
        .or_else(|| (!image.is_named()).then_some(RetentionReason::Leftover))
        .or_else(|| wanted(history))
        .unwrap_or_else(|| match history.used() + i64::from(days) * DAY_MS > now {
            true => RetentionReason::Recent { days },
            false => RetentionReason::Unused { days },
        })
}

fn busy(image: &HeldImage, history: &ImageHistory) -> Option<RetentionReason> {
    match (image.users, history.open_jobs) {
        (0, 0) => None,
        (0, jobs) => Some(RetentionReason::OpenJob { jobs }),
        (containers, _) => Some(RetentionReason::InUse { containers }),
    }
}

fn wanted(history: &ImageHistory) -> Option<RetentionReason> {
    if let Some(reason) = history.pins.first().cloned() {
        return Some(RetentionReason::Pinned { reason });
    }
    let tip = history.branches.iter().find(|branch| branch.tip)?;
    Some(RetentionReason::Tip {
        branch: tip.branch.clone(),
    })
}

/// Returns the ids of the newest image of each variant and minor version of Python. Build trees put the next layer on
/// them.
fn last_of_build_trees(held: &[HeldImage], histories: &BTreeMap<String, ImageHistory>) -> BTreeSet<String> {
    let mut lasts = BTreeMap::new();
    for image in held
        .iter()
        .filter(|image| image.kind == ImageKind::Cpython && image.is_named())
    {
        let Some(history) = histories.get(&image.build_key) else {
            continue;
        };
        let line: Vec<&str> = image.version.splitn(3, '.').take(2).collect();
        let made = (image.tagged_at.or(history.ready_at), image.id.as_str());
        let last = lasts.entry((line, image.variant.as_str())).or_insert(made);
        *last = made.max(*last);
    }
    lasts
        .into_values()
        .map(|(_, id): (Option<Timestamp>, &str)| id.to_owned())
        .collect()
}

/// Decides about each volume, in the order of the inventory.
pub fn volumes(
    inventory: &Inventory,
    needs: &NeededVolumes,
    policy: &Policy,
    now: Timestamp,
) -> Vec<RetentionDecision> {
    let days = policy.longest();
    let decide = |volume: &HeldVolume| {
        let own = volume.owner == inventory.host;
        let wheels = || (volume.project.clone(), volume.abi.clone());
        let (ours, needed) = match volume.kind {
            VolumeKind::BuildTree => (own, needs.build_trees.contains(&volume.name)),
            VolumeKind::Wheels => (own, needs.wheels.contains(&wheels())),
            VolumeKind::Cache => (
                needs.own_caches.contains(&volume.name),
                needs.caches.contains(&volume.name),
            ),
            VolumeKind::Downloads | VolumeKind::Other => (false, false),
        };
        let young = volume.created_at.unwrap_or_default() + i64::from(days) * DAY_MS > now;
        let reason = match volume.users {
            _ if volume.kind == VolumeKind::Downloads => RetentionReason::Base,
            _ if !ours => RetentionReason::Foreign,
            0 if needed || young => RetentionReason::Recent { days },
            0 => RetentionReason::Unused { days },
            containers => RetentionReason::InUse { containers },
        };
        RetentionDecision {
            name: volume.name.clone(),
            frees: if reason.stays() { 0 } else { volume.size.unwrap_or(0) },
            reason,
        }
    };
    inventory.volumes.iter().map(decide).collect()
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
