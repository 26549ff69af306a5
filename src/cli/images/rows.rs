//! The rows of `pybots images`.

use crate::cli::table;
use crate::coordinator::keep;
use crate::domain::retention::{
    Decisions, HeldImage, ImageHistory, ImageKind, Inventory, RetentionDecision, VolumeKind,
};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::remote::Whereabouts;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// The images and volumes on an engine, as a table or as JSON.
#[derive(Serialize)]
pub struct Rows {
    images: Vec<ImageRow>,
    volumes: Vec<VolumeRow>,
}

#[derive(Serialize)]
struct ImageRow {
    /// The label or id of the newest revision that has this image. If the store has none, the revision it was built from.
    revision: String,
    branch: String,
    variant: String,
    kind: ImageKind,
    build_key: String,
    names: Vec<String>,
    id: String,
    depth: u32,
    /// Bytes of the layers that only this image uses.
    added: u64,
    /// Bytes of the layers that other images use too. `None` if the engine does not report them.
    shared: Option<u64>,
    /// Bytes of all layers.
    size: u64,
    /// When the image was created, in milliseconds since 1970, UTC.
    made_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    containers: u32,
    open_jobs: u32,
    pins: Vec<String>,
    /// The image's reference in the registry, by digest.
    remote: Option<String>,
    /// The number of hosts that report the image in their inventory.
    hosts: i64,
    stays: bool,
    why: String,
    frees: u64,
}

#[derive(Serialize)]
struct VolumeRow {
    name: String,
    kind: VolumeKind,
    project: String,
    abi: String,
    size: Option<u64>,
    made_at: Option<Timestamp>,
    containers: u32,
    stays: bool,
    why: String,
}

impl Rows {
    /// Builds the rows. `shared` contains the shared bytes of images, by image id.
    pub async fn gather(
        store: &Store,
        inventory: &Inventory,
        decisions: &Decisions,
        shared: &BTreeMap<String, u64>,
    ) -> Result<Self> {
        let stored = keep::histories(store, inventory).await?;
        let keys: Vec<String> = stored.keys().cloned().collect();
        let mut newest = BTreeMap::new();
        for user in store.image_revisions(&keys).await? {
            newest.entry(user.build_key).or_insert((user.revision, user.branch));
        }
        let copies = store.whereabouts(&keys).await?;
        let copies: BTreeMap<String, Whereabouts> =
            copies.into_iter().map(|copy| (copy.build_key.clone(), copy)).collect();
        let (nothing, nowhere) = (ImageHistory::default(), Whereabouts::default());
        let images = inventory.images.iter().zip(&decisions.images).map(|(image, decision)| {
            let origin = newest.get(&image.build_key).cloned();
            let origin = origin.unwrap_or_else(|| (image.revision.clone(), image.branch.clone()));
            let entry = stored.get(&image.build_key).unwrap_or(&nothing);
            let mut row = image_row(image, decision, entry, origin, shared.get(&image.id).copied());
            if row.kind == ImageKind::Cpython {
                let copy = copies.get(&image.build_key).unwrap_or(&nowhere);
                (row.remote, row.hosts) = (copy.remote.clone(), copy.hosts);
            }
            row
        });
        let volumes = inventory
            .volumes
            .iter()
            .zip(&decisions.volumes)
            .map(|(volume, decision)| VolumeRow {
                name: volume.name.clone(),
                kind: volume.kind,
                project: volume.project.clone(),
                abi: volume.abi.clone(),
                size: volume.size,
                made_at: volume.created_at,
                containers: volume.users,
                stays: decision.reason.stays(),
                why: decision.reason.to_string(),
            });
        let mut rows = Self {
            images: images.collect(),
            volumes: volumes.collect(),
        };
        rows.images
            .sort_by_key(|row| (row.kind, std::cmp::Reverse(row.made_at)));
        Ok(rows)
    }

    /// Returns names of images for people, by image id.
    pub fn names(&self) -> BTreeMap<String, String> {
        let name = |row: &ImageRow| match row.names.first() {
            Some(name) if row.revision.is_empty() => name.clone(),
            Some(name) => format!("{name} ({} of {})", short(&row.revision), row.branch),
            None => format!("{} (no name)", row.id.chars().take(19).collect::<String>()),
        };
        self.images.iter().map(|row| (row.id.clone(), name(row))).collect()
    }

