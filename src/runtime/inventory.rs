//! The lists of an engine: images, volumes, and who uses them.

use super::labels::{ATTEMPT_LABEL, HOST_LABEL, INSTANCE_LABEL};
use std::collections::{BTreeMap, BTreeSet};

/// An image with its layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredImage {
    /// Content id, `sha256:..`.
    pub id: String,
    pub names: Vec<String>,
    /// The size in bytes, including layers that other images share.
    pub size: u64,
    pub labels: BTreeMap<String, String>,
    /// Digests of its layers, from the lowest up.
    pub layers: Vec<String>,
    /// When this engine last gave the image a name, in milliseconds UTC, or `None` if the engine does not record that.
    pub tagged_at: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredVolume {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// When the volume was created, in milliseconds UTC, or `None` if the engine does not record that.
    pub created_at: Option<i64>,
}

/// How many containers use each image and volume, and the attempts to which containers belong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// The number of containers that use an image, by the image's id.
    pub images: BTreeMap<String, u32>,
    /// The number of containers that use a volume, by the volume's name.
    pub volumes: BTreeMap<String, u32>,
    /// Attempts that have containers.
    pub attempts: BTreeSet<Owned>,
}

/// The host and the attempt that a container or volume was created for, from its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    pub host: String,
    /// The instance of the host's daemon. It is `None` for an object of a version that had no such label.
    pub instance: Option<String>,
    pub attempt: String,
}

impl Owned {
    /// Reads the labels of an object. Returns `None` if the object belongs to no attempt.
    pub fn read(labels: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            host: labels.get(HOST_LABEL)?.clone(),
            instance: labels.get(INSTANCE_LABEL).cloned(),
            attempt: labels.get(ATTEMPT_LABEL)?.clone(),
        })
    }
}

/// The size of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub free: u64,
    pub total: u64,
}

/// The bytes that images and volumes take on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The bytes that an image shares with other images, by the image's id.
    pub shared: BTreeMap<String, u64>,
    /// The bytes of a volume, by the volume's name.
    pub volumes: BTreeMap<String, u64>,
}
