//! Lists of what the stand-in holds. Its images bear one layer each, unless a label says on which other
//! image they lie.

use super::{FakeRuntime, State};
use crate::runtime::image_label::ON;
use crate::runtime::{Disk, Image, Result, RuntimeError, StoredImage, StoredVolume, Users, Volume};
use std::collections::BTreeMap;

impl FakeRuntime {
    /// The engine holds this image.
    pub fn with_image(self, reference: &str) -> Self {
        let image = Image {
            id: format!("sha256:{reference}"),
            size: 1,
            labels: BTreeMap::new(),
        };
        self.state().images.insert(reference.to_owned(), image);
        self
    }

    /// The engine holds this image, with these labels.
    pub fn with_labelled(self, reference: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let image = Image {
            id: format!("sha256:{reference}"),
            size: 1,
            labels: labels.collect(),
        };
        self.state().images.insert(reference.to_owned(), image);
        self
    }

    /// The engine's disk has so many bytes, half of them free.
    pub fn with_disk(self, total: u64) -> Self {
        self.state().disk = Some(Disk { free: total / 2, total });
        self
    }

    /// The volumes that the engine holds, by name.
    pub fn volumes(&self) -> BTreeMap<String, Volume> {
        self.state().volumes.clone()
    }

    /// The names of all images.
    pub fn image_names(&self) -> Vec<String> {
        self.state().images.keys().cloned().collect()
    }
}

pub fn images(state: &State, label: &str) -> Vec<StoredImage> {
    let mut found: BTreeMap<String, StoredImage> = BTreeMap::new();
    for (name, image) in state
        .images
        .iter()
        .filter(|(_, image)| image.labels.contains_key(label))
    {
        let stored = found.entry(image.id.clone()).or_insert_with(|| StoredImage {
            id: image.id.clone(),
            size: image.size,
            labels: image.labels.clone(),
            layers: layers(state, name),
            ..StoredImage::default()
        });
        stored.names.push(name.clone());
    }
    found.into_values().collect()
}

fn layers(state: &State, name: &str) -> Vec<String> {
    let on = state.images.get(name).and_then(|image| image.labels.get(ON));
    let mut layers = on
        .filter(|on| !on.is_empty())
        .map_or(Vec::new(), |on| layers(state, on));
    layers.push(name.to_owned());
    layers
}

pub fn volumes(state: &State, label: &str) -> Vec<StoredVolume> {
    let bearing = state
        .volumes
        .values()
        .filter(|volume| volume.labels.contains_key(label));
    bearing
        .map(|volume| StoredVolume {
            name: volume.name.clone(),
            labels: volume.labels.clone(),
            created_at: None,
        })
        .collect()
}

pub fn users(state: &State) -> Users {
    let mut users = Users::default();
    for made in state.containers.values() {
        if let Some(image) = state.images.get(&made.spec.image) {
            *users.images.entry(image.id.clone()).or_default() += 1;
        }
        for (volume, _) in &made.spec.volumes {
            *users.volumes.entry(volume.clone()).or_default() += 1;
        }
    }
    users
}

/// An engine refuses to take the last name of an image that a container is made of.
pub fn remove_image(state: &mut State, reference: &str) -> Result<()> {
    if state.containers.values().any(|made| made.spec.image == reference) {
        return Err(RuntimeError::Refused(format!("image {reference} is in use")));
    }
    state.images.remove(reference);
    Ok(())
}

pub fn reap(state: &mut State, label: &str, value: &str) -> usize {
    let before = state.containers.len() + state.volumes.len();
    let fits = |labels: &BTreeMap<String, String>| labels.get(label).is_some_and(|found| found == value);
    state.containers.retain(|_, made| !fits(&made.spec.labels));
    state.volumes.retain(|_, volume| !fits(&volume.labels));
    before - state.containers.len() - state.volumes.len()
}
