//! Packs an install root into an image: a key frame with all files, or a small layer on the image that was made
//! before in the same build tree.

use super::build_tree::{BuildTree, LastImage};
use super::steps::BUILD;
use crate::domain::job::{BuildSpec, Layer};
use crate::domain::retention::ImageKind;
use crate::host::Stop;
use crate::host::log::Log;
use crate::runtime::{EngineImage, KIND_LABEL, Layered, image_label};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The longest chain of layers above a key frame. Engines support about 125 layers in all. Besides, no image of a chain
/// can be removed before all of them can.
const DEPTH_MOST: u32 = 60;

/// The report of `layer.py` about the layer that it wrote.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct LayerReport {
    /// The image below the layer, or `None` for a key frame.
    on: Option<String>,
    /// SHA-256 of the layer's tar, in hex.
    digest: String,
    /// How many names the layer removes.
    gone: u64,
    bytes: u64,
    all_bytes: u64,
}

/// Returns the largest layer, in bytes, that may be put on an image with these labels, or `None` if the next image
/// has to be a key frame. A chain ends when it is long, when its layers add up to two whole images, or before a layer
/// of half an image.
pub fn room(parent: &EngineImage) -> Option<u64> {
    let (depth, chain, all) = (
        number(parent, image_label::DEPTH)?,
        number(parent, image_label::CHAIN)?,
        number(parent, image_label::ALL)?,
    );
    let left = (2 * all).saturating_sub(chain);
    (depth < u64::from(DEPTH_MOST) && left > 0).then_some(left.min(all / 2))
}

/// Returns whether an image of CPython lies on a runtime image.
pub fn lies_on(image: &EngineImage, runtime: &EngineImage) -> bool {
    image.labels.get(image_label::RUNTIME) == Some(&runtime.id)
}

/// Reads the layer's properties from an image's labels.
pub fn layer_of(image: &EngineImage) -> Layer {
    Layer {
        depth: number(image, image_label::DEPTH).map_or(0, |depth| u32::try_from(depth).unwrap_or(u32::MAX)),
        added: number(image, image_label::ADDED).unwrap_or(0),
        on: image.labels.get(image_label::ON).filter(|on| !on.is_empty()).cloned(),
    }
}

fn number(image: &EngineImage, label: &str) -> Option<u64> {
    image.labels.get(label)?.parse().ok()
}

/// Makes an image of the install root in a build tree, under the candidate's name. It lies on the last image if the
/// layer fits, or else on the runtime image.
pub async fn pack(
    build_tree: &BuildTree<'_>,
    spec: &BuildSpec,
    (runtime_image, last): (&EngineImage, Option<&LastImage>),
    candidate: &str,
    log: &Log,
) -> Result<EngineImage, Stop> {
    let runtime = &build_tree.host.runtime;
    let written: LayerReport = build_tree
        .read("out/layer.json")
        .await?
        .ok_or_else(|| anyhow::anyhow!("the build left no description of its layer"))?;
    let below = last.filter(|last| written.on.as_ref() == Some(&last.reference));
    let (base, layer, chain) = match below {
        None => {
            let layer = Layer {
                depth: 0,
                added: written.bytes,
                on: None,
            };
            (spec.distribution.runtime_reference(), layer, 0)
        }
        Some(LastImage { reference, image }) => {
            let layer = Layer {
                depth: layer_of(image).depth + 1,
                added: written.bytes,
                on: Some(reference.clone()),
            };
            let chain = number(image, image_label::CHAIN).unwrap_or(0) + written.bytes;
            (reference.clone(), layer, chain)
        }
    };
    let how = match &layer.on {
        None => format!("a key frame of {:.1} MB", layer.added as f64 / 1e6),
        Some(on) => format!("layer {} on {on}, {:.1} MB", layer.depth, layer.added as f64 / 1e6),
    };
    log.say(&format!("image {}: {how}", spec.reference())).await;
    let layered = Layered {
        base,
        tag: candidate.to_owned(),
        command: vec![spec.profile.python.clone()],
        labels: labels(spec, runtime_image, &layer, chain, written.all_bytes),
        digest: written.digest,
        has_marks: written.gone > 0,
        layer: runtime
            .get(build_tree.container, &format!("{BUILD}/out/layer.tar"))
            .await?,
    };
    Ok(runtime.layer(layered).await?)
}

fn labels(spec: &BuildSpec, runtime: &EngineImage, layer: &Layer, chain: u64, all: u64) -> BTreeMap<String, String> {
    let own = [
        (KIND_LABEL, ImageKind::Cpython.name().to_owned()),
        ("org.pybots.build-key", spec.build_key.clone()),
        (image_label::REVISION, spec.revision.clone()),
        (image_label::BRANCH, spec.branch.clone()),
        (image_label::VARIANT, spec.variant.clone()),
        (image_label::VERSION, spec.version.clone()),
        (image_label::DEPTH, layer.depth.to_string()),
        (image_label::ADDED, layer.added.to_string()),
        (image_label::ON, layer.on.clone().unwrap_or_default()),
        (image_label::CHAIN, chain.to_string()),
        (image_label::ALL, all.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    own.into_iter().chain(images_below(runtime)).collect()
}

/// Returns the labels that name the images below an image of CPython. A runtime image that an earlier version of Pybots built does not
/// name its base.
fn images_below(runtime: &EngineImage) -> impl Iterator<Item = (String, String)> {
    let base = runtime.labels.get(image_label::BASE);
    let base = base.map(|base| (image_label::BASE.to_owned(), base.clone()));
    [(image_label::RUNTIME.to_owned(), runtime.id.clone())]
        .into_iter()
        .chain(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(depth: u32, chain: u64) -> EngineImage {
        let labels = [
            (image_label::DEPTH, u64::from(depth)),
            (image_label::CHAIN, chain),
            (image_label::ALL, 100),
        ];
        EngineImage {
            id: "sha256:i".into(),
            size: 1,
            labels: labels
                .map(|(label, value)| (label.to_owned(), value.to_string()))
                .into(),
        }
    }

    #[test]
    fn an_image_of_cpython_names_the_images_below_it() {
        let mut runtime = image(0, 0);
        let names = |runtime: &EngineImage| images_below(runtime).collect::<Vec<_>>();
        let label = |label: &str, id: &str| (label.to_owned(), id.to_owned());
        let of_runtime = label(image_label::RUNTIME, "sha256:i");
        assert_eq!(names(&runtime), std::slice::from_ref(&of_runtime));
        let base = label(image_label::BASE, "sha256:b");
        runtime.labels.extend([base.clone()]);
        assert_eq!(names(&runtime), [of_runtime, base]);
    }

    #[test]
    fn a_chain_ends_before_it_costs_more_than_it_saves() {
        assert_eq!(room(&image(0, 0)), Some(50));
        assert_eq!(room(&image(DEPTH_MOST - 1, 50)), Some(50));
        assert_eq!(room(&image(DEPTH_MOST, 50)), None);
        assert_eq!(room(&image(3, 190)), Some(10));
        assert_eq!(room(&image(3, 200)), None);
        let unlabelled = EngineImage {
            labels: BTreeMap::new(),
            ..image(0, 0)
        };
        assert_eq!(room(&unlabelled), None);
    }
}
