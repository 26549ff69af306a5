//! A build tree: the volume in which a host builds one kind of image again and again. It keeps the sources, the objects
//! and the install root of the last build, so that the next build only compiles and installs what changed.

use super::steps::BUILD;
use crate::domain::id::HostId;
use crate::domain::job::BuildSpec;
use crate::domain::retention::VolumeKind;
use crate::domain::tree::Update;
use crate::host::log::Log;
use crate::host::{Host, Stop};
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{BUILD_TREE_LABEL, EngineImage, KIND_LABEL, RuntimeError, Volume};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most bytes that are read from a file that Pybots keeps in the tree.
const READ_MOST: usize = 1 << 20;

/// The revision whose sources and objects the tree holds. The file `tree.json` holds it after a successful build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeState {
    pub revision: String,
}

/// The image that was last made from this tree, as the file `image.json` holds it.
#[derive(Serialize, Deserialize)]
struct MadeImage {
    reference: String,
    id: String,
}

/// The image that was last made from this tree, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastImage {
    pub reference: String,
    pub image: EngineImage,
}

/// The build tree of a build, with an open container.
pub struct BuildTree<'a> {
    pub host: &'a Host,
    /// A container that mounts the build tree's volume.
    pub container: &'a str,
}

/// Returns the name of the build tree in which the host makes a build.
pub fn name(host: &Host, spec: &BuildSpec) -> String {
    spec.build_tree(&HostId::from(host.id.as_str()))
}

/// Returns the volume that all build trees of a toolchain share. It has the compiler cache and the results of
/// configure.
pub fn cache(spec: &BuildSpec) -> Volume {
    Volume {
        name: spec.cache(),
        size: None,
        labels: BTreeMap::from([(KIND_LABEL.to_owned(), VolumeKind::Cache.name().to_owned())]),
    }
}

pub fn volume(host: &Host, name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        size: None,
        labels: BTreeMap::from([
            (KIND_LABEL.to_owned(), VolumeKind::BuildTree.name().to_owned()),
            (BUILD_TREE_LABEL.to_owned(), host.id.clone()),
        ]),
    }
}

impl BuildTree<'_> {
    /// Returns how the tree can be brought to a revision, or `None` if the build has to start from a clean tree.
    pub async fn update(&self, spec: &BuildSpec, log: &Log) -> Result<Option<Update>, Stop> {
        let Some(kept) = &spec.profile.kept else {
            return Ok(None);
        };
        let Some(tree) = self.read::<TreeState>("tree.json").await? else {
            return Ok(None);
        };
        let changes = self
            .host
            .supply
            .changes(&tree.revision, &spec.revision, &spec.profile.ignore);
        let Some(changes) = changes.await? else { return Ok(None) };
        match Update::of(&changes, &kept.bytecode) {
            Ok(update) => {
                let count = changes.len();
                log.say(&format!(
                    "continuing in the tree of {}: {count} files changed",
                    tree.revision
                ))
                .await;
                Ok(Some(update))
            }
            Err(why) => {
                log.say(&format!("building in a clean tree: since {} {why}", tree.revision))
                    .await;
                Ok(None)
            }
        }
    }

    /// Returns the image that was made last from this tree, if the engine still holds it.
    pub async fn last(&self) -> Result<Option<LastImage>, Stop> {
        let Some(made) = self.read::<MadeImage>("image.json").await? else {
            return Ok(None);
        };
        let held = self.host.runtime.image(&made.reference).await?;
        Ok(held.filter(|image| image.id == made.id).map(|image| LastImage {
            reference: made.reference,
            image,
        }))
    }

    /// Records the image that was made last.
    pub async fn made(&self, reference: &str, image: &EngineImage) -> Result<(), Stop> {
        let made = MadeImage {
            reference: reference.to_owned(),
            id: image.id.clone(),
        };
        let text = serde_json::to_vec(&made).map_err(anyhow::Error::from)?;
        let files = tar::files(FileOwner::Root, &[("image.json", &text, false)]);
        Ok(self.host.runtime.put(self.container, BUILD, tar::stream(files)).await?)
    }

    /// Reads a JSON file that Pybots keeps in the tree. Returns `None` if the file is missing or unusable.
    pub async fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Stop> {
        let stream = match self.host.runtime.get(self.container, &format!("{BUILD}/{name}")).await {
            Ok(stream) => stream,
            Err(RuntimeError::NoFile(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = tar::first_file(stream, READ_MOST).await.ok();
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}
