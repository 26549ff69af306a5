//! What a host holds on its engine.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a host tells of its engine: everything that bears our labels, also what others have made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    pub host: String,
    /// Free bytes of the engine's disk, where the host can see that.
    pub free: Option<u64>,
    pub images: Vec<HeldImage>,
    pub volumes: Vec<HeldVolume>,
}

/// An image that an engine holds, as its labels tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldImage {
    /// Content id, `sha256:..`.
    pub id: String,
    /// None is left where another image took its name.
    pub names: Vec<String>,
    /// `cpython`, `project`, `toolchain` or `runtime`.
    pub kind: String,
    pub build_key: String,
    pub revision: String,
    pub branch: String,
    pub variant: String,
    pub version: String,
    /// Layers above its key frame.
    pub depth: u32,
    /// Bytes, layers that others share included.
    pub size: u64,
    /// Bytes of its own layers: those above the image below it.
    pub bytes: u64,
    /// Id of the nearest image that is held and that it lies on.
    pub below: Option<String>,
    /// When this engine gave it its name, in milliseconds.
    pub tagged_at: Option<i64>,
    /// Containers made of it.
    pub users: u32,
}

impl HeldImage {
    /// Whether it has a name under which it is looked for, and not only the one of a build's attempt.
    pub fn is_named(&self) -> bool {
        let tags = self.names.iter().filter_map(|name| name.rsplit_once(':'));
        tags.into_iter().any(|(_, tag)| !tag.contains('-'))
    }
}

/// A volume that outlives attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldVolume {
    pub name: String,
    /// `lane`, `cache` or `wheels`.
    pub kind: String,
    /// Id of the host that it belongs to; empty where hosts share it.
    pub owner: String,
    /// Of wheels: the project and the ABI key.
    pub project: String,
    pub abi: String,
    pub created_at: Option<i64>,
    /// Bytes, where somebody asked for them.
    pub size: Option<u64>,
    /// Containers that it is mounted in.
    pub users: u32,
}

/// For each image the nearest other one that it lies on, by their layers from the lowest up. Of those
/// with equal layers, each lies on the one before it.
pub fn below(layers: &[Vec<String>]) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = Vec::with_capacity(layers.len());
    // last of those with these very layers so far
    let mut last: BTreeMap<&[String], usize> = BTreeMap::new();
    let mut top: BTreeMap<&[String], usize> = BTreeMap::new();
    for (at, all) in layers.iter().enumerate() {
        top.insert(all, at);
    }
    for (at, all) in layers.iter().enumerate() {
        let twin = last.insert(all, at);
        let lower = (1..all.len()).rev().find_map(|count| top.get(&all[..count]).copied());
        found.push(twin.or(lower));
    }
    found
}

/// Bytes of a CPython's own layers: above the held image below it, by what the labels say of the chain.
/// Layers of images that have lost their names count for the one above them.
pub fn own_bytes(chain: u64, all: u64, added: u64, depth: u32, chain_below: Option<u64>) -> u64 {
    match chain_below {
        Some(below) => chain.saturating_sub(below),
        None if depth == 0 => added,
        // its key frame has no name any more
        None => chain + all,
    }
}
