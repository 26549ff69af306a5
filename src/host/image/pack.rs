//! An install root becomes an image: a key frame with all of it, or a small layer on the image that was
//! made before it in the same lane.

use super::lane::{Lane, Last};
use super::steps::{BUILD, quote};
use crate::domain::job::{BuildSpec, Layer};
use crate::domain::limits::{Limits, Seconds};
use crate::host::log::Log;
use crate::host::phase::{self, Plan};
use crate::host::{Host, Stop};
use crate::runtime::{Commit, Container, Image};
use serde::Deserialize;
use std::collections::BTreeMap;

pub const REVISION_LABEL: &str = "org.pybots.revision";
const DEPTH_LABEL: &str = "org.pybots.layer-depth";
const ADDED_LABEL: &str = "org.pybots.layer-bytes";
const CHAIN_LABEL: &str = "org.pybots.chain-bytes";
const PARENT_LABEL: &str = "org.pybots.layer-on";

/// Longest chain of layers above a key frame. The engine's own limit is 125 or so; what a long chain costs
/// is that none of its images can go before all can.
const DEPTH_MOST: u32 = 60;

/// What `layer.py` says of an install root.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Difference {
    /// The image against which it was told; None: there was none.
    pub parent: Option<String>,
    pub files: u64,
    pub deleted: u64,
    pub bytes: u64,
    pub all_bytes: u64,
}

/// Where an image's files go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    KeyFrame,
    On { parent: String, depth: u32, chain: u64 },
}

/// The rule: a layer on the parent, unless the chain gets long, its layers add up to more than a whole
/// image, or this one alone is half of it. `below` are the parent's depth and the bytes of its chain.
fn place(difference: &Difference, below: Option<(u32, u64)>) -> Place {
    let (Some(parent), Some((depth, chain))) = (&difference.parent, below) else {
        return Place::KeyFrame;
    };
    let chain = chain.saturating_add(difference.bytes);
    if depth >= DEPTH_MOST || chain > 2 * difference.all_bytes || difference.bytes > difference.all_bytes / 2 {
        return Place::KeyFrame;
    }
    Place::On {
        parent: parent.clone(),
        depth: depth + 1,
        chain,
    }
}

/// What an image's labels say of its layer.
pub fn layer_of(image: &Image) -> Layer {
    let number = |label: &str| image.labels.get(label).and_then(|text| text.parse().ok()).unwrap_or(0);
    Layer {
        depth: u32::try_from(number(DEPTH_LABEL)).unwrap_or(0),
        added: number(ADDED_LABEL),
        on: image.labels.get(PARENT_LABEL).filter(|on| !on.is_empty()).cloned(),
    }
}

/// Makes the image of what was built in a lane, under a name that is only ours so far.
pub async fn pack(
    lane: &Lane<'_>,
    attempt: &str,
    spec: &BuildSpec,
    last: Option<&Last>,
    candidate: &str,
    log: &Log,
) -> Result<Image, Stop> {
    let host = lane.host;
    let difference: Difference = lane
        .read("out/layer.json")
        .await?
        .ok_or_else(|| anyhow::anyhow!("the build did not say what is new in it"))?;
    let below = match last {
        Some(last) => host.runtime.image(&last.reference).await?.map(|image| {
            let chain = image.labels.get(CHAIN_LABEL).and_then(|text| text.parse().ok());
            (layer_of(&image).depth, chain.unwrap_or(0))
        }),
        None => None,
    };
    let place = place(&difference, below);
    let (base, from, deleted, layer, chain) = match &place {
        Place::KeyFrame => {
            let layer = Layer {
                depth: 0,
                added: difference.all_bytes,
                on: None,
            };
            (spec.distribution.runtime_reference(), "root/usr", Vec::new(), layer, 0)
        }
        Place::On { parent, depth, chain } => {
            let layer = Layer {
                depth: *depth,
                added: difference.bytes,
                on: Some(parent.clone()),
            };
            let deleted = lane.bytes("out/deleted").await?.unwrap_or_default();
            (parent.clone(), "out/usr", deleted, layer, *chain)
        }
    };
    log.say(&match &layer.on {
        None => format!("a key frame of {:.1} MB", layer.added as f64 / 1e6),
        Some(on) => format!("layer {} on {on}: {:.1} MB", layer.depth, layer.added as f64 / 1e6),
    })
    .await;
    let container = open(host, attempt, &base, &deleted).await?;
    if !deleted.is_empty() {
        remove(host, &container, log).await?;
    }
    let files = host.runtime.get(lane.container, &format!("{BUILD}/{from}")).await?;
    host.runtime.put(&container, "/", files).await?;
    let image = host
        .runtime
        .commit(
            &container,
            &Commit {
                tag: candidate.to_owned(),
                command: vec![spec.profile.python.clone()],
                labels: labels(spec, &layer, chain),
            },
        )
        .await?;
    host.runtime.remove(&container).await?;
    Ok(image)
}

