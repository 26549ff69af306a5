//! Images in the container registry: where hosts find them, which images hosts push, and which images the coordinator
//! deletes.

mod api;

pub use api::Api;

use super::Coordinator;
use super::keep::{self, Keeper};
use crate::clock::now;
use crate::domain::digest::is_sha256;
use crate::domain::job::{JobSpec, Remote, RemoteImage};
use crate::domain::retention::{self, Decisions, ImageKind, Inventory, Push};
use crate::domain::time::Timestamp;
use anyhow::Result;
use std::time::Duration;

/// The most images that a host is asked to push at a time. Its next inventory asks for more.
const AT_ONCE: usize = 5;

/// The most deletions that fail in one pass: a registry may refuse all of them.
const FAILED_MOST: usize = 3;

impl Coordinator {
    /// Adds the place of the image in the registry to the spec of a claim, if the settings name a registry. If the
    /// place can't be read, the claim is still useful for a host that holds the image or may build it.
    pub async fn add_remote(&self, spec: &mut JobSpec) {
        let Some(repository) = self.settings.registry.repository() else {
            return;
        };
        let image = match self.store.remote(spec.build_key()).await {
            Ok(row) => row.map(|row| RemoteImage {
                reference: row.remote,
                facts: row.facts,
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

    /// Records the reference under which a host pushed an image. Returns `false` if the reference is outside the
    /// repository of the settings, or no image with that build key is ready.
    pub async fn pushed(&self, build_key: &str, reference: &str) -> Result<bool> {
        if !self.is_ours(reference) || !self.store.set_remote(build_key, Some(reference)).await? {
            return Ok(false);
        }
        // hosts that could not get the image before can now claim runs on it
        self.queue.announce();
        Ok(true)
    }

    /// Returns whether a reference names an image by digest in the repository of the settings.
    pub fn is_ours(&self, reference: &str) -> bool {
        let repository = self.settings.registry.repository();
        let parts = reference.split_once("@sha256:");
        matches!((repository, parts), (Some(ours), Some((there, digest))) if ours == there && is_sha256(digest))
    }

    /// Runs the loop over the registry.
    pub(super) async fn travel(&self) {
        let mut last_error = String::new();
        loop {
            match self.check_registry(now()).await {
                Ok(()) => last_error.clear(),
                Err(error) => {
                    let error = format!("{error:#}");
                    // a registry that is down for a day is logged once
                    if last_error != error {
                        tracing::warn!(error, "failed to check the registry");
                    }
                    last_error = error;
                }
            }
            tokio::time::sleep(Duration::from_secs(self.settings.retention.every.0)).await;
        }
    }

    /// Makes one pass: deletes images that are no longer needed, and clears the place of images that the registry lost,
    /// so that hosts push them again. Also clears all places outside the repository of the settings. Stops if the
    /// registry can't be asked about an image, or fails to delete [`FAILED_MOST`] images. Returns the first error.
    pub async fn check_registry(&self, now: Timestamp) -> Result<()> {
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
        let histories = keep::histories_of(&self.store, &keys).await?;
        let api = Api::open(registry, &self.settings.network, repository)?;
        let policy = self.settings.policy();
        let mut failed = Vec::new();
        for row in rows {
            let Some(history) = histories.get(&row.build_key) else {
                continue;
            };
            let (_, digest) = row.remote.split_once('@').unwrap_or_default();
            let reason = retention::remote(history, &policy, now);
            if !reason.stays() {
                // cleared before the deletion, so that no claim names an image that is being deleted
                self.store.set_remote(&row.build_key, None).await?;
                if let Err(error) = api.delete(digest).await {
                    self.store.set_remote(&row.build_key, Some(&row.remote)).await?;
                    failed.push(error);
                    // one image that can't be deleted keeps no other one from its turn
                    if failed.len() == FAILED_MOST {
                        break;
                    }
                    continue;
                }
                tracing::info!(
                    image = row.remote,
                    why = reason.to_string(),
                    "removed from the registry"
                );
            } else if !api.has(digest).await? {
                self.store.set_remote(&row.build_key, None).await?;
                tracing::warn!(
                    image = row.remote,
                    "the registry lost an image; a host will push it again"
                );
            }
        }
        failed.into_iter().next().map_or(Ok(()), Err)
    }
}

impl Keeper<'_> {
    /// Returns the images for a host to push, newest first, [`AT_ONCE`] at most. They are the images that the results
    /// are about, the registry does not have them, and it would keep them.
    pub async fn to_push(&self, inventory: &Inventory, decisions: &Decisions) -> Result<Vec<Push>> {
        let Some(repository) = &self.repository else {
            return Ok(Vec::new());
        };
        let mut push = Vec::new();
        // newest first
        let mut held: Vec<_> = inventory.images.iter().zip(&decisions.images).collect();
        held.sort_by_key(|(image, _)| std::cmp::Reverse(image.tagged_at));
        for (image, decision) in held {
            let wanted = image.kind == ImageKind::Cpython && decision.reason.travels();
            // a second build of the same key differs from the image that the results are about
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
