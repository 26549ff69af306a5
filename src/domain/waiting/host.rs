//! A host, as the rules about waiting jobs see it.

use crate::domain::host::{CONSECUTIVE_FAILURES_MOST, Capabilities, HostState};
use crate::domain::id::HostId;
use crate::domain::time::Timestamp;

/// A host is online if its last call was within this many milliseconds. A daemon asks for work every 25 seconds.
pub const ONLINE_MS: i64 = 120_000;

/// The properties of a registered host on which waiting jobs depend.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingHost {
    pub id: HostId,
    pub name: String,
    pub state: HostState,
    /// Whether the host has a valid token, so that it can make calls.
    pub has_token: bool,
    pub builds: bool,
    pub seen_at: Option<Timestamp>,
    pub backoff_until: Option<Timestamp>,
    pub consecutive_failures: i64,
    pub capabilities: Option<Capabilities>,
    /// How many jobs are leased to it.
    pub working: i64,
}

impl WaitingHost {
    /// Returns whether the host calls.
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.has_token && self.seen_at.is_some_and(|seen| now - seen < ONLINE_MS)
    }

    /// Returns whether the host takes jobs at present.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.state == HostState::Active && self.is_online(now) && !self.backs_off(now) && self.pause().is_none()
    }

    pub(super) fn pause(&self) -> Option<&str> {
        self.capabilities.as_ref()?.pause.as_deref()
    }

    pub(super) fn backs_off(&self, now: Timestamp) -> bool {
        self.backoff_until.is_some_and(|until| now < until)
    }

    /// Returns how many jobs the host does at the same time.
    pub fn slots(&self) -> i64 {
        match &self.capabilities {
            // after a back-off, a single job shows whether the host works again
            _ if self.consecutive_failures >= CONSECUTIVE_FAILURES_MOST => 1,
            Some(capabilities) => i64::from(capabilities.slots.max(1)),
            None => 1,
        }
    }
}
