//! Decides which images and volumes of a host stay, by the rules of [`crate::domain::retention`].

use crate::config::Settings;
use crate::domain::id::HostId;
use crate::domain::job::{self, JobSpec};
use crate::domain::profile::Distribution;
use crate::domain::retention::{
    self, BranchUse, DAY_MS, Decisions, HeldImage, ImageHistory, ImageKind, Inventory, NeededVolumes, Policy,
    VolumeKind,
};
use crate::domain::time::Timestamp;
use crate::recipe::Registered;
use crate::store::Store;
use crate::store::logs::Objects;
use crate::store::retention::PlannedBuild;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Decides about the images and volumes of hosts.
pub struct Keeper<'a> {
    pub store: &'a Store,
    pub policy: Policy,
    /// The name of the cache volume of the current toolchain. Other Pybots installations on the engine may share it.
    pub cache: String,
    /// The repository in the container registry, if the settings name one.
    pub repository: Option<String>,
}

impl<'a> Keeper<'a> {
    pub fn new(store: &'a Store, settings: &Settings, distribution: &Distribution) -> Self {
        Self {
            store,
            policy: settings.policy(),
            cache: job::cache(distribution),
            repository: settings.registry.repository().map(str::to_owned),
        }
    }

    /// Decides about every image and volume of an inventory.
    pub async fn decide(&self, inventory: &Inventory, now: Timestamp) -> Result<Decisions> {
        let histories = histories(self.store, inventory).await?;
        let needs = self.needs(inventory, now).await?;
        Ok(Decisions {
            images: retention::images(inventory, &histories, &self.policy, now),
            volumes: retention::volumes(inventory, &needs, &self.policy, now),
            push: Vec::new(),
        })
    }

    /// Records the inventory of a host, and decides about it. A host that may build images also gets a list of images
    /// to push, if the registry lacks them.
    pub async fn receive(&self, inventory: &Inventory, builds: bool, now: Timestamp) -> Result<Decisions> {
        let named = inventory
            .images
            .iter()
            .filter(|image| image.kind == ImageKind::Cpython && image.is_named());
        let host = HostId::from(inventory.host.as_str());
        self.store.set_held(&host, &keys(named), builds, now).await?;
        let mut decisions = self.decide(inventory, now).await?;
        if builds {
            decisions.push = self.to_push(inventory, &decisions).await?;
        }
        Ok(decisions)
    }

    async fn needs(&self, inventory: &Inventory, now: Timestamp) -> Result<NeededVolumes> {
        let host = HostId::from(inventory.host.as_str());
        let since = now - i64::from(self.policy.longest()) * DAY_MS;
        let mut needs = NeededVolumes::default();
        needs.caches.insert(self.cache.clone());
        for planned in self.store.builds_since(since).await? {
            if let Some(build) = readable(planned) {
                needs.build_trees.insert(build.build_tree(&host));
                needs.caches.insert(build.cache());
            }
        }
        needs.own_caches.clone_from(&needs.caches);
        let is_odd = |name: &String| !needs.caches.contains(name);
        let caches = inventory
            .volumes
            .iter()
            .filter(|volume| volume.kind == VolumeKind::Cache);
        if caches.map(|volume| &volume.name).any(is_odd) {
            // reading all builds takes long, and is needed only for a cache that no recent build used
            for planned in self.store.builds_since(Timestamp::default()).await? {
                if let Some(build) = readable(planned) {
                    needs.own_caches.insert(build.cache());
                }
            }
        }
        for (project, facts) in self.store.runs_since(since).await? {
            needs.wheels.extend(facts.abi_key.map(|abi| (project, abi)));
        }
        Ok(needs)
    }
}

/// Removes the source folders that no registered recipe and no open job has needed for `days`. Each version of a folder
/// is stored separately, so old ones add up. Returns the number of removed folders.
pub async fn remove_folders(
    store: &Store,
    objects: &Objects,
    projects: &[Registered],
    days: u32,
    now: Timestamp,
) -> Result<usize> {
    let registered: BTreeSet<&String> = projects.iter().flat_map(|project| project.folders.values()).collect();
    for digest in &registered {
        objects.keep_folder(digest).await?;
    }
    let mut removed = 0;
    for digest in objects.folders_before(now - i64::from(days) * DAY_MS).await? {
        if registered.contains(&digest) {
            continue;
        }
        if store.is_folder_needed(&digest).await? {
            objects.keep_folder(&digest).await?;
        } else {
            objects.remove_folder(&digest).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Returns the build of a planned image. Returns `None` if another version of Pybots planned it, because this one has
/// no volumes for it.
fn readable(planned: PlannedBuild) -> Option<Box<job::BuildSpec>> {
    match planned.spec {
        Ok(JobSpec::Image(build)) => Some(build),
        Ok(JobSpec::Run(_)) => None,
        Err(bad) => {
            tracing::debug!(job = %planned.id, %bad, "a build of another version is left out");
            None
        }
    }
}

fn keys<'a>(images: impl Iterator<Item = &'a HeldImage>) -> Vec<String> {
    let keys: BTreeSet<&str> = images
        .map(|image| image.build_key.as_str())
        .filter(|key| !key.is_empty())
        .collect();
    keys.into_iter().map(str::to_owned).collect()
}

/// Returns the histories of the images in an inventory, by build key. Images of other installations have none.
pub async fn histories(store: &Store, inventory: &Inventory) -> Result<BTreeMap<String, ImageHistory>> {
    histories_of(store, &keys(inventory.images.iter())).await
}

/// Returns the histories of images, by build key.
pub async fn histories_of(store: &Store, keys: &[String]) -> Result<BTreeMap<String, ImageHistory>> {
    let mut histories = BTreeMap::new();
    for used in store.image_uses(keys).await? {
        let history = ImageHistory {
            ready_at: used.ready_at,
            last_used: used.built_at.max(used.run_at),
            open_jobs: u32::try_from(used.open_builds + used.open_runs).unwrap_or(u32::MAX),
            ..ImageHistory::default()
        };
        histories.insert(used.build_key, history);
    }
    for revision in store.image_revisions(keys).await? {
        let Some(history) = histories.get_mut(&revision.build_key) else {
            continue;
        };
        let branch = BranchUse {
            branch: revision.branch,
            // a revision that is discovered late stays for the full time too
            since: revision.committed_at.max(revision.discovered_at),
            watched: revision.watched,
            tip: revision.tip,
        };
        match history.branches.iter_mut().find(|other| other.branch == branch.branch) {
            Some(newest) => {
                newest.since = newest.since.max(branch.since);
                newest.tip |= branch.tip;
            }
            None => history.branches.push(branch),
        }
    }
    for pin in store.pins().await? {
        if let Some(history) = histories.get_mut(&pin.build_key) {
            history.pins.push(pin.reason);
        }
    }
    Ok(histories)
}
