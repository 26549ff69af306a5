//! Keeps a host's engine from filling up: reports to the coordinator what the engine holds, and removes what the
//! coordinator allows. Each tick reads both again.

use super::Host;
use super::client::Client;
use super::image::travel::push_image;
use crate::domain::retention::{
    Decisions, HeldImage, HeldVolume, ImageKind, Inventory, Push, RetentionDecision, VolumeKind, below, own_bytes,
};
use crate::domain::time::Timestamp;
use crate::runtime::{
    ABI_LABEL, BUILD_KEY_LABEL, BUILD_TREE_LABEL, KIND_LABEL, OWNER_LABEL, PROJECT_LABEL, Runtime, StoredImage,
    StoredVolume, image_label,
};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The longest time between two checks of the disk.
const LOOK: Duration = Duration::from_secs(60);

/// The most rounds of removals in one tick. A removal may free less than expected, and a tick has to end.
const ROUNDS: usize = 5;

/// Runs until it is dropped. A tick that fails is logged and repeated.
pub async fn run(host: &Host, client: &Client) {
    let every = Duration::from_secs(host.retention.every.0);
    let mut last: Option<Instant> = None;
    loop {
        let due = last.is_none_or(|last| last.elapsed() >= every);
        if due || is_short(host).await {
            if let Err(error) = tick(host, client).await {
                tracing::warn!(error = format!("{error:#}"), "failed to tidy the engine");
            }
            last = Some(Instant::now());
        }
        tokio::time::sleep(every.min(LOOK)).await;
    }
}

/// Returns whether the disk has less free space than the settings ask for.
async fn is_short(host: &Host) -> bool {
    let disk = host.runtime.disk().await.ok().flatten();
    let free = disk.map(|disk| disk.free).into_iter().chain(host.disk_left());
    free.min().is_some_and(|free| free >> 30 < host.retention.min_free_gib)
}

/// Removes images and volumes until none is left to remove, in a few rounds at most, then pushes images that the
/// registry lacks. The last inventory shows the coordinator what remains.
pub async fn tick(host: &Host, client: &Client) -> Result<()> {
    let mut lacks = Vec::new();
    for _ in 0..ROUNDS {
        let mut inventory = survey(host.runtime.as_ref(), &host.id).await?;
        if host.policy.current().disk.is_some() {
            host.set_disk_used(taken(host.runtime.as_ref(), &inventory).await?);
            // the owner's limit counts as the size of the disk
            inventory.free = inventory.free.into_iter().chain(host.disk_left()).min();
        }
        let mut decisions = client.images(&inventory).await?;
        lacks = std::mem::take(&mut decisions.push);
        if sweep(host.runtime.as_ref(), Some(host), &inventory, &decisions)
            .await
            .is_empty()
        {
            break;
        }
    }
    for push in &lacks {
        give(host, client, push).await?;
    }
    Ok(())
}

/// Pushes an image that the registry did not accept after its build, or has lost since.
async fn give(host: &Host, client: &Client, push: &Push) -> Result<()> {
    let _used = host.share_image(&push.build_key).await;
    // nobody reads the progress: an open receiver that is not read would block the push
    let (unread, _) = mpsc::channel(1);
    let reference = push_image(host, &push.name, &push.repository, unread)
        .await
        .with_context(|| format!("failed to push {}; trying again with the next tick", push.name))?;
    client.pushed(&push.build_key, &reference).await?;
    tracing::info!(reference, "pushed");
    Ok(())
}

/// Returns the bytes of all images and volumes with our labels.
async fn taken(runtime: &dyn Runtime, inventory: &Inventory) -> Result<u64> {
    let volumes = runtime.disk_usage().await?.volumes;
    let volumes = inventory.volumes.iter().filter_map(|volume| volumes.get(&volume.name));
    let images = inventory.images.iter().map(|image| &image.bytes);
    Ok(images.chain(volumes).fold(0, |sum, bytes| sum.saturating_add(*bytes)))
}

/// Lists the images and volumes with our labels.
pub async fn survey(runtime: &dyn Runtime, host: &str) -> Result<Inventory> {
    let stored = runtime.images(KIND_LABEL).await?;
    let volumes = runtime.volumes(KIND_LABEL).await?;
    // listed last, so that containers of images in the list are counted
    let users = runtime.users().await?;
    let count = |users: &BTreeMap<String, u32>, name: &str| users.get(name).copied().unwrap_or(0);
    let mut inventory = Inventory {
        host: host.to_owned(),
        free: runtime.disk().await?.map(|disk| disk.free),
        images: held_images(&stored),
        volumes: volumes.into_iter().map(held_volume).collect(),
    };
    for image in &mut inventory.images {
        image.users = count(&users.images, &image.id);
    }
    for volume in &mut inventory.volumes {
        volume.users = count(&users.volumes, &volume.name);
    }
    Ok(inventory)
}

