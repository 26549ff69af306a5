//! Build profiles: how each era of CPython is built, and on which distribution.

use super::DEFAULT_VARIANT;
use super::digest::digest;
use super::specifiers::Specifiers;
use super::version::PythonVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The profile of one era of CPython.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    /// The versions that it builds, for example `>=3.8`.
    pub when: Specifiers,
    /// Flags of `./configure`. `{version}` stands for major and minor version.
    #[serde(default)]
    pub configure: Vec<String>,
    /// Arguments of `make`.
    #[serde(default)]
    pub make: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Generated files that the tree contains. They are made newer than their sources, so that `make` does not run
    /// the generator of that era.
    #[serde(default)]
    pub touch: Vec<String>,
    /// Shell lines that run in the tree before `./configure`.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// Shell lines that run in the install root (`usr/local` below it) after `make install`.
    #[serde(default)]
    pub finish: Vec<String>,
    /// The interpreter's path in the image.
    #[serde(default = "default_python")]
    pub python: String,
    /// Modules that every build must have.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Files that no build reads, in the form of [`crate::domain::tree::is_ignored`]. Builds do not get them, so that
    /// revisions that differ in nothing else can share an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// How `make` can continue in the tree of an earlier build. If it is missing, each build starts from a clean
    /// tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// The variants beside the default one, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant: BTreeMap<String, Variant>,
    /// The modules that the profile can't build, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gap: Vec<Gap>,
}

/// A gap of a profile: modules that it can't build. It explains what is missing, and changes no build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The versions that lack the modules. The default is all of the profile's.
    pub when: Option<Specifiers>,
    /// Extension modules. A name that ends in `*` stands for all with that beginning.
    pub modules: Vec<String>,
    pub reason: String,
}

/// The rules by which a build continues in the tree of an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Files that determine how Python compiles modules, in the form of `ignore`. When one changes, all modules are
    /// compiled again.
    pub bytecode: Vec<String>,
}

/// A variant that differs from the default one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The versions that have it. The default is all of the profile's.
    pub when: Option<Specifiers>,
    /// Flags in addition to the profile's.
    #[serde(default)]
    pub configure: Vec<String>,
    /// Variables that replace the profile's of the same names.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Profile {
    /// Returns the profile for one variant of one version, or why it can't build that.
    pub fn as_variant(&self, variant: &str, version: &PythonVersion) -> Result<Profile, String> {
        // variants and gaps are no part of the build or its key
        let mut profile = Profile {
            variant: BTreeMap::new(),
            gap: Vec::new(),
            ..self.clone()
        };
        if variant == DEFAULT_VARIANT {
            return Ok(profile);
        }
        let Some(other) = self.variant.get(variant) else {
            return Err(format!("the build profile {:?} has no variant {variant:?}", self.name));
        };
        if let Some(when) = other.when.as_ref().filter(|when| !version.is_in(&when.0)) {
            return Err(format!("the variant {variant:?} is for Python {}", when.0));
        }
        profile.configure.extend(other.configure.iter().cloned());
        profile.env.extend(other.env.clone());
        Ok(profile)
    }

    /// Returns why images of a version lack an extension module, or `None` if no gap explains it.
    pub fn gap(&self, module: &str, version: &PythonVersion) -> Option<&str> {
        let named = |name: &String| match name.strip_suffix('*') {
            Some(begin) => module.starts_with(begin),
            None => module == name,
        };
        let gap = self.gap.iter().find(|gap| {
            let when = gap.when.as_ref().is_none_or(|when| version.is_in(&when.0));
            when && gap.modules.iter().any(named)
        });
        gap.map(|gap| gap.reason.as_str())
    }
}

fn default_python() -> String {
    "/usr/local/bin/python3".to_owned()
}

/// The distribution, and the packages, of the images below CPython.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// Pulled from the engine's registry, e.g. `debian:bookworm-slim`.
    pub base: String,
    /// Built by `scripts/setup` from the distribution's packages. It is preferred if it exists.
    pub bootstrapped: String,
    /// Version of `uv`, from the package index.
    pub uv: String,
    pub toolchain: Vec<String>,
    pub runtime: Vec<String>,
    /// The value of [`TEMPLATES`] in the version of Pybots that planned the build. No file in `images/` has this key.
    #[serde(default)]
    pub templates: u32,
}

impl Distribution {
    /// Returns the name of the toolchain image, which changes with everything that goes into it.
    pub fn toolchain_reference(&self) -> String {
        format!("pybots/toolchain:{}", self.digest(&self.toolchain))
    }

    pub fn runtime_reference(&self) -> String {
        format!("pybots/runtime:{}", self.digest(&self.runtime))
    }

    /// Returns whether images of CPython on either distribution have the same images below them.
    pub fn is_same(&self, other: &Self) -> bool {
        let references = |of: &Self| (of.toolchain_reference(), of.runtime_reference());
        references(self) == references(other)
    }

    fn digest(&self, packages: &[String]) -> String {
        let text = serde_json::json!([self.base, self.bootstrapped, self.uv, packages, self.templates]);
        digest(&[text.to_string().as_bytes()])[..12].to_owned()
    }
}

/// The version of the templates. Raise it when a template under `dockerfiles/`, or a step of `host::image`, changes
/// what images contain.
pub const TEMPLATES: u32 = 3;

/// Returns the build key: equal keys give equal images. `inputs` is the digest of the files that a build reads, and
/// `profile` is the variant's.
pub fn build_key(
    inputs: &str,
    profile: &Profile,
    distribution: &Distribution,
    variant: &str,
    platform: &str,
) -> String {
    let profile = serde_json::json!(profile).to_string();
    let toolchain = distribution.toolchain_reference();
    let runtime = distribution.runtime_reference();
    let parts = [inputs, &profile, &toolchain, &runtime, variant, platform];
    digest(&parts.map(str::as_bytes))
}