    pub fn images(&self, now: Timestamp) -> String {
        let heads = [
            "revision",
            "branch",
            "variant",
            "kind",
            "key",
            "depth",
            "added",
            "shared",
            "total",
            "age",
            "last used",
            "users",
            "where",
            "why",
        ];
        let row = |row: &ImageRow| {
            let depth = if row.kind == ImageKind::Cpython {
                row.depth.to_string()
            } else {
                String::new()
            };
            vec![
                short(&row.revision),
                row.branch.clone(),
                row.variant.clone(),
                row.kind.to_string(),
                row.build_key.chars().take(12).collect(),
                depth,
                size(row.added),
                row.shared.map(size).unwrap_or_default(),
                size(row.size),
                row.made_at.map(|at| span(now - at)).unwrap_or_default(),
                row.used_at.map(|at| span(now - at)).unwrap_or_default(),
                row.users(),
                row.copies(),
                format!("{}: {}", if row.stays { "kept" } else { "removable" }, row.why),
            ]
        };
        table::plain(&heads, &self.images.iter().map(row).collect::<Vec<_>>())
    }

    pub fn volumes(&self, now: Timestamp) -> String {
        let row = |row: &VolumeRow| {
            vec![
                row.name.clone(),
                row.kind.to_string(),
                row.size.map(size).unwrap_or_default(),
                row.made_at.map(|at| span(now - at)).unwrap_or_default(),
                counted(row.containers, "container"),
                format!("{}: {}", if row.stays { "kept" } else { "removable" }, row.why),
            ]
        };
        let heads = ["volume", "kind", "size", "age", "users", "why"];
        table::plain(&heads, &self.volumes.iter().map(row).collect::<Vec<_>>())
    }
}

impl ImageRow {
    fn copies(&self) -> String {
        let registry = self.remote.as_ref().map(|_| "registry".to_owned());
        let hosts = counted(u32::try_from(self.hosts).unwrap_or(u32::MAX), "host");
        let copies = registry.into_iter().chain([hosts]).filter(|text| !text.is_empty());
        copies.collect::<Vec<_>>().join(", ")
    }

    fn users(&self) -> String {
        let pins = u32::try_from(self.pins.len()).unwrap_or(u32::MAX);
        let all = [
            counted(self.containers, "container"),
            counted(self.open_jobs, "job"),
            counted(pins, "pin"),
        ];
        let some: Vec<String> = all.into_iter().filter(|text| !text.is_empty()).collect();
        some.join(", ")
    }
}

fn image_row(
    image: &HeldImage,
    decision: &RetentionDecision,
    entry: &ImageHistory,
    (revision, branch): (String, String),
    shared: Option<u64>,
) -> ImageRow {
    ImageRow {
        revision,
        branch,
        variant: image.variant.clone(),
        kind: image.kind,
        build_key: image.build_key.clone(),
        names: image.names.clone(),
        id: image.id.clone(),
        depth: image.depth,
        added: image.bytes,
        shared,
        size: image.size,
        made_at: image.tagged_at.or(entry.ready_at),
        used_at: entry.last_used,
        containers: image.users,
        open_jobs: entry.open_jobs,
        pins: entry.pins.clone(),
        remote: None,
        hosts: 0,
        stays: decision.reason.stays(),
        why: decision.reason.to_string(),
        frees: decision.frees,
    }
}

fn short(revision: &str) -> String {
    revision.chars().take(10).collect()
}

fn counted(count: u32, what: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}

/// Formats a size in decimal units, such as `12.3 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        b if b < 1_000_000 => format!("{:.1} kB", b as f64 / 1e3),
        b if b < 1_000_000_000 => format!("{:.1} MB", b as f64 / 1e6),
        b => format!("{:.1} GB", b as f64 / 1e9),
    }
}

/// Formats a duration in milliseconds as minutes, hours or days.
fn span(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0..=119 => format!("{minutes} min"),
        120..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 1500, 12_300_000, 1_234_000_000].map(size);
        assert_eq!(sizes, ["0", "1.5 kB", "12.3 MB", "1.2 GB"]);
        let spans = [-5, 90 * 60_000, 5 * 3_600_000, 14 * 86_400_000].map(span);
        assert_eq!(spans, ["0 min", "90 min", "5 h", "14 d"]);
    }
}
