//! What an engine tells of all that it holds.

use super::{ATTEMPT_LABEL, HOST_LABEL};
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
    /// When this engine last gave it a name, in milliseconds.
    pub tagged_at: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredVolume {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// In milliseconds.
    pub created_at: Option<i64>,
}

/// What the containers are for, and how many use what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// By the image's id.
    pub images: BTreeMap<String, u32>,
    /// By the volume's name.
    pub volumes: BTreeMap<String, u32>,
    /// Attempts that they were made for.
    pub attempts: BTreeSet<Owned>,
}

/// By the labels of a container or volume: whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    pub host: String,
    pub attempt: String,
}

impl Owned {
    /// None: no attempt made it.
    pub fn read(labels: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            host: labels.get(HOST_LABEL)?.clone(),
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

/// Bytes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// By the image's id: what it shares with other images.
    pub shared: BTreeMap<String, u64>,
    /// By the volume's name.
    pub volumes: BTreeMap<String, u64>,
}
