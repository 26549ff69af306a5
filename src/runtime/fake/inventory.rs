//! Lists the images and volumes that the stand-in holds. Its images have one layer each, unless a label names an image
//! below them.

use super::{FakeRuntime, FakeState};
use crate::runtime::image_label::ON;
use crate::runtime::{
    Disk, DiskUsage, EngineImage, Owned, Result, RuntimeError, StoredImage, StoredVolume, Users, Volume,
};
use std::collections::BTreeMap;

/// The bytes of each volume.
pub const VOLUME_BYTES: u64 = 7;

impl FakeRuntime {
    /// Adds an image that the engine holds.
    pub fn with_image(self, reference: &str) -> Self {
        let image = EngineImage {
            id: format!("sha256:{reference}"),
            size: 1,
            labels: BTreeMap::new(),
        };
        self.state().images.insert(reference.to_owned(), image);
        self
    }

    /// Adds an image that the engine holds, with these labels.
    pub fn with_labelled(self, reference: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let image = EngineImage {
            id: format!("sha256:{reference}"),
            size: 1,
            labels: labels.collect(),
        };
        self.state().images.insert(reference.to_owned(), image);
        self
    }

    /// Sets the bytes of the engine's disk, of which half are free.
    pub fn with_disk(self, total: u64) -> Self {
        self.state().disk = Some(Disk { free: total / 2, total });
        self
    }

    /// Sets whether the engine refuses to reap containers and volumes.
    pub fn away(&self, away: bool) {
        self.state().away = away;
    }

    /// Returns the volumes that the engine holds, by name.
    pub fn volumes(&self) -> BTreeMap<String, Volume> {
        self.state().volumes.clone()
    }

    /// Returns the names of all images.
    pub fn image_names(&self) -> Vec<String> {
        self.state().images.keys().cloned().collect()
    }
}

pub fn disk_usage(state: &FakeState) -> DiskUsage {
    let volumes = state.volumes.keys().map(|name| (name.clone(), VOLUME_BYTES));
    DiskUsage {
        volumes: volumes.collect(),
        ..DiskUsage::default()
    }
}

pub fn images(state: &FakeState, label: &str) -> Vec<StoredImage> {
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

fn layers(state: &FakeState, name: &str) -> Vec<String> {
    let on = state.images.get(name).and_then(|image| image.labels.get(ON));
    let mut layers = on
        .filter(|on| !on.is_empty())
        .map_or(Vec::new(), |on| layers(state, on));
    layers.push(name.to_owned());
    layers
}

pub fn volumes(state: &FakeState, label: &str) -> Vec<StoredVolume> {
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

pub fn users(state: &FakeState) -> Users {
    let mut users = Users::default();
    for made in state.containers.values() {
        users.attempts.extend(Owned::read(&made.spec.labels));
        if let Some(image) = state.images.get(&made.spec.image) {
            *users.images.entry(image.id.clone()).or_default() += 1;
        }
        for (volume, _) in &made.spec.volumes {
            *users.volumes.entry(volume.clone()).or_default() += 1;
        }
    }
    users
}

/// Removes an image by its name. Fails if a container was created by that name, as engines refuse to remove an image in
/// use.
pub fn remove_image(state: &mut FakeState, reference: &str) -> Result<()> {
    if state.containers.values().any(|made| made.spec.image == reference) {
        return Err(RuntimeError::Refused(format!("image {reference} is in use")));
    }
    state.images.remove(reference);
    Ok(())
}

pub fn reap(state: &mut FakeState, label: &str, value: &str) -> Result<usize> {
    if state.away {
        return Err(RuntimeError::Refused("the engine is away".to_owned()));
    }
    let before = state.containers.len() + state.volumes.len();
    let fits = |labels: &BTreeMap<String, String>| labels.get(label).is_some_and(|found| found == value);
    state.containers.retain(|_, made| !fits(&made.spec.labels));
    state.volumes.retain(|_, volume| !fits(&volume.labels));
    Ok(before - state.containers.len() - state.volumes.len())
}
