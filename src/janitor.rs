//! Keeps a host's engine from filling up: tells the coordinator what the engine holds, and removes what
//! may go. A tick rereads both; nothing is remembered from one to the next.

use crate::domain::retention::{HeldImage, HeldVolume, Inventory, Push, Verdict, Verdicts, below, own_bytes};
use crate::host::client::Client;
use crate::host::{Host, offer};
use crate::runtime::{
    ABI_LABEL, BUILD_KEY_LABEL, KIND_LABEL, LANE_LABEL, OWNER_LABEL, PROJECT_LABEL, Runtime, StoredImage, StoredVolume,
    image_label,
};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest time between two looks at the disk.
const LOOK: Duration = Duration::from_secs(60);

/// What one tick removes before it looks again may free less than was thought; it does not go on for ever.
const ROUNDS: usize = 5;

/// Runs until it is dropped. A tick that fails is said and repeated.
pub async fn run(host: &Host, client: &Client) {
    let every = Duration::from_secs(host.retention.every.0);
    let mut last: Option<Instant> = None;
    loop {
        let due = last.is_none_or(|last| last.elapsed() >= every);
        if due || is_short(host).await {
            if let Err(error) = tick(host, client).await {
                tracing::warn!(error = format!("{error:#}"), "failed to look after the engine's images");
            }
            last = Some(Instant::now());
        }
        tokio::time::sleep(every.min(LOOK)).await;
    }
}

/// Whether the disk has less room than is wanted.
async fn is_short(host: &Host) -> bool {
    let disk = host.runtime.disk().await.ok().flatten();
    let free = disk.map(|disk| disk.free).into_iter().chain(host.left_of_share());
    free.min().is_some_and(|free| free >> 30 < host.retention.min_free_gib)
}

/// Removes what may go, until nothing more may, and pushes what the registry lacks. The coordinator learns from
/// the last look what is left.
pub async fn tick(host: &Host, client: &Client) -> Result<()> {
    let mut lacks = Vec::new();
    for _ in 0..ROUNDS {
        let mut inventory = survey(host.runtime.as_ref(), &host.id).await?;
        if host.owner.say().disk.is_some() {
            host.has_taken(taken(host.runtime.as_ref(), &inventory).await?);
            // what the owner gives is all the disk that there is
            inventory.free = inventory.free.into_iter().chain(host.left_of_share()).min();
        }
        let mut verdicts = client.images(&inventory).await?;
        lacks = std::mem::take(&mut verdicts.push);
        if sweep(host.runtime.as_ref(), Some(host), &inventory, &verdicts)
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

/// Gives the registry an image that it did not take when it was built, or has lost since.
async fn give(host: &Host, client: &Client, push: &Push) -> Result<()> {
    let _used = host.uses(&push.build_key).await;
    // nobody reads how far it is; a reader that was kept would have to read, or hold up the push
    let (unread, _) = mpsc::channel(1);
    let reference = offer(host, &push.name, &push.repository, unread)
        .await
        .with_context(|| format!("failed to push {}; trying again at the next look", push.name))?;
    client.pushed(&push.build_key, &reference).await?;
    tracing::info!(reference, "pushed");
    Ok(())
}

/// Bytes of all that bears our labels.
async fn taken(runtime: &dyn Runtime, inventory: &Inventory) -> Result<u64> {
    let volumes = runtime.disk_usage().await?.volumes;
    let volumes = inventory.volumes.iter().filter_map(|volume| volumes.get(&volume.name));
    let images = inventory.images.iter().map(|image| &image.bytes);
    Ok(images.chain(volumes).fold(0, |sum, bytes| sum.saturating_add(*bytes)))
}

/// What the engine holds that bears our labels.
pub async fn survey(runtime: &dyn Runtime, host: &str) -> Result<Inventory> {
    let stored = runtime.images(KIND_LABEL).await?;
    let volumes = runtime.volumes(KIND_LABEL).await?;
    // last, so that what was made of an image that is in the list counts
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
        let kind = text(image, KIND_LABEL);
        let depth = number(image, image_label::DEPTH);
        let chain_below = below.filter(|below| text(below, KIND_LABEL) == "cpython");
        let bytes = match kind.as_str() {
            "cpython" => own_bytes(
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
            tagged_at: image.tagged_at,
            users: 0,
        }
    };
    stored.iter().zip(&below).map(one).collect()
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
        kind: label(KIND_LABEL),
        owner: label(LANE_LABEL) + &label(OWNER_LABEL),
        project: label(PROJECT_LABEL),
        abi: label(ABI_LABEL),
        name: volume.name,
        created_at: volume.created_at,
        ..HeldVolume::default()
    }
}

/// Removes what may go, and returns the verdicts on what went. What an engine refuses to remove, since
/// somebody has begun to use it, stays for the next time. `host` is the one whose jobs are minded.
pub async fn sweep(
    runtime: &dyn Runtime,
    host: Option<&Host>,
    inventory: &Inventory,
    verdicts: &Verdicts,
) -> Vec<Verdict> {
    let mut gone = Vec::new();
    let mut images: Vec<(&HeldImage, &Verdict)> = pairs(&inventory.images, &verdicts.images, |image| &image.id);
    // what lies on others first
    images.sort_by_key(|(image, _)| std::cmp::Reverse(image.depth));
    for (image, verdict) in images {
        let _alone = match host.map(|host| host.nobody_uses(&image.build_key)) {
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
        note(names.join(", "), verdict, removed, &mut gone);
    }
    for (volume, verdict) in pairs(&inventory.volumes, &verdicts.volumes, |volume| &volume.name) {
        let _alone = match host.map(|host| host.nobody_builds_in(&volume.name)) {
            Some(None) => continue,
            alone => alone,
        };
        let removed = runtime.remove_volume(&volume.name).await;
        note(volume.name.clone(), verdict, removed, &mut gone);
    }
    gone
}

/// What goes, with the verdict on it.
fn pairs<'a, T>(held: &'a [T], verdicts: &'a [Verdict], id: impl Fn(&T) -> &String) -> Vec<(&'a T, &'a Verdict)> {
    let pairs = held.iter().zip(verdicts);
    // an answer to another question removes nothing
    pairs
        .filter(|(held, verdict)| *id(held) == verdict.name && !verdict.reason.stays())
        .collect()
}

fn note(name: String, verdict: &Verdict, removed: crate::runtime::Result<()>, gone: &mut Vec<Verdict>) {
    match removed {
        Ok(()) => {
            let (why, frees) = (verdict.reason.to_string(), verdict.frees);
            tracing::info!(name, why, frees, "removed");
            gone.push(verdict.clone());
        }
        Err(error) => tracing::info!(name, %error, "not removed"),
    }
}
