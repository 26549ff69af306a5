//! `[owners]`: when and how the owners of hosts are notified.

use crate::domain::limits::Seconds;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnersSettings {
    /// A host that made no call for this long is silent. Its owner is notified once.
    pub silent_after: Seconds,
    /// The command that sends a mail, such as `["/usr/sbin/sendmail", "-t"]`. It gets the mail on standard input, with
    /// the headers `To:` and `Subject:`. If empty, the message goes to the coordinator's log only.
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
