//! The rows of `pybots images`.

use crate::cli::table;
use crate::coordinator::keep;
use crate::domain::retention::{HeldImage, Inventory, Known, Verdict, Verdicts};
use crate::store::Store;
use crate::store::remote::Whereabouts;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// All that the engine holds, for programs too.
#[derive(Serialize)]
pub struct Rows {
    images: Vec<ImageRow>,
    volumes: Vec<VolumeRow>,
}

#[derive(Serialize)]
struct ImageRow {
    /// The label or id of the newest check-in that it stands for, or else of the one it was built from.
    revision: String,
    branch: String,
    variant: String,
    kind: String,
    build_key: String,
    names: Vec<String>,
    id: String,
    depth: u32,
    /// Bytes: of its own layers, of those that other images have too, and all.
    added: u64,
    shared: Option<u64>,
    size: u64,
    /// In milliseconds.
    made_at: Option<i64>,
    used_at: Option<i64>,
    containers: u32,
    open_jobs: u32,
    pins: Vec<String>,
    /// Where it is in the registry, by digest.
    remote: Option<String>,
    /// How many hosts hold it, as far as they have told.
    hosts: i64,
    stays: bool,
    why: String,
    frees: u64,
}

#[derive(Serialize)]
struct VolumeRow {
    name: String,
    kind: String,
    project: String,
    abi: String,
    size: Option<u64>,
    made_at: Option<i64>,
    containers: u32,
    stays: bool,
    why: String,
}

impl Rows {
    pub async fn gather(
        store: &Store,
        inventory: &Inventory,
        verdicts: &Verdicts,
        shared: &BTreeMap<String, u64>,
    ) -> Result<Self> {
        let known = keep::known(store, inventory).await?;
        let keys: Vec<String> = known.keys().cloned().collect();
        let mut newest = BTreeMap::new();
        for place in store.image_places(&keys).await? {
            newest.entry(place.build_key).or_insert((place.revision, place.branch));
        }
        let found = store.whereabouts(&keys).await?;
        let found: BTreeMap<String, Whereabouts> = found
            .into_iter()
            .map(|place| (place.build_key.clone(), place))
            .collect();
        let (nothing, nowhere) = (Known::default(), Whereabouts::default());
        let images = inventory.images.iter().zip(&verdicts.images).map(|(image, verdict)| {
            let place = newest.get(&image.build_key).cloned();
            let place = place.unwrap_or_else(|| (image.revision.clone(), image.branch.clone()));
            let known = known.get(&image.build_key).unwrap_or(&nothing);
            let mut row = image_row(image, verdict, known, place, shared.get(&image.id).copied());
            if row.kind == "cpython" {
                let place = found.get(&image.build_key).unwrap_or(&nowhere);
                (row.remote, row.hosts) = (place.remote.clone(), place.hosts);
            }
            row
        });
        let volumes = inventory
            .volumes
            .iter()
            .zip(&verdicts.volumes)
            .map(|(volume, verdict)| VolumeRow {
                name: volume.name.clone(),
                kind: volume.kind.clone(),
                project: volume.project.clone(),
                abi: volume.abi.clone(),
                size: volume.size,
                made_at: volume.created_at,
                containers: volume.users,
                stays: verdict.reason.stays(),
                why: verdict.reason.to_string(),
            });
        let mut rows = Self {
            images: images.collect(),
            volumes: volumes.collect(),
        };
        rows.images
            .sort_by_key(|row| (row.kind.clone(), std::cmp::Reverse(row.made_at)));
        Ok(rows)
    }

    /// What people may call an image: by its id.
    pub fn names(&self) -> BTreeMap<String, String> {
        let name = |row: &ImageRow| match row.names.first() {
            Some(name) if row.revision.is_empty() => name.clone(),
            Some(name) => format!("{name} ({} of {})", short(&row.revision), row.branch),
            None => format!("{} (no name)", row.id.chars().take(19).collect::<String>()),
        };
        self.images.iter().map(|row| (row.id.clone(), name(row))).collect()
    }

    pub fn images(&self, now: i64) -> String {
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
            let depth = if row.kind == "cpython" {
                row.depth.to_string()
            } else {
                String::new()
            };
            vec![
                short(&row.revision),
                row.branch.clone(),
                row.variant.clone(),
                row.kind.clone(),
                row.build_key.chars().take(12).collect(),
                depth,
                size(row.added),
                row.shared.map(size).unwrap_or_default(),
                size(row.size),
                row.made_at.map(|at| span(now - at)).unwrap_or_default(),
                row.used_at.map(|at| span(now - at)).unwrap_or_default(),
                row.users(),
                row.places(),
                format!("{}: {}", if row.stays { "stays" } else { "goes" }, row.why),
            ]
        };
        table::plain(&heads, &self.images.iter().map(row).collect::<Vec<_>>())
    }

    pub fn volumes(&self, now: i64) -> String {
        let row = |row: &VolumeRow| {
            vec![
                row.name.clone(),
                row.kind.clone(),
                row.size.map(size).unwrap_or_default(),
                row.made_at.map(|at| span(now - at)).unwrap_or_default(),
                counted(row.containers, "container"),
                format!("{}: {}", if row.stays { "stays" } else { "goes" }, row.why),
            ]
        };
        let heads = ["volume", "kind", "size", "age", "users", "why"];
        table::plain(&heads, &self.volumes.iter().map(row).collect::<Vec<_>>())
    }
}

impl ImageRow {
    fn places(&self) -> String {
        let registry = self.remote.as_ref().map(|_| "registry".to_owned());
        let hosts = counted(u32::try_from(self.hosts).unwrap_or(u32::MAX), "host");
        let places = registry.into_iter().chain([hosts]).filter(|text| !text.is_empty());
        places.collect::<Vec<_>>().join(", ")
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
    verdict: &Verdict,
    known: &Known,
    (revision, branch): (String, String),
    shared: Option<u64>,
) -> ImageRow {
    ImageRow {
        revision,
        branch,
        variant: image.variant.clone(),
        kind: image.kind.clone(),
        build_key: image.build_key.clone(),
        names: image.names.clone(),
        id: image.id.clone(),
        depth: image.depth,
        added: image.bytes,
        shared,
        size: image.size,
        made_at: image.tagged_at.or(known.ready_at),
        used_at: known.last_used,
        containers: image.users,
        open_jobs: known.open_jobs,
        pins: known.pins.clone(),
        remote: None,
        hosts: 0,
        stays: verdict.reason.stays(),
        why: verdict.reason.to_string(),
        frees: verdict.frees,
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

/// `12.3 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        b if b < 1_000_000 => format!("{:.1} kB", b as f64 / 1e3),
        b if b < 1_000_000_000 => format!("{:.1} MB", b as f64 / 1e6),
        b => format!("{:.1} GB", b as f64 / 1e9),
    }
}

/// A length of time in its largest unit.
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
