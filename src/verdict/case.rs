//! One subject on one range of history: the question that confirm and search work on.

use super::answer::Answer;
use super::locks::LockDifference;
use super::samples::LockSide;
use crate::domain::id::HostId;

/// The revisions from a good end to a bad end, by index: 0 is the good end, and `last` is the bad end.
///
/// A case always goes from passing to failing. In a search for the revision that *fixed* something, the caller swaps
/// pass and fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub last: usize,
    /// How the locks of the two ends differ, or `None` if they are the same.
    pub lock_difference: Option<LockDifference>,
    /// The hosts that can make the reruns, each as often as it has slots. One round of a search tries as many revisions
    /// as this list has entries.
    pub hosts: Vec<HostId>,
    /// Whether the subject has passed and failed on the same image before.
    pub is_flaky: bool,
    /// The part of runs that failed before a fix, from 0 to 1, in a search for that fix. `None` stands for all.
    pub rate: Option<f64>,
    /// The index of a revision that is proved to have broken another project in the same way. It is tried first.
    pub hint: Option<usize>,
}

/// Reruns of one revision of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexProbe {
    pub index: usize,
    pub lock: LockSide,
    /// The host that has to make the reruns, or `None` for any host.
    pub host: Option<HostId>,
    pub runs: usize,
}

/// The next action in a case. Reruns are made in the order of the list.
#[derive(Clone, Debug, PartialEq)]
pub enum NextAction {
    /// Make the reruns that prove the change before a search: of both ends in turn, of the hinted revision and the
    /// revision before it, or of the bad end alone.
    Confirm(Vec<IndexProbe>),
    /// Make one round of the search: all reruns at the same time.
    Search(Vec<IndexProbe>),
    Answer(Answer),
}
