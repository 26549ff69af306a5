//! Lists the images and volumes that the engine holds.

use super::DockerRuntime;
use super::translate::status;
use crate::runtime::{Disk, DiskUsage, Owned, Result, RuntimeError, StoredImage, StoredVolume, Users};
use bollard::models::ImageInspect;
use bollard::query_parameters as query;
use futures_util::stream::{StreamExt, TryStreamExt};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How many images are inspected at the same time.
const AT_ONCE: usize = 8;

/// The longest time for a call that lets the engine add up the sizes of files or prune images.
const PATIENCE: Duration = Duration::from_secs(600);

fn bearing(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

fn milliseconds(text: Option<String>) -> Option<i64> {
    let time: jiff::Timestamp = text?.parse().ok()?;
    // engines write the year 1 for an unknown time
    Some(time.as_millisecond()).filter(|ms| *ms > 0)
}

pub async fn images(runtime: &DockerRuntime, label: &str) -> Result<Vec<StoredImage>> {
    let options = query::ListImagesOptionsBuilder::new().filters(&bearing(label)).build();
    let listed = runtime.docker.list_images(Some(options)).await;
    let listed = listed.map_err(|error| runtime.error(error))?;
    let asked = listed.into_iter().map(|image| async move {
        match runtime.docker.inspect_image(&image.id).await {
            Ok(found) => Ok(Some(stored(found))),
            // the image was removed since it was listed
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(runtime.error(error)),
        }
    });
    let found: Vec<Option<StoredImage>> = futures_util::stream::iter(asked)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

fn stored(image: ImageInspect) -> StoredImage {
    let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
    StoredImage {
        id: image.id.unwrap_or_default(),
        names: image.repo_tags.unwrap_or_default(),
        size: image.size.unwrap_or_default().unsigned_abs(),
        labels: labels.into_iter().collect(),
        layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        tagged_at: milliseconds(image.metadata.and_then(|metadata| metadata.last_tag_time)),
    }
}

pub async fn volumes(runtime: &DockerRuntime, label: &str) -> Result<Vec<StoredVolume>> {
    let options = query::ListVolumesOptionsBuilder::new().filters(&bearing(label)).build();
    let listed = runtime.docker.list_volumes(Some(options)).await;
    let volumes = listed
        .map_err(|error| runtime.error(error))?
        .volumes
        .unwrap_or_default();
    let stored = volumes.into_iter().map(|volume| StoredVolume {
        name: volume.name,
        labels: volume.labels.into_iter().collect(),
        created_at: milliseconds(volume.created_at),
    });
    Ok(stored.collect())
}

pub async fn users(runtime: &DockerRuntime) -> Result<Users> {
    let options = query::ListContainersOptionsBuilder::new().all(true).build();
    let containers = runtime.docker.list_containers(Some(options)).await;
    let mut users = Users::default();
    for container in containers.map_err(|error| runtime.error(error))? {
        *users.images.entry(container.image_id.unwrap_or_default()).or_default() += 1;
        let labels = container.labels.unwrap_or_default().into_iter().collect();
        users.attempts.extend(Owned::read(&labels));
        for volume in container.mounts.into_iter().flatten().filter_map(|mount| mount.name) {
            *users.volumes.entry(volume).or_default() += 1;
        }
    }
    Ok(users)
}

/// Returns the disk below the engine's data root, if this process can see that folder.
pub async fn disk(runtime: &DockerRuntime) -> Option<Disk> {
    disk_below(&runtime.docker.info().await.ok()?.docker_root_dir?)
}

pub fn disk_below(root: &str) -> Option<Disk> {
    let disk = rustix::fs::statvfs(root).ok()?;
    Some(Disk {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}

/// The response of `GET /system/df` up to API 1.51; bollard's model has only the form of later versions.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SystemUsage {
    #[serde(default)]
    images: Option<Vec<ImageUsage>>,
    #[serde(default)]
    volumes: Option<Vec<VolumeUsage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageUsage {
    id: String,
    shared_size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    name: String,
    usage_data: Option<VolumeBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeBytes {
    size: i64,
}

pub async fn disk_usage(runtime: &DockerRuntime) -> Result<DiskUsage> {
    let failed = |error: reqwest::Error| RuntimeError::Unreachable {
        socket: runtime.socket.clone(),
        reason: error.to_string(),
    };
    let http = reqwest::Client::builder()
        .unix_socket(runtime.socket.as_str())
        .timeout(PATIENCE)
        .build()
        .map_err(failed)?;
    // the oldest version that we support, which every engine answers
    let (major, minor) = super::NEEDED;
    let asked = http
        .get(format!("http://engine/v{major}.{minor}/system/df"))
        .send()
        .await;
    let answer = asked.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let usage: SystemUsage = answer.json().await.map_err(failed)?;
    // -1 stands for a size that was not added up
    let bytes = |size: i64| u64::try_from(size).ok();
    let shared = usage.images.into_iter().flatten();
    let volumes = usage.volumes.into_iter().flatten();
    Ok(DiskUsage {
        shared: shared
            .filter_map(|image| Some((image.id, bytes(image.shared_size)?)))
            .collect::<BTreeMap<_, _>>(),
        volumes: volumes
            .filter_map(|volume| Some((volume.name, bytes(volume.usage_data?.size)?)))
            .collect(),
    })
}

/// The pause before another try to prune. An engine that is pruning already refuses.
const BUSY: Duration = Duration::from_millis(300);

/// Removes untagged images with this label, and the layers that only they needed. Waits up to [`PATIENCE`] for an
/// engine that is pruning already.
pub async fn prune_images(runtime: &DockerRuntime, label: &str) -> Result<()> {
    let mut filters = bearing(label);
    filters.insert("dangling".to_owned(), vec!["true".to_owned()]);
    let options = query::PruneImagesOptionsBuilder::new().filters(&filters).build();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match runtime.docker.prune_images(Some(options.clone())).await {
            Ok(_) => return Ok(()),
            Err(error) if status(&error) == Some(409) && tokio::time::Instant::now() < end => {
                tokio::time::sleep(BUSY).await;
            }
            Err(error) => return Err(runtime.error(error)),
        }
    }
}

/// Removes all containers, and then all volumes, with this label and value. Returns how many there were.
pub async fn reap(runtime: &DockerRuntime, label: &str, value: &str) -> Result<usize> {
    use crate::runtime::Runtime;
    let label = format!("{label}={value}");
    let options = query::ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&bearing(&label))
        .build();
    let containers = runtime.docker.list_containers(Some(options)).await;
    let mut reaped = 0;
    for container in containers.map_err(|error| runtime.error(error))? {
        runtime.remove(&container.id.unwrap_or_default()).await?;
        reaped += 1;
    }
    for volume in volumes(runtime, &label).await? {
        runtime.remove_volume(&volume.name).await?;
        reaped += 1;
    }
    Ok(reaped)
}
