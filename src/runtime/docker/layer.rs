//! One layer on an image. An engine that keeps layers by their chain is handed the image's new layer and
//! its configuration (`docker load` of an archive that leaves out what the engine holds): time goes with
//! the size of the layer. Others build it from a Dockerfile, which takes longer.

use super::DockerRuntime;
use crate::runtime::{Build, Image, Layered, Result, Runtime, RuntimeError, tar};
use bollard::Docker;
use bollard::query_parameters as query;
use futures_util::stream::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// The date of all images: equal parts make an equal image.
const CREATED: &str = "2001-09-09T01:46:40Z";

/// Docker with its own layer store does; with containerd's it wants every layer in the archive, and so
/// does Podman. What can't be told is taken to build.
pub async fn are_loaded(docker: &Docker) -> bool {
    let Ok(version) = docker.version().await else {
        return false;
    };
    let components = version.components.unwrap_or_default();
    let is_docker = components.iter().any(|component| component.name == "Engine");
    let Ok(info) = docker.info().await else { return false };
    let status = info.driver_status.unwrap_or_default();
    is_docker
        && !status
            .iter()
            .flatten()
            .any(|word| word.contains("io.containerd.snapshotter"))
}

pub async fn put_on(runtime: &DockerRuntime, layered: Layered) -> Result<Image> {
    if runtime.loads_layers {
        load(runtime, layered).await
    } else {
        build(runtime, layered).await
    }
}

async fn load(runtime: &DockerRuntime, layered: Layered) -> Result<Image> {
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
    // a name for each layer; those that the engine holds need no file
    let held = (1..layers.len()).map(|number| format!("held-{number}.tar"));
    let files: Vec<String> = held.chain(["layer.tar".to_owned()]).collect();
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": [layered.tag], "Layers": files }]);
    let head = tar::open_ended(
        tar::Owner::Root,
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

async fn build(runtime: &DockerRuntime, layered: Layered) -> Result<Image> {
    let mut text = format!("FROM {}\nADD layer.tar /\n", layered.base);
    // what an engine makes of a mark when it unpacks a layer, since ADD does not
    text +=
        "RUN find /usr -name '.wh.*' | while read -r mark; do rm -rf \"$mark\" \"${mark%/*}/${mark##*/.wh.}\"; done\n";
    for (key, value) in &layered.labels {
        text += &format!("LABEL {key}={}\n", serde_json::Value::from(value.as_str()));
    }
    text += &format!("CMD {}\n", serde_json::Value::from(layered.command.clone()));
    let head = tar::open_ended(tar::Owner::Root, &[("Dockerfile", text.as_bytes(), false)]);
    let (sender, mut receiver) = mpsc::channel(16);
    let silent = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let build = Build {
        tag: layered.tag,
        context: tar::stream(head).chain(layered.layer).boxed(),
        args: BTreeMap::new(),
        network: "none".to_owned(),
    };
    let built = runtime.build(build, sender).await;
    silent.abort();
    built
}

async fn loaded(runtime: &DockerRuntime, tag: &str) -> Result<Image> {
    runtime
        .image(tag)
        .await?
        .ok_or_else(|| RuntimeError::NoImage(tag.to_owned()))
}
