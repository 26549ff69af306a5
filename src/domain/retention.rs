//! Which images and volumes of a host stay on its engine, and why. The rules know what the host holds,
//! what the store knows of it, the policy and the time; they decide, and remove nothing.

mod held;
mod remote;

pub use held::{HeldImage, HeldVolume, Inventory, below, own_bytes};
pub use remote::{Push, remote};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub const DAY_MS: i64 = 24 * 3600 * 1000;

/// How long a project's own image stays after its last run. It holds a whole system and serves no other
/// check-in; this is long enough for another attempt.
const PROJECT_DAYS: u32 = 1;

/// What the settings ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub days: u32,
    /// Branches with a number of their own.
    pub branch_days: BTreeMap<String, u32>,
    pub key_frames: bool,
    pub key_frame_days: u32,
    /// Bytes of the engine's disk below which more goes than what is old.
    pub min_free: u64,
}

impl Policy {
    fn of(&self, branch: &str) -> u32 {
        self.branch_days.get(branch).copied().unwrap_or(self.days)
    }

    /// The longest time for which any branch keeps what it has.
    pub fn longest(&self) -> u32 {
        self.branch_days.values().copied().fold(self.days, u32::max)
    }
}

/// What the store knows of a build key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub ready_at: Option<i64>,
    /// When an attempt last built it or ran on it.
    pub last_used: Option<i64>,
    /// Jobs that wait or are in work.
    pub open_jobs: u32,
    /// Why it was pinned.
    pub pins: Vec<String>,
    /// The check-ins that it stands for, at most the newest of each branch.
    pub places: Vec<Place>,
}

/// A branch on which an image stands for a check-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub branch: String,
    /// When its newest check-in came, or was seen first if that was later.
    pub since: i64,
    pub watched: bool,
    /// It is the branch's newest check-in.
    pub tip: bool,
}

impl Known {
    /// When it was last of use; the beginning of time for one that never was.
    pub fn used(&self) -> i64 {
        self.last_used.max(self.ready_at).unwrap_or(0)
    }
}

/// Volumes that are of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub lanes: BTreeSet<String>,
    pub caches: BTreeSet<String>,
    /// All caches that this installation has ever used: others may share the engine.
    pub own_caches: BTreeSet<String>,
    /// Project and ABI key.
    pub wheels: BTreeSet<(String, String)>,
}

/// Why something stays or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Reason {
    // stays, whatever happens
    /// Not made for a check-in of this installation.
    Foreign,
    /// Toolchain and runtime, which others may share.
    Base,
    InUse {
        containers: u32,
    },
    OpenJob {
        jobs: u32,
    },
    Pinned {
        reason: String,
    },
    Tip {
        branch: String,
    },
    /// The next image of its lane will lie on it.
    Last,
    // stays as long as there is room
    Recent {
        days: u32,
    },
    KeyFrame {
        days: u32,
    },
    /// It is old, but what lies on it stays, so that its removal would free nothing.
    Beneath,
    // goes
    /// What a build that did not end well has left, or one that was built again.
    Leftover,
    Old {
        days: u32,
    },
    Superseded {
        days: u32,
    },
    Unused {
        days: u32,
    },
    /// The disk is full, and others were used later.
    Pressure,
}

impl Reason {
    pub fn stays(&self) -> bool {
        self.is_firm() || self.is_soft()
    }

    fn is_firm(&self) -> bool {
        use Reason::*;
        matches!(
            self,
            Foreign | Base | InUse { .. } | OpenJob { .. } | Pinned { .. } | Tip { .. } | Last
        )
    }

    fn is_soft(&self) -> bool {
        matches!(self, Reason::Recent { .. } | Reason::KeyFrame { .. } | Reason::Beneath)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Foreign => write!(f, "not of this installation"),
            Reason::Base => write!(f, "others may share it"),
            Reason::InUse { containers } => write!(f, "in use by {containers} containers"),
            Reason::OpenJob { jobs } => write!(f, "{jobs} open jobs need it"),
            Reason::Pinned { reason } => write!(f, "pinned: {reason}"),
            Reason::Tip { branch } => write!(f, "newest of {branch}"),
            Reason::Last => write!(f, "the next build lies on it"),
            Reason::Recent { days } => write!(f, "used in the last {days} days"),
            Reason::KeyFrame { days } => write!(f, "key frame, kept {days} days"),
            Reason::Beneath => write!(f, "what lies on it stays, so its removal would free nothing"),
            Reason::Leftover => write!(f, "left by a build, and of no use"),
            Reason::Old { days } => write!(f, "older than {days} days"),
            Reason::Superseded { days } => write!(f, "stands for no check-in any more, not used for {days} days"),
            Reason::Unused { days } => write!(f, "not used for {days} days"),
            Reason::Pressure => write!(f, "the disk is full, and the others were used later"),
        }
    }
}

