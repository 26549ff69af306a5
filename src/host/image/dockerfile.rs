//! The Dockerfiles in `dockerfiles/`, and the values that fill each.

use anyhow::Context;
use handlebars::Handlebars;
use include_dir::{Dir, include_dir};
use serde::Serialize;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/dockerfiles");

/// An image with packages of the distribution.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum PackagesImage<'a> {
    /// `uv` is the version of uv to install, and `base_id` is the content id of the base image, for a label.
    Toolchain {
        #[serde(skip)]
        uv: &'a str,
        base_id: &'a str,
    },
    /// `toolchain` is the image from which uv is copied, and `base_id` is the content id of the base image.
    Runtime { toolchain: &'a str, base_id: &'a str },
    /// `cpython` is the image from which CPython is copied, and `build_key` is the build key of that image.
    Project { cpython: &'a str, build_key: &'a str },
}

/// The values of `packages.hbs`, the first stage of each image with packages.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Packages<'a> {
    /// The image to start from.
    pub base: &'a str,
    /// Names of packages of the distribution.
    pub packages: &'a [String],
    /// Whether the build's context has the CA bundle of the host, `ca.crt`.
    pub ca: bool,
    /// The value of the label `org.pybots.stage`, by which the stages are found and removed.
    pub stage: &'a str,
}

impl PackagesImage<'_> {
    /// Returns the text of the Dockerfile. Fails if the template is broken.
    pub fn dockerfile(self, packages: Packages<'_>) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Values<'a> {
            #[serde(flatten)]
            packages: Packages<'a>,
            /// Images other than the toolchain install no uv.
            uv: Option<&'a str>,
            #[serde(flatten)]
            image: PackagesImage<'a>,
        }
        let (template, uv) = match self {
            Self::Toolchain { uv, .. } => ("toolchain", Some(uv)),
            Self::Runtime { .. } => ("runtime", None),
            Self::Project { .. } => ("project", None),
        };
        let image = self;
        render(template, &Values { packages, uv, image })
    }
}

/// CPython, built from nothing.
#[derive(Debug, Serialize)]
pub struct Scratch<'a> {
    pub stage: &'a str,
    pub toolchain: &'a str,
    pub runtime: &'a str,
    /// The path of the interpreter in the image.
    pub python: &'a str,
}

impl Scratch<'_> {
    /// Returns the text of the Dockerfile. Fails if the template is broken.
    pub fn dockerfile(&self) -> anyhow::Result<String> {
        render("cpython", self)
    }
}

fn render(name: &str, values: &impl Serialize) -> anyhow::Result<String> {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_escape_fn(handlebars::no_escape);
    for file in TEMPLATES.files() {
        let stem = file.path().file_stem().unwrap_or_default().to_string_lossy();
        let text = file.contents_utf8().context("a Dockerfile template is not UTF-8")?;
        templates.register_template_string(&stem, text)?;
    }
    templates
        .render(name, values)
        .with_context(|| format!("dockerfiles/{name}.hbs can't be rendered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_renders() {
        let names = ["gcc", "make"].map(str::to_owned);
        let packages = Packages {
            base: "b",
            packages: &names,
            ca: true,
            stage: "s",
        };
        let (cpython, build_key) = ("c", "k");
        let base_id = "sha256:b";
        for (image, installs_uv, names_base) in [
            (PackagesImage::Toolchain { uv: "1.0", base_id }, true, true),
            (
                PackagesImage::Runtime {
                    toolchain: "t",
                    base_id,
                },
                false,
                true,
            ),
            // all images of CPython lie on the runtime, which has a project's packages below them
            (PackagesImage::Project { cpython, build_key }, false, false),
        ] {
            let text = image.dockerfile(packages).unwrap();
            assert!(text.contains("install -y --no-install-recommends gcc make"), "{text}");
            assert!(text.trim_start().starts_with("FROM b AS packages"), "{text}");
            assert!(text.contains("LABEL org.pybots.stage=s"), "{text}");
            assert_eq!(text.contains("uv==1.0"), installs_uv, "{text}");
            // the CA bundle stays in the first stage
            let last = text.rsplit("FROM scratch").next().unwrap();
            assert!(!last.contains("ca.crt"), "{last}");
            assert_eq!(last.contains("org.pybots.base=sha256:b\n"), names_base, "{last}");
        }
        let scratch = Scratch {
            stage: "s",
            toolchain: "t",
            runtime: "r",
            python: "/p",
        };
        let text = scratch.dockerfile().unwrap();
        assert!(text.contains("FROM r\nCOPY --from=build"), "{text}");
        assert!(text.contains("CMD [\"/p\"]"), "{text}");
    }
}
