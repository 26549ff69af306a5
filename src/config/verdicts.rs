//! `[verdicts]`: how changes in results are investigated.

use crate::domain::limits::Seconds;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerdictSettings {
    /// How long a pinned lock is used. After that, the newest versions of the dependencies are installed and pinned.
    pub locks: Seconds,
    /// One run in this many is repeated on the same image with the same lock, to measure flakiness. If 0, none is.
    pub repeat: u64,
    /// The number of repeated results of a project that have to agree in a row before its owners get notices. If 0, the
    /// owners get notices at once.
    pub burn_in: u32,
    /// The number of results of a new host that another host has to repeat with the same outcome before its results
    /// count by themselves. If 0, none are repeated.
    pub first_results: u32,
    /// The number of investigations that may be open at the same time.
    pub at_once: usize,
    /// The number of open investigations that may be about projects in probation.
    pub in_probation: usize,
}

impl Default for VerdictSettings {
    fn default() -> Self {
        Self {
            locks: Seconds(7 * 24 * 3600),
            repeat: 20,
            burn_in: 10,
            first_results: 5,
            at_once: 8,
            in_probation: 2,
        }
    }
}