/// What becomes of an image (by id) or a volume (by name).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub name: String,
    pub reason: Reason,
    /// Bytes that are freed once all that goes is gone; 0 for what stays.
    pub frees: u64,
}

/// What a host is told: a verdict on each image and volume that it holds, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    pub images: Vec<Verdict>,
    pub volumes: Vec<Verdict>,
    /// What the registry lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Push>,
}

/// Decides about each image, in the order of the inventory.
pub fn images(inventory: &Inventory, known: &BTreeMap<String, Known>, policy: &Policy, now: i64) -> Vec<Verdict> {
    let held = &inventory.images;
    let lasts = last_of_lanes(held, known);
    let mut reasons: Vec<Reason> = held
        .iter()
        .map(|image| match known.get(&image.build_key) {
            _ if image.kind == "toolchain" || image.kind == "runtime" => Reason::Base,
            Some(known) if image.kind == "cpython" => of_cpython(image, known, lasts.contains(&image.id), policy, now),
            Some(known) if image.kind == "project" => of_project(image, known, now),
            _ => Reason::Foreign,
        })
        .collect();
    let places: BTreeMap<&str, usize> = held
        .iter()
        .enumerate()
        .map(|(at, image)| (image.id.as_str(), at))
        .collect();
    let below: Vec<Option<usize>> = held
        .iter()
        .map(|image| image.below.as_ref().and_then(|id| places.get(id.as_str()).copied()))
        .collect();
    for (at, carries) in carriers(&reasons, &below).into_iter().enumerate() {
        if carries && matches!(reasons[at], Reason::Old { .. } | Reason::Superseded { .. }) {
            reasons[at] = Reason::Beneath;
        }
    }
    if let Some(free) = inventory.free {
        let missing = policy.min_free.saturating_sub(free);
        relieve(held, &below, &mut reasons, missing, |image| {
            known.get(&image.build_key).map_or(0, Known::used)
        });
    }
    let carries = carriers(&reasons, &below);
    let verdict = |(at, image): (usize, &HeldImage)| Verdict {
        name: image.id.clone(),
        frees: if reasons[at].stays() || carries[at] {
            0
        } else {
            image.bytes
        },
        reason: reasons[at].clone(),
    };
    held.iter().enumerate().map(verdict).collect()
}

/// What holds for an image of CPython by itself.
fn of_cpython(image: &HeldImage, known: &Known, is_last: bool, policy: &Policy, now: i64) -> Reason {
    if let Some(reason) = busy(image, known) {
        return reason;
    }
    if !image.is_named() {
        return Reason::Leftover;
    }
    if let Some(reason) = wanted(known) {
        return reason;
    }
    if is_last && known.places.iter().any(|place| place.watched) {
        return Reason::Last;
    }
    let within = |since: i64, days: u32| since.max(known.used()) + i64::from(days) * DAY_MS > now;
    let fresh = known.places.iter().map(|place| (place.since, policy.of(&place.branch)));
    let Some((_, days)) = fresh.clone().max_by_key(|(_, days)| *days) else {
        return match within(0, policy.days) {
            true => Reason::Recent { days: policy.days },
            false => Reason::Superseded { days: policy.days },
        };
    };
    if let Some((_, days)) = fresh.clone().find(|(since, days)| within(*since, *days)) {
        return Reason::Recent { days };
    }
    let since = fresh.map(|(since, _)| since).max().unwrap_or(0);
    if policy.key_frames && image.depth == 0 && within(since, policy.key_frame_days) {
        return Reason::KeyFrame {
            days: policy.key_frame_days,
        };
    }
    Reason::Old { days }
}

/// An image with a project's packages follows the CPython in it, but not for long.
fn of_project(image: &HeldImage, known: &Known, now: i64) -> Reason {
    let days = PROJECT_DAYS;
    busy(image, known)
        .or_else(|| (!image.is_named()).then_some(Reason::Leftover))
        .or_else(|| wanted(known))
        .unwrap_or_else(|| match known.used() + i64::from(days) * DAY_MS > now {
            true => Reason::Recent { days },
            false => Reason::Unused { days },
        })
}

