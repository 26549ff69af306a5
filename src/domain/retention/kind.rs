//! The kinds of images and volumes, as the label `org.pybots.kind` states them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The content of an image. Images are listed in this order.
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

impl ImageKind {
    pub fn of_label(label: &str) -> Self {
        let all = [Self::Cpython, Self::Project, Self::Runtime, Self::Toolchain];
        all.into_iter().find(|kind| kind.label() == label).unwrap_or_default()
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Cpython => "cpython",
            Self::Project => "project",
            Self::Runtime => "runtime",
            Self::Toolchain => "toolchain",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The content of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A build tree. Engines hold volumes of earlier versions, so the label keeps the word of then.
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

impl VolumeKind {
    pub fn of_label(label: &str) -> Self {
        let all = [Self::BuildTree, Self::Cache, Self::Downloads, Self::Wheels];
        all.into_iter().find(|kind| kind.label() == label).unwrap_or_default()
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::BuildTree => "lane",
            Self::Cache => "cache",
            Self::Downloads => "downloads",
            Self::Wheels => "wheels",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
