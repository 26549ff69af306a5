//! The images and volumes on a host's engine.

use super::kind::{ImageKind, VolumeKind};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All images and volumes on a host's engine that have labels of Pybots, including the images and volumes of other
/// installations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The id of the host.
    pub host: String,
    /// The free bytes of the engine's disk. `None` if the host cannot see the disk.
    pub free: Option<u64>,
    pub images: Vec<HeldImage>,
    pub volumes: Vec<HeldVolume>,
}

/// The most images, and the most volumes, of an inventory. An engine whose host removes old ones holds far fewer.
pub const HELD_MOST: usize = 5_000;

impl Inventory {
    /// Refuses an inventory that no engine has. The error is for its host.
    pub fn sane(&self) -> Result<(), String> {
        for (what, count) in [("images", self.images.len()), ("volumes", self.volumes.len())] {
            if count > HELD_MOST {
                return Err(format!(
                    "the inventory has {count} {what}, and at most {HELD_MOST} are accepted; remove some of Pybots' {what} from the engine"
                ));
            }
        }
        Ok(())
    }
}

/// An image on an engine, with the values of its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldImage {
    /// The content id, `sha256:..`.
    pub id: String,
    /// The names of the image. The list is empty if a later image took its name.
    pub names: Vec<String>,
    pub kind: ImageKind,
    pub build_key: String,
    pub revision: String,
    pub branch: String,
    pub variant: String,
    pub version: String,
    /// How many layers are between it and its key frame.
    pub depth: u32,
    /// The bytes of all its layers, including layers that other images share.
    pub size: u64,
    /// The bytes of its own layers: those above the image below it.
    pub bytes: u64,
    /// The id of the nearest image on this engine that it is built on.
    pub below: Option<String>,
    /// When this engine gave the image its name.
    pub tagged_at: Option<Timestamp>,
    /// How many containers use it.
    pub users: u32,
}

impl HeldImage {
    /// Returns whether the image has a name by which jobs find it. The name that an attempt gives while it builds does
    /// not count.
    pub fn is_named(&self) -> bool {
        let tags = self.names.iter().filter_map(|name| name.rsplit_once(':'));
        tags.into_iter().any(|(_, tag)| !tag.contains('-'))
    }
}

/// A volume that several attempts use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldVolume {
    pub name: String,
    pub kind: VolumeKind,
    /// The id of the host to which it belongs; empty if hosts share it.
    pub owner: String,
    /// The project and the ABI key of wheels; otherwise empty.
    pub project: String,
    pub abi: String,
    pub created_at: Option<Timestamp>,
    /// The size in bytes. It is `None` unless the engine was asked for it, because that takes long.
    pub size: Option<u64>,
    /// How many containers it is mounted in.
    pub users: u32,
}

/// Returns, for each image, the index of the nearest image that it is built on. `layers` has the layers of each image,
/// the lowest first. An image with the same layers as an earlier one counts as built on that.
pub fn below(layers: &[Vec<String>]) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = Vec::with_capacity(layers.len());
    // the last image so far with exactly these layers
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

/// Returns how many bytes an image of CPython adds to the image below it. The numbers come from its labels: `chain`
/// counts the layers above the key frame, `all` the whole CPython, and `added` its own layer. `chain_below` is the
/// `chain` of the image below. If images below have lost their names, their layers count for this image.
pub fn own_bytes(chain: u64, all: u64, added: u64, depth: u32, chain_below: Option<u64>) -> u64 {
    match chain_below {
        Some(below) => chain.saturating_sub(below),
        None if depth == 0 => added,
        // its key frame lost its name
        None => chain + all,
    }
}