fn busy(image: &HeldImage, known: &Known) -> Option<Reason> {
    match (image.users, known.open_jobs) {
        (0, 0) => None,
        (0, jobs) => Some(Reason::OpenJob { jobs }),
        (containers, _) => Some(Reason::InUse { containers }),
    }
}

fn wanted(known: &Known) -> Option<Reason> {
    if let Some(reason) = known.pins.first().cloned() {
        return Some(Reason::Pinned { reason });
    }
    let tip = known.places.iter().find(|place| place.tip)?;
    Some(Reason::Tip {
        branch: tip.branch.clone(),
    })
}

/// Ids of the images that were made last of each line of Python and variant: lanes lay the next on them.
fn last_of_lanes(held: &[HeldImage], known: &BTreeMap<String, Known>) -> BTreeSet<String> {
    let mut lasts = BTreeMap::new();
    for image in held.iter().filter(|image| image.kind == "cpython" && image.is_named()) {
        let Some(known) = known.get(&image.build_key) else {
            continue;
        };
        let line: Vec<&str> = image.version.splitn(3, '.').take(2).collect();
        let made = (image.tagged_at.or(known.ready_at), image.id.as_str());
        let last = lasts.entry((line, image.variant.as_str())).or_insert(made);
        *last = made.max(*last);
    }
    lasts
        .into_values()
        .map(|(_, id): (Option<i64>, &str)| id.to_owned())
        .collect()
}

/// Which images have layers that one which stays lies on.
fn carriers(reasons: &[Reason], below: &[Option<usize>]) -> Vec<bool> {
    let mut carries = vec![false; reasons.len()];
    for at in (0..reasons.len()).filter(|at| reasons[*at].stays()) {
        let mut next = below[at];
        while let Some(lower) = next.filter(|lower| !carries[*lower]) {
            carries[lower] = true;
            next = below[lower];
        }
    }
    carries
}

/// Lets go of what was used longest ago until so many bytes are free. Only what nothing lies on: the
/// removal of anything else would free nothing.
fn relieve(
    held: &[HeldImage],
    below: &[Option<usize>],
    reasons: &mut [Reason],
    missing: u64,
    used: impl Fn(&HeldImage) -> i64,
) {
    let carries = carriers(reasons, below);
    let goes = |at: &usize| !reasons[*at].stays() && !carries[*at];
    let mut freed: u64 = (0..held.len()).filter(goes).map(|at| held[at].bytes).sum();
    while freed < missing {
        let carries = carriers(reasons, below);
        let oldest = (0..held.len())
            .filter(|at| reasons[*at].is_soft() && !carries[*at])
            // what only stayed because of others is beyond the policy, and goes first
            .min_by_key(|at| (reasons[*at] != Reason::Beneath, used(&held[*at])));
        let Some(oldest) = oldest else { return };
        reasons[oldest] = Reason::Pressure;
        freed += held[oldest].bytes;
    }
}

/// Decides about each volume, in the order of the inventory.
pub fn volumes(inventory: &Inventory, needs: &Needs, policy: &Policy, now: i64) -> Vec<Verdict> {
    let days = policy.longest();
    let verdict = |volume: &HeldVolume| {
        let own = volume.owner == inventory.host;
        let wheels = || (volume.project.clone(), volume.abi.clone());
        let (ours, needed) = match volume.kind.as_str() {
            "lane" => (own, needs.lanes.contains(&volume.name)),
            "wheels" => (own, needs.wheels.contains(&wheels())),
            "cache" => (
                needs.own_caches.contains(&volume.name),
                needs.caches.contains(&volume.name),
            ),
            _ => (false, false),
        };
        let young = volume.created_at.unwrap_or(0) + i64::from(days) * DAY_MS > now;
        let reason = match volume.users {
            _ if !ours => Reason::Foreign,
            0 if needed || young => Reason::Recent { days },
            0 => Reason::Unused { days },
            containers => Reason::InUse { containers },
        };
        Verdict {
            name: volume.name.clone(),
            frees: if reason.stays() { 0 } else { volume.size.unwrap_or(0) },
            reason,
        }
    };
    inventory.volumes.iter().map(verdict).collect()
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
