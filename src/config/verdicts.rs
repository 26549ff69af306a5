//! How results are looked into.

use crate::domain::limits::Seconds;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerdictSettings {
    /// The exact versions that a project's dependencies had are taken for so long; then the newest ones are.
    pub locks: Seconds,
    /// One run in so many is done twice, on the same image with the same versions: how noisy a suite is by itself.
    /// 0: none.
    pub repeat: u64,
    /// Inquiries that are looked into at the same time.
    pub at_once: usize,
}

impl Default for VerdictSettings {
    fn default() -> Self {
        Self {
            locks: Seconds(7 * 24 * 3600),
            repeat: 20,
            at_once: 8,
        }
    }
}
