//! What the label `org.pybots.kind` says about images and volumes.

use crate::domain::names::names;
use serde::{Deserialize, Serialize};

/// What an image holds. Images are listed in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    Cpython,
    /// CPython with the packages of the distribution that one project needs.
    Project,
    Runtime,
    Toolchain,
    /// An image of another version of this program.
    #[default]
    #[serde(other)]
    Other,
}

names!(
    ImageKind,
    "kind of image": Cpython = "cpython",
    Project = "project",
    Runtime = "runtime",
    Toolchain = "toolchain",
    Other = "other",
);

impl ImageKind {
    pub fn of_label(label: &str) -> Self {
        label.parse().unwrap_or_default()
    }
}

/// What a volume holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A build tree. Engines hold volumes of earlier versions, so the label keeps the word of that time.
    #[serde(rename = "lane")]
    BuildTree,
    /// The compiler cache and the results of configure, for all build trees of one toolchain.
    Cache,
    /// The files that fetches downloaded. Each fetch keeps them within their bound.
    Downloads,
    /// The wheels that one project built with one ABI key.
    Wheels,
    /// A volume of another version of this program.
    #[default]
    #[serde(other)]
    Other,
}

names!(
    VolumeKind,
    "kind of volume": BuildTree = "lane",
    Cache = "cache",
    Downloads = "downloads",
    Wheels = "wheels",
    Other = "other",
);

impl VolumeKind {
    pub fn of_label(label: &str) -> Self {
        label.parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_other_versions_are_read_too() {
        for image in ImageKind::ALL {
            let text = serde_json::to_string(image).unwrap();
            assert_eq!(text, format!("{:?}", image.name()));
            assert_eq!(serde_json::from_str::<ImageKind>(&text).unwrap(), *image);
        }
        for volume in VolumeKind::ALL {
            let text = serde_json::to_string(volume).unwrap();
            assert_eq!(text, format!("{:?}", volume.name()));
            assert_eq!(serde_json::from_str::<VolumeKind>(&text).unwrap(), *volume);
        }
        for odd in ["", "new"] {
            assert_eq!(ImageKind::of_label(odd), ImageKind::Other);
            assert_eq!(VolumeKind::of_label(odd), VolumeKind::Other);
            let json = format!("{odd:?}");
            assert_eq!(serde_json::from_str::<ImageKind>(&json).unwrap(), ImageKind::Other);
            assert_eq!(serde_json::from_str::<VolumeKind>(&json).unwrap(), VolumeKind::Other);
        }
    }
}
