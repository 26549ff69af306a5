//! What of a host's images and volumes is of use: gathers what the store knows, and lets
//! [`crate::domain::retention`] decide.

use crate::config::Settings;
use crate::domain::job::{self, Facts, JobSpec};
use crate::domain::retention::{self, DAY_MS, HeldImage, Inventory, Known, Needs, Place, Policy, Verdicts};
use crate::profile::Distribution;
use crate::store::Store;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Who decides.
pub struct Keeper<'a> {
    pub store: &'a Store,
    pub policy: Policy,
    /// The cache of the toolchain in force. Other installations may build with it too.
    pub cache: String,
    /// Where images travel, if they do.
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

    /// A verdict on all that a host holds.
    pub async fn judge(&self, inventory: &Inventory, now: i64) -> Result<Verdicts> {
        let known = known(self.store, inventory).await?;
        let needs = self.needs(inventory, now).await?;
        Ok(Verdicts {
            images: retention::images(inventory, &known, &self.policy, now),
            volumes: retention::volumes(inventory, &needs, &self.policy, now),
            push: Vec::new(),
        })
    }

    /// As [`Keeper::judge`], for a host that tells what it holds: that is noted. One that may build is asked to
    /// push what the registry lacks.
    pub async fn tell(&self, inventory: &Inventory, builds: bool, now: i64) -> Result<Verdicts> {
        let named = inventory
            .images
            .iter()
            .filter(|image| image.kind == "cpython" && image.is_named());
        self.store.set_held(&inventory.host, &keys(named), now).await?;
        let mut verdicts = self.judge(inventory, now).await?;
        if builds {
            verdicts.push = self.to_push(inventory, &verdicts).await?;
        }
        Ok(verdicts)
    }

    async fn needs(&self, inventory: &Inventory, now: i64) -> Result<Needs> {
        let since = now - i64::from(self.policy.longest()) * DAY_MS;
        let mut needs = Needs::default();
        needs.caches.insert(self.cache.clone());
        for spec in self.store.builds_since(since).await? {
            // what another version of the program planned has no lane that this one knows
            if let Ok(JobSpec::Image(build)) = serde_json::from_str(&spec) {
                needs.lanes.insert(build.lane(&inventory.host));
                needs.caches.insert(build.cache());
            }
        }
        needs.own_caches.clone_from(&needs.caches);
        let is_odd = |name: &String| !needs.caches.contains(name);
        let caches = inventory.volumes.iter().filter(|volume| volume.kind == "cache");
        if caches.map(|volume| &volume.name).any(is_odd) {
            // all builds there ever were: only when there is a cache that no recent one has used
            for spec in self.store.builds_since(0).await? {
                if let Ok(JobSpec::Image(build)) = serde_json::from_str(&spec) {
                    needs.own_caches.insert(build.cache());
                }
            }
        }
        for (project, facts) in self.store.runs_since(since).await? {
            let abi = serde_json::from_str::<Facts>(&facts)
                .ok()
                .and_then(|facts| facts.abi_key);
            needs.wheels.extend(abi.map(|abi| (project, abi)));
        }
        Ok(needs)
    }
}

fn keys<'a>(images: impl Iterator<Item = &'a HeldImage>) -> Vec<String> {
    let keys: BTreeSet<&str> = images
        .map(|image| image.build_key.as_str())
        .filter(|key| !key.is_empty())
        .collect();
    keys.into_iter().map(str::to_owned).collect()
}

/// What the store knows of the images, by build key. Those of others are not in it.
pub async fn known(store: &Store, inventory: &Inventory) -> Result<BTreeMap<String, Known>> {
    known_of(store, &keys(inventory.images.iter())).await
}

/// The same of build keys.
pub async fn known_of(store: &Store, keys: &[String]) -> Result<BTreeMap<String, Known>> {
    let mut known = BTreeMap::new();
    for used in store.image_uses(keys).await? {
        let entry = Known {
            ready_at: used.ready_at,
            last_used: used.built_at.max(used.run_at),
            open_jobs: u32::try_from(used.open_builds + used.open_runs).unwrap_or(u32::MAX),
            ..Known::default()
        };
        known.insert(used.build_key, entry);
    }
    for place in store.image_places(keys).await? {
        let Some(entry) = known.get_mut(&place.build_key) else {
            continue;
        };
        let one = Place {
            branch: place.branch,
            // an old check-in that is seen for the first time is new to us
            since: place.committed_at.max(place.discovered_at),
            watched: place.watched != 0,
            tip: place.tip != 0,
        };
        match entry.places.iter_mut().find(|known| known.branch == one.branch) {
            Some(newest) => {
                newest.since = newest.since.max(one.since);
                newest.tip |= one.tip;
            }
            None => entry.places.push(one),
        }
    }
    for pin in store.pins().await? {
        if let Some(entry) = known.get_mut(&pin.build_key) {
            entry.pins.push(pin.reason);
        }
    }
    Ok(known)
}
