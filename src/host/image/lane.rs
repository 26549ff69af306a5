//! A lane: the volume in which a host builds one kind of image, one after the other. It keeps the tree,
//! its objects and the install root of the check-in that was built last, so that the next one costs
//! what changed.

use super::steps::BUILD;
use crate::domain::job::BuildSpec;
use crate::domain::tree::Update;
use crate::host::log::Log;
use crate::host::{Host, Stop};
use crate::runtime::tar::{self, Owner};
use crate::runtime::{Image, KIND_LABEL, LANE_LABEL, RuntimeError, Volume};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest file of ours that is read back.
const READ_MOST: usize = 1 << 20;

/// What the tree was brought to by a build that went through: in `tree.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    pub revision: String,
}

/// Which image was made last: in `image.json`.
#[derive(Serialize, Deserialize)]
struct Made {
    reference: String,
    id: String,
}

/// The image that was made last, whose files are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    pub reference: String,
    pub image: Image,
}

/// The lane of a build, held by an open container.
pub struct Lane<'a> {
    pub host: &'a Host,
    /// A container that has the lane's volume.
    pub container: &'a str,
}

/// The name of the lane that a build goes to.
pub fn name(host: &Host, spec: &BuildSpec) -> String {
    spec.lane(&host.id)
}

/// The volume that all lanes of a toolchain share: compiler cache and what configure found out.
pub fn cache(spec: &BuildSpec) -> Volume {
    Volume {
        name: spec.cache(),
        size: None,
        labels: BTreeMap::from([(KIND_LABEL.to_owned(), "cache".to_owned())]),
    }
}

pub fn volume(host: &Host, name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        size: None,
        labels: BTreeMap::from([
            (KIND_LABEL.to_owned(), "lane".to_owned()),
            (LANE_LABEL.to_owned(), host.id.clone()),
        ]),
    }
}

impl Lane<'_> {
    /// How the tree can be brought to a check-in; None: only a clean one will do.
    pub async fn update(&self, spec: &BuildSpec, log: &Log) -> Result<Option<Update>, Stop> {
        let Some(kept) = &spec.profile.kept else {
            return Ok(None);
        };
        let Some(tree) = self.read::<Tree>("tree.json").await? else {
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
                    "going on in the tree of {}: {count} files changed",
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

    /// The image made last, if the engine still holds that very one.
    pub async fn last(&self) -> Result<Option<Last>, Stop> {
        let Some(made) = self.read::<Made>("image.json").await? else {
            return Ok(None);
        };
        let held = self.host.runtime.image(&made.reference).await?;
        Ok(held.filter(|image| image.id == made.id).map(|image| Last {
            reference: made.reference,
            image,
        }))
    }

    /// Notes which image was made last.
    pub async fn made(&self, reference: &str, image: &Image) -> Result<(), Stop> {
        let made = Made {
            reference: reference.to_owned(),
            id: image.id.clone(),
        };
        let text = serde_json::to_vec(&made).map_err(anyhow::Error::from)?;
        let files = tar::files(Owner::Root, &[("image.json", &text, false)]);
        Ok(self.host.runtime.put(self.container, BUILD, tar::stream(files)).await?)
    }

    /// A file of ours; None if there is none, or none that can be read.
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
