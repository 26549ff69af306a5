//! Makes images: from a Dockerfile, or from another image and one layer.
//!
//! For a layer, some engines accept only the new layer and a configuration: `docker load` of an archive without the
//! layers that the engine holds. The time is then in proportion to the layer. Other engines build such an image from a
//! Dockerfile, which takes longer.

use super::DockerRuntime;
use super::translate::refused;
use crate::runtime::{EngineImage, ImageBuild, Layered, Result, Runtime, RuntimeError, tar};
use bollard::Docker;
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tokio::sync::mpsc;

/// The largest layer with removals, in bytes.
const LAYER_MOST: usize = 1 << 30;

/// The date of all images, so that equal parts make an equal image.
const CREATED: &str = "2001-09-09T01:46:40Z";

/// Returns whether the engine accepts an image without the lower layers that it holds. Docker does so with its own
/// layer store. Docker with containerd's store and Podman need every layer in the archive.
pub async fn layers_are_loaded(docker: &Docker) -> std::result::Result<bool, bollard::errors::Error> {
    let version = docker.version().await?;
    let components = version.components.unwrap_or_default();
    let is_docker = components.iter().any(|component| component.name == "Engine");
    let info = docker.info().await?;
    let status = info.driver_status.unwrap_or_default();
    let snapshots = |word: &String| word.contains("io.containerd.snapshotter");
    Ok(is_docker && !status.iter().flatten().any(snapshots))
}

/// Builds a Dockerfile and tags the image. `log` receives the output as it arrives.
pub async fn build(runtime: &DockerRuntime, build: ImageBuild, log: mpsc::Sender<Bytes>) -> Result<EngineImage> {
    let options = query::BuildImageOptionsBuilder::new()
        .dockerfile("Dockerfile")
        .t(&build.tag)
        .rm(true)
        .forcerm(true)
        .networkmode(&build.network)
        .buildargs(&build.args.clone().into_iter().collect::<HashMap<_, _>>())
        .build();
    let mut output = Box::pin(
        runtime
            .docker
            .build_image(options, None, Some(bollard::body_try_stream(build.context))),
    );
    while let Some(info) = output.next().await {
        let info = info.map_err(|error| match runtime.error(error) {
            RuntimeError::Refused(message) => RuntimeError::BuildFailed(message),
            other => other,
        })?;
        if let Some(text) = info.stream {
            // a closed log does not stop a build
            let _ = log.send(Bytes::from(text)).await;
        }
        if let Some(message) = info.error_detail.and_then(|detail| detail.message) {
            return Err(match refused(message) {
                RuntimeError::Refused(message) => RuntimeError::BuildFailed(message),
                other => other,
            });
        }
    }
    runtime
        .image(&build.tag)
        .await?
        .ok_or_else(|| RuntimeError::NoImage(build.tag.clone()))
}

/// Puts one layer on an image.
pub async fn put_on(runtime: &DockerRuntime, layered: Layered) -> Result<EngineImage> {
    if runtime.loads_layers {
        load(runtime, layered).await
    } else {
        layer_by_building(runtime, layered).await
    }
}

async fn load(runtime: &DockerRuntime, layered: Layered) -> Result<EngineImage> {
    let base = runtime
        .docker
        .inspect_image(&layered.base)
        .await
        .map_err(|_| RuntimeError::NoImage(layered.base.clone()))?;
    let mut layers = base.root_fs.and_then(|root| root.layers).unwrap_or_default();
    layers.push(format!("sha256:{}", layered.digest));
    let env = base.config.and_then(|config| config.env).unwrap_or_default();
    let config = serde_json::json!({
        "architecture": base.architecture,
        "os": base.os,
        "created": CREATED,
        "config": { "Cmd": layered.command, "Env": env, "Labels": layered.labels },
        "rootfs": { "type": "layers", "diff_ids": layers },
        "history": [],
    })
    .to_string();
    let config_name = format!("{}.json", hex::encode(Sha256::digest(config.as_bytes())));
    // the archive names each layer; those that the engine holds need no file
    let held = (1..layers.len()).map(|number| format!("held-{number}.tar"));
    let files: Vec<String> = held.chain(["layer.tar".to_owned()]).collect();
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": [layered.tag], "Layers": files }]);
    let head = tar::open_ended(
        tar::FileOwner::Root,
        &[
            (&config_name, config.as_bytes(), false),
            ("manifest.json", manifest.to_string().as_bytes(), false),
        ],
    );
    let archive = tar::stream(head).chain(layered.layer);
    let options = query::ImportImageOptionsBuilder::new().quiet(true).build();
    let answers = runtime
        .docker
        .import_image(options, bollard::body_try_stream(archive), None);
    answers
        .try_for_each(|_| async { Ok(()) })
        .await
        .map_err(|error| runtime.error(error))?;
    loaded(runtime, &layered.tag).await
}

async fn layer_by_building(runtime: &DockerRuntime, layered: Layered) -> Result<EngineImage> {
    let mut text = format!("FROM {}\n", layered.base);
    let layer = if layered.has_marks {
        // `ADD` would unpack a removal as a file
        let (layer, gone) = unmarked(layered.layer).await.map_err(unreadable)?;
        let names = serde_json::Value::from([vec!["rm".to_owned(), "-rf".into(), "--".into()], gone].concat());
        text += &format!("RUN {names}\n");
        tar::stream(layer)
    } else {
        layered.layer
    };
    text += "ADD layer.tar /\n";
    for (key, value) in &layered.labels {
        text += &format!("LABEL {key}={}\n", serde_json::Value::from(value.as_str()));
    }
    text += &format!("CMD {}\n", serde_json::Value::from(layered.command.clone()));
    let head = tar::open_ended(tar::FileOwner::Root, &[("Dockerfile", text.as_bytes(), false)]);
    let (sender, mut receiver) = mpsc::channel(16);
    let silent = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let build = ImageBuild {
        tag: layered.tag,
        context: tar::stream(head).chain(layer).boxed(),
        args: BTreeMap::new(),
        network: "none".to_owned(),
    };
    let built = self::build(runtime, build, sender).await;
    silent.abort();
    built
}

fn unreadable(error: std::io::Error) -> RuntimeError {
    RuntimeError::Refused(error.to_string())
}

/// Returns a tar with a `layer.tar` without its removals, and the paths that the removals name. The tar is built in
/// memory: a layer with removals is no key frame, so it is small.
async fn unmarked(layer: BoxStream<'static, std::io::Result<Bytes>>) -> std::io::Result<(Vec<u8>, Vec<String>)> {
    let bytes = tar::first_file(layer, LAYER_MOST).await?;
    let mut kept = ::tar::Builder::new(Vec::new());
    let mut gone = Vec::new();
    for entry in ::tar::Archive::new(bytes.as_slice()).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(marked) = name.strip_prefix(".wh.") {
            gone.push(Path::new("/").join(path.with_file_name(marked)).display().to_string());
            continue;
        }
        let mut header = entry.header().clone();
        match entry.link_name()? {
            Some(target) => {
                let target = target.into_owned();
                kept.append_link(&mut header, &path, target)?;
            }
            None => kept.append_data(&mut header, &path, &mut entry)?,
        }
    }
    let inner = kept.into_inner()?;
    Ok((tar::files(tar::FileOwner::Root, &[("layer.tar", &inner, false)]), gone))
}

async fn loaded(runtime: &DockerRuntime, tag: &str) -> Result<EngineImage> {
    runtime
        .image(tag)
        .await?
        .ok_or_else(|| RuntimeError::NoImage(tag.to_owned()))
}
