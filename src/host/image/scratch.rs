//! Builds the same image from nothing: a plain `docker build`, without build trees or caches. Hosts do not use this.
//! Builds are measured against it, and people can run it without Pybots.

use super::dockerfile::Scratch;
use super::steps;
use crate::domain::job::BuildSpec;
use crate::host::unique::unique_name;
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{EngineImage, ImageBuild, Runtime};
use anyhow::Result;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Builds from `sources`, a tar whose names begin with `src/`. The engine must hold the toolchain and the runtime
/// image.
pub async fn build(
    runtime: &dyn Runtime,
    spec: &BuildSpec,
    sources: BoxStream<'static, std::io::Result<Bytes>>,
    jobs: usize,
    tag: &str,
    log: mpsc::Sender<Bytes>,
) -> Result<EngineImage> {
    let stage = unique_name();
    let scratch = Scratch {
        stage: &stage,
        toolchain: &spec.distribution.toolchain_reference(),
        runtime: &spec.distribution.runtime_reference(),
        python: &spec.profile.python,
    };
    let text = scratch.dockerfile()?;
    let script = steps::from_scratch(spec, jobs);
    let head = tar::open_ended(
        FileOwner::Root,
        &[
            ("Dockerfile", text.as_bytes(), false),
            ("build.sh", script.as_bytes(), false),
        ],
    );
    let build = ImageBuild {
        tag: tag.to_owned(),
        context: tar::stream(head).chain(sources).boxed(),
        args: BTreeMap::new(),
        network: "none".to_owned(),
    };
    let built = runtime.build(build, log).await;
    runtime.prune_images(&format!("org.pybots.stage={stage}")).await?;
    Ok(built?)
}