fn labels(spec: &BuildSpec, layer: &Layer, chain: u64) -> BTreeMap<String, String> {
    [
        (crate::runtime::KIND_LABEL, "cpython".to_owned()),
        ("org.pybots.build-key", spec.build_key.clone()),
        (REVISION_LABEL, spec.revision.clone()),
        ("org.pybots.branch", spec.branch.clone()),
        ("org.pybots.variant", spec.variant.clone()),
        ("org.pybots.version", spec.version.clone()),
        (DEPTH_LABEL, layer.depth.to_string()),
        (ADDED_LABEL, layer.added.to_string()),
        (CHAIN_LABEL, chain.to_string()),
        (PARENT_LABEL, layer.on.clone().unwrap_or_default()),
        // the container's own are not the image's
        (crate::runtime::HOST_LABEL, String::new()),
        (crate::runtime::ATTEMPT_LABEL, String::new()),
        (crate::runtime::PHASE_LABEL, String::new()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A container whose files become the image. It only ever runs `rm`, if anything.
async fn open(host: &Host, attempt: &str, base: &str, deleted: &[u8]) -> Result<String, Stop> {
    let names: Vec<String> = deleted
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| quote(&String::from_utf8_lossy(name)))
        .collect();
    let limits = Limits::default();
    Ok(host
        .runtime
        .create(&Container {
            image: base.to_owned(),
            command: vec![
                "/bin/sh".into(),
                "-euc".into(),
                format!("rm -rf -- {}", names.join(" ")),
            ],
            user: "0:0".into(),
            workdir: "/".into(),
            env: BTreeMap::new(),
            network: None,
            volumes: Vec::new(),
            writable: true,
            memory: limits.memory,
            pids: limits.pids,
            cpus: limits.cpus,
            labels: host.labels(attempt),
        })
        .await?)
}

async fn remove(host: &Host, container: &str, log: &Log) -> Result<(), Stop> {
    let limits = Limits::default();
    let plan = Plan {
        name: "remove files",
        timeout: Seconds(120),
        silence: Seconds(60),
        log: limits.log,
    };
    let ran = phase::run_in(host.runtime.as_ref(), log, &plan, container).await?;
    if ran.end.succeeded() {
        return Ok(());
    }
    Err(anyhow::anyhow!("files that are gone could not be taken out of the image").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(bytes: u64) -> Difference {
        Difference {
            parent: Some("p".into()),
            files: 1,
            deleted: 0,
            bytes,
            all_bytes: 100,
        }
    }

    #[test]
    fn a_chain_ends_before_it_costs_more_than_it_saves() {
        let on = |depth, chain| Place::On {
            parent: "p".into(),
            depth,
            chain,
        };
        assert_eq!(place(&difference(10), Some((0, 0))), on(1, 10));
        assert_eq!(place(&difference(10), Some((DEPTH_MOST - 1, 50))), on(DEPTH_MOST, 60));
        assert_eq!(place(&difference(10), Some((DEPTH_MOST, 60))), Place::KeyFrame);
        assert_eq!(place(&difference(10), Some((3, 195))), Place::KeyFrame);
        assert_eq!(place(&difference(51), Some((0, 0))), Place::KeyFrame);
        assert_eq!(place(&difference(10), None), Place::KeyFrame);
        let unknown = Difference {
            parent: None,
            ..difference(10)
        };
        assert_eq!(place(&unknown, Some((0, 0))), Place::KeyFrame);
    }
}
