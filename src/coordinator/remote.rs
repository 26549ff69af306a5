//! Images in the registry: where hosts find them, which are still to be pushed, and which may go.

mod api;

pub use api::{Api, Found};

use super::Coordinator;
use super::keep::{self, Keeper};
use crate::clock::now_ms;
use crate::domain::job::{Facts, JobSpec, Remote, RemoteImage};
use crate::domain::retention::{self, Inventory, Push, Verdicts};
use anyhow::Result;
use std::time::Duration;

/// So many images a host is asked to push at a time: the next look asks for more.
const AT_ONCE: usize = 5;

impl Coordinator {
    /// Says in a claim where the image travels. A claim that does not know it is still good for a host that
    /// holds the image, or may build it.
    pub async fn say_remote(&self, spec: &mut JobSpec) {
        let Some(repository) = self.settings.registry.repository() else {
            return;
        };
        let image = match self.store.remote(spec.build_key()).await {
            Ok(row) => row.and_then(|row| {
                let facts: Facts = serde_json::from_str(&row.facts).ok()?;
                let reference = row.remote;
                Some(RemoteImage { reference, facts })
            }),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "failed to look where an image is");
                None
            }
        };
        spec.build_mut().remote = Some(Remote {
            repository: repository.to_owned(),
            image,
        });
    }

    /// Notes where a host has pushed an image to.
    pub async fn pushed(&self, build_key: &str, reference: &str) -> Result<bool> {
        if !self.is_ours(reference) || !self.store.set_remote(build_key, Some(reference)).await? {
            return Ok(false);
        }
        // runs on it may be for hosts now that could not do them before
        self.queue.announce();
        Ok(true)
    }

    /// Whether a reference is one by digest in the repository of the settings.
    pub fn is_ours(&self, reference: &str) -> bool {
        let repository = self.settings.registry.repository();
        let parts = reference.split_once("@sha256:");
        let hex = |digest: &str| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        matches!((repository, parts), (Some(ours), Some((there, digest))) if ours == there && hex(digest))
    }

    /// Looks after the registry for as long as the coordinator runs.
    pub(super) async fn travel(&self) {
        let mut told = String::new();
        loop {
            match self.look_at_registry(now_ms()).await {
                Ok(()) => told.clear(),
                Err(error) => {
                    let error = format!("{error:#}");
                    // a registry that is down for a day is said once
                    if told != error {
                        tracing::warn!(error, "failed to look after the registry");
                    }
                    told = error;
                }
            }
            tokio::time::sleep(Duration::from_secs(self.settings.retention.every.0)).await;
        }
    }

    /// One pass: what nobody needs any more goes, and what is gone is forgotten, so that it is pushed again.
    pub async fn look_at_registry(&self, now: i64) -> Result<()> {
        let registry = &self.settings.registry;
        self.store.forget_remotes(registry.repository()).await?;
        let Some(repository) = registry.repository() else {
            return Ok(());
        };
        let rows = self.store.remotes().await?;
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = rows.iter().map(|row| row.build_key.clone()).collect();
        let known = keep::known_of(&self.store, &keys).await?;
        let api = Api::open(registry, &self.settings.network, repository)?;
        let policy = self.settings.policy();
        for row in rows {
            let Some(known) = known.get(&row.build_key) else {
                continue;
            };
            let (_, digest) = row.remote.split_once('@').unwrap_or_default();
            let reason = retention::remote(known, &policy, now);
            if !reason.stays() {
                // forgotten first: nobody is sent to an image that is on its way out
                self.store.set_remote(&row.build_key, None).await?;
                let deleted = api.delete(digest).await;
                if deleted.is_err() {
                    self.store.set_remote(&row.build_key, Some(&row.remote)).await?;
                }
                deleted?;
                tracing::info!(
                    image = row.remote,
                    why = reason.to_string(),
                    "removed from the registry"
                );
            } else if api.look(digest).await? == Found::Nothing {
                self.store.set_remote(&row.build_key, None).await?;
                tracing::warn!(image = row.remote, "the registry has lost an image; it is pushed again");
            }
        }
        Ok(())
    }
}

impl Keeper<'_> {
    /// What a host is asked to push: images that it has built itself, that the registry lacks, and that would
    /// stay there.
    pub async fn to_push(&self, inventory: &Inventory, verdicts: &Verdicts) -> Result<Vec<Push>> {
        let Some(repository) = &self.repository else {
            return Ok(Vec::new());
        };
        let mut push = Vec::new();
        // newest first
        let mut held: Vec<_> = inventory.images.iter().zip(&verdicts.images).collect();
        held.sort_by_key(|(image, _)| std::cmp::Reverse(image.tagged_at));
        for (image, verdict) in held {
            let wanted = image.kind == "cpython" && verdict.reason.travels();
            // one that was built a second time is another one, and not the one that results tell of
            if wanted && self.store.is_unpushed(&image.build_key, &image.id).await? {
                push.extend(image.names.first().map(|name| Push {
                    name: name.clone(),
                    build_key: image.build_key.clone(),
                    repository: repository.clone(),
                }));
            }
            if push.len() == AT_ONCE {
                break;
            }
        }
        Ok(push)
    }
}