fn held_images(stored: &[StoredImage]) -> Vec<HeldImage> {
    let layers: Vec<Vec<String>> = stored.iter().map(|image| image.layers.clone()).collect();
    let below = below(&layers);
    let one = |(image, below): (&StoredImage, &Option<usize>)| {
        let below = below.map(|at| &stored[at]);
        let kind = kind(image);
        let depth = number(image, image_label::DEPTH);
        let chain_below = below.filter(|below| self::kind(below) == ImageKind::Cpython);
        let bytes = match kind {
            ImageKind::Cpython => own_bytes(
                number(image, image_label::CHAIN),
                number(image, image_label::ALL),
                number(image, image_label::ADDED),
                u32::try_from(depth).unwrap_or(u32::MAX),
                chain_below.map(|below| number(below, image_label::CHAIN)),
            ),
            _ => image.size,
        };
        HeldImage {
            id: image.id.clone(),
            names: image.names.clone(),
            kind,
            build_key: text(image, BUILD_KEY_LABEL),
            revision: text(image, image_label::REVISION),
            branch: text(image, image_label::BRANCH),
            variant: text(image, image_label::VARIANT),
            version: text(image, image_label::VERSION),
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
            size: image.size,
            bytes,
            below: below.map(|below| below.id.clone()),
            tagged_at: image.tagged_at.map(Timestamp::from_millis),
            users: 0,
        }
    };
    stored.iter().zip(&below).map(one).collect()
}

fn kind(image: &StoredImage) -> ImageKind {
    ImageKind::of_label(&text(image, KIND_LABEL))
}

fn text(image: &StoredImage, label: &str) -> String {
    image.labels.get(label).cloned().unwrap_or_default()
}

fn number(image: &StoredImage, label: &str) -> u64 {
    image.labels.get(label).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn held_volume(volume: StoredVolume) -> HeldVolume {
    let label = |name: &str| volume.labels.get(name).cloned().unwrap_or_default();
    HeldVolume {
        kind: VolumeKind::of_label(&label(KIND_LABEL)),
        owner: label(BUILD_TREE_LABEL) + &label(OWNER_LABEL),
        project: label(PROJECT_LABEL),
        abi: label(ABI_LABEL),
        name: volume.name,
        created_at: volume.created_at.map(Timestamp::from_millis),
        ..HeldVolume::default()
    }
}

/// Removes images and volumes as the decisions allow, and returns the decisions about everything that was removed. If
/// the engine refuses because something is in use again, the next tick tries again. `host` is the host whose jobs hold
/// locks. Images and build trees that they use are left out.
pub async fn sweep(
    runtime: &dyn Runtime,
    host: Option<&Host>,
    inventory: &Inventory,
    decisions: &Decisions,
) -> Vec<RetentionDecision> {
    let mut gone = Vec::new();
    let mut images: Vec<(&HeldImage, &RetentionDecision)> =
        pairs(&inventory.images, &decisions.images, |image| &image.id);
    // the images on top come first
    images.sort_by_key(|(image, _)| std::cmp::Reverse(image.depth));
    for (image, decision) in images {
        let _alone = match host.map(|host| host.lock_unused_image(&image.build_key)) {
            Some(None) => continue,
            alone => alone,
        };
        let names = if image.names.is_empty() {
            std::slice::from_ref(&image.id)
        } else {
            &image.names
        };
        let mut removed = Ok(());
        for name in names {
            removed = removed.and(runtime.remove_image(name).await);
        }
        note(names.join(", "), decision, removed, &mut gone);
    }
    for (volume, decision) in pairs(&inventory.volumes, &decisions.volumes, |volume| &volume.name) {
        let _alone = match host.map(|host| host.lock_idle_build_tree(&volume.name)) {
            Some(None) => continue,
            alone => alone,
        };
        let removed = runtime.remove_volume(&volume.name).await;
        note(volume.name.clone(), decision, removed, &mut gone);
    }
    gone
}

/// Returns the images or volumes to remove, with their decisions.
fn pairs<'a, T>(
    held: &'a [T],
    decisions: &'a [RetentionDecision],
    id: impl Fn(&T) -> &String,
) -> Vec<(&'a T, &'a RetentionDecision)> {
    let pairs = held.iter().zip(decisions);
    // a decision about an image that the inventory does not list removes nothing
    pairs
        .filter(|(held, decision)| *id(held) == decision.name && !decision.reason.stays())
        .collect()
}

fn note(
    name: String,
    decision: &RetentionDecision,
    removed: crate::runtime::Result<()>,
    gone: &mut Vec<RetentionDecision>,
) {
    match removed {
        Ok(()) => {
            let (why, frees) = (decision.reason.to_string(), decision.frees);
            tracing::info!(name, why, frees, "removed");
            gone.push(decision.clone());
        }
        Err(error) => tracing::info!(name, %error, "not removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Volume;
    use crate::runtime::fake::FakeRuntime;

    #[tokio::test]
    async fn the_owners_limit_counts_what_has_our_labels() {
        let engine = FakeRuntime::default()
            .with_image("somebody/else:1")
            .with_labelled("pybots/toolchain:a", &[(KIND_LABEL, "toolchain")])
            .with_labelled("pybots/runtime:a", &[(KIND_LABEL, "runtime")]);
        for (name, labels) in [("downloads", &[(KIND_LABEL, "downloads")][..]), ("somebodys", &[])] {
            let labels = labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let volume = Volume {
                name: name.to_owned(),
                size: None,
                labels: labels.collect(),
            };
            engine.create_volume(&volume).await.unwrap();
        }
        let inventory = survey(&engine, "h").await.unwrap();
        // two images of one byte each, and one volume
        assert_eq!(taken(&engine, &inventory).await.unwrap(), 2 + 7);
    }
}
