//! What an engine tells of all that it holds.

use std::collections::BTreeMap;

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

/// How many containers use what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// By the image's id.
    pub images: BTreeMap<String, u32>,
    /// By the volume's name.
    pub volumes: BTreeMap<String, u32>,
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
