//! The reasons of retention decisions.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why an image or a volume stays or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum RetentionReason {
    // it stays even if the disk is full
    /// Another installation made it.
    Foreign,
    /// A toolchain or runtime image, or the cache of downloads, which other installations may share.
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
    /// The next image of its build tree will be built on it.
    Last,
    // it stays unless the disk is full
    Recent {
        days: u32,
    },
    KeyFrame {
        days: u32,
    },
    /// The image is old, but images above it stay, so that its removal would free nothing.
    Beneath,
    // it goes
    /// A failed build left it, or a later build of the same key replaced it.
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
    /// The disk is full, and the other images were used more recently.
    Pressure,
}

impl RetentionReason {
    /// Returns whether the image or volume stays for this reason.
    pub fn stays(&self) -> bool {
        self.is_firm() || self.is_soft()
    }

    fn is_firm(&self) -> bool {
        use RetentionReason::*;
        matches!(
            self,
            Foreign | Base | InUse { .. } | OpenJob { .. } | Pinned { .. } | Tip { .. } | Last
        )
    }

    pub(super) fn is_soft(&self) -> bool {
        matches!(
            self,
            RetentionReason::Recent { .. } | RetentionReason::KeyFrame { .. } | RetentionReason::Beneath
        )
    }
}

impl fmt::Display for RetentionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetentionReason::Foreign => write!(f, "not of this installation"),
            RetentionReason::Base => write!(f, "others may share it"),
            RetentionReason::InUse { containers } => write!(f, "in use by {containers} containers"),
            RetentionReason::OpenJob { jobs } => write!(f, "{jobs} open jobs need it"),
            RetentionReason::Pinned { reason } => write!(f, "pinned: {reason}"),
            RetentionReason::Tip { branch } => write!(f, "newest of {branch}"),
            RetentionReason::Last => write!(f, "the next image is built on it"),
            RetentionReason::Recent { days } => write!(f, "used in the last {days} days"),
            RetentionReason::KeyFrame { days } => write!(f, "key frame, kept {days} days"),
            RetentionReason::Beneath => write!(f, "images built on it stay, so its removal would free nothing"),
            RetentionReason::Leftover => write!(f, "left over from a build"),
            RetentionReason::Old { days } => write!(f, "older than {days} days"),
            RetentionReason::Superseded { days } => {
                write!(f, "belongs to no revision any more, not used for {days} days")
            }
            RetentionReason::Unused { days } => write!(f, "not used for {days} days"),
            RetentionReason::Pressure => write!(f, "the disk is full, and the others were used more recently"),
        }
    }
}
