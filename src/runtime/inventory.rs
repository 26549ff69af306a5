//! What an engine lists: images, volumes, and who uses them.

use super::labels::{ATTEMPT_LABEL, HOST_LABEL, INSTANCE_LABEL};
use std::collections::{BTreeMap, BTreeSet};

/// An image with its layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredImage {
    /// Content id, `sha256:..`.
    pub id: String,
    pub names: Vec<String>,
    /// Bytes, layers that others share included.
    pub size: u64,
    pub labels: BTreeMap<String, String>,
    /// Digests of its layers, from the lowest up.
    pub layers: Vec<String>,
    /// When this engine last gave it a name, in milliseconds UTC, or `None` if the engine does not record that.
    pub tagged_at: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredVolume {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Milliseconds UTC, or `None` if the engine does not record that.
    pub created_at: Option<i64>,
}

/// How many containers use each image and volume, and which attempts they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// By the image's id.
    pub images: BTreeMap<String, u32>,
    /// By the volume's name.
    pub volumes: BTreeMap<String, u32>,
    /// Attempts that have containers.
    pub attempts: BTreeSet<Owned>,
}

/// The host and the attempt that a container or volume was created for, from its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    pub host: String,
    /// The start of the host's daemon. `None` for an object of a version that had no such label.
    pub instance: Option<String>,
    pub attempt: String,
}

impl Owned {
    /// Returns `None` if it belongs to no attempt.
    pub fn read(labels: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            host: labels.get(HOST_LABEL)?.clone(),
            instance: labels.get(INSTANCE_LABEL).cloned(),
            attempt: labels.get(ATTEMPT_LABEL)?.clone(),
        })
    }
}

/// Bytes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub free: u64,
    pub total: u64,
}

/// Bytes that images and volumes take on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// By the image's id: bytes that it shares with other images.
    pub shared: BTreeMap<String, u64>,
    /// By the volume's name.
    pub volumes: BTreeMap<String, u64>,
}
