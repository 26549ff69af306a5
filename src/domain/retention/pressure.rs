//! Decides which images are removed in addition to old ones, so that the disk has enough free space.

use super::{HeldImage, RetentionReason};
use crate::domain::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Returns, for each image, whether an image that stays is built on it.
pub(super) fn carriers(reasons: &[RetentionReason], below: &[Option<usize>]) -> Vec<bool> {
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

/// Images that may go. The first is the one that is missed least.
struct Candidates<'a, U> {
    held: &'a [HeldImage],
    used: U,
    soft: BinaryHeap<Reverse<(bool, Timestamp, usize)>>,
}

impl<U: Fn(&HeldImage) -> Timestamp> Candidates<'_, U> {
    fn add(&mut self, reasons: &[RetentionReason], at: usize) {
        if reasons[at].is_soft() {
            // an image that stayed only for the images on it is older than the policy allows, so it goes first
            let is_young = reasons[at] != RetentionReason::Beneath;
            self.soft.push(Reverse((is_young, (self.used)(&self.held[at]), at)));
        }
    }

    fn next(&mut self) -> Option<usize> {
        self.soft.pop().map(|Reverse((_, _, at))| at)
    }
}

/// Lets images go, the least recently used first, until `missing` bytes are freed. An image with another one on it is
/// left out, because its removal would free nothing. This takes a single pass, because a host may report an inventory
/// of any shape.
pub(super) fn relieve(
    held: &[HeldImage],
    below: &[Option<usize>],
    reasons: &mut [RetentionReason],
    missing: u64,
    used: impl Fn(&HeldImage) -> Timestamp,
) {
    let carries = carriers(reasons, below);
    // for each image, how many images directly on it stay or carry one that stays
    let mut load = vec![0_usize; held.len()];
    for at in (0..held.len()).filter(|at| reasons[*at].stays() || carries[*at]) {
        if let Some(lower) = below[at] {
            load[lower] += 1;
        }
    }
    let mut freed: u64 = 0;
    let soft = BinaryHeap::new();
    let mut candidates = Candidates { held, used, soft };
    for at in (0..held.len()).filter(|at| load[*at] == 0) {
        match reasons[at].stays() {
            true => candidates.add(reasons, at),
            false => freed = freed.saturating_add(held[at].bytes),
        }
    }
    while freed < missing
        && let Some(oldest) = candidates.next()
    {
        reasons[oldest] = RetentionReason::Pressure;
        // this also frees the images below it that go anyway
        let mut gone = Some(oldest);
        while let Some(at) = gone {
            freed = freed.saturating_add(held[at].bytes);
            gone = below[at].filter(|lower| {
                load[*lower] -= 1;
                load[*lower] == 0
            });
            if let Some(lower) = gone.filter(|lower| reasons[*lower].stays()) {
                candidates.add(reasons, lower);
                gone = None;
            }
        }
    }
}
