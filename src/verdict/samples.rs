//! The results of the reruns of a case, counted.

use super::subject::{Observation, Untestable};
use crate::domain::id::HostId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lock with which a rerun is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockSide {
    /// The lock of the good end. Nearly all reruns use it, so that only CPython differs between them.
    Base,
    /// The lock of the bad end.
    Now,
}

/// The result of one rerun for the subject.
///
/// Runs that the machinery failed are not samples. The runs that raised the suspicion are not samples either: they were
/// selected because they failed, which would bias the statistics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    pub host: HostId,
    pub observation: Observation,
}

/// All samples of a case, by the index of the revision and the lock. Their order within a list has no meaning.
pub type Samples = BTreeMap<(usize, LockSide), Vec<Sample>>;

/// A subject counts as untestable once this many of its samples are untestable and they are the majority.
const UNTESTABLE_RUNS: usize = 6;

/// The numbers of samples of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub passed: usize,
    pub failed: usize,
    pub untestable: usize,
    /// Why samples are untestable. If their reasons differ, this is the one that is closest to a result: for example, a
    /// project that installs is closer than a CPython that does not build.
    pub reason: Option<Untestable>,
}

impl Count {
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut count = Self::default();
        for sample in samples {
            match sample.observation {
                Observation::Pass => count.passed += 1,
                Observation::Fail => count.failed += 1,
                Observation::Untestable(reason) => {
                    count.untestable += 1;
                    count.reason = count.reason.max(Some(reason));
                }
            }
        }
        count
    }

    /// Counts the samples of one revision with one lock.
    pub fn at(samples: &Samples, index: usize, lock: LockSide) -> Self {
        Self::of(samples.get(&(index, lock)).into_iter().flatten())
    }

    /// Returns the number of samples that passed or failed.
    pub fn decided(self) -> usize {
        self.passed + self.failed
    }

    /// Returns why the subject can't be tested, if more reruns would not change that: nothing is decided, or most
    /// reruns are untestable. For example, the suite may crash before it reaches the test.
    pub fn why_untestable(self) -> Option<Untestable> {
        let is_majority = self.untestable >= UNTESTABLE_RUNS && self.untestable > self.decided();
        self.reason.filter(|_| self.decided() == 0 || is_majority)
    }

    /// Returns the part of decided samples that failed, from 0 to 1.
    pub fn failure_rate(self) -> f64 {
        self.failed as f64 / self.decided().max(1) as f64
    }

    /// Returns (failed, decided), the form that [`super::fisher`] takes.
    pub fn for_fisher(self) -> (u64, u64) {
        (self.failed as u64, self.decided() as u64)
    }
}
