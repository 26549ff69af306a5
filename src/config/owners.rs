//! When the owners of hosts are written to, and how.

use crate::domain::limits::Seconds;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnersSettings {
    /// A host that made no call for so long is silent: its owner is told, once.
    pub silent_after: Seconds,
    /// The command that sends a mail, which it gets on its standard input with `To:` and `Subject:`, e.g.
    /// `["/usr/sbin/sendmail", "-t"]`; empty: it is said in the coordinator's log alone.
    pub mail: Vec<String>,
}

impl Default for OwnersSettings {
    fn default() -> Self {
        Self {
            silent_after: Seconds(600),
            mail: Vec::new(),
        }
    }
}
