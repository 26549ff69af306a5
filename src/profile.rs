//! Build profiles, `images/*.toml`: how each era of CPython is built. And `images/distribution.toml`:
//! what toolchain and runtime images are made of.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::version::PythonVersion;
use crate::recipe::{Specifiers, nearest};
use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/images");

/// One era of CPython.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    /// The versions it builds, e.g. `>=3.8`.
    pub when: Specifiers,
    /// Flags of `./configure`; `{version}` stands for major.minor.
    #[serde(default)]
    pub configure: Vec<String>,
    /// Arguments of `make`.
    #[serde(default)]
    pub make: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Generated files that are in the tree: made newer than their sources, so that `make` does not
    /// ask for the generator of that era.
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
    /// A build that lacks one of these is no success.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Files that no build reads, as for [`crate::domain::tree::is_ignored`]. They are not even handed to
    /// it, so that check-ins that differ in nothing else can share an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// How `make` goes on in a tree that it has built before; None: each build starts from a clean one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Other ways to build it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant: BTreeMap<String, Variant>,
    /// What it can't build, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gap: Vec<Gap>,
}

/// What a profile knows that it can't build. It explains; it changes no build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The versions that lack it; all of the profile's where absent.
    pub when: Option<Specifiers>,
    /// Extension modules; a name that ends in `*` stands for all that begin so.
    pub modules: Vec<String>,
    pub reason: String,
}

/// What must be known to go on in a tree that was built before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What Python compiles modules to depends on these files, named as in `ignore`: when one changes,
    /// all modules are compiled again.
    pub bytecode: Vec<String>,
}

/// A way to build that differs from the default one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The versions that have it; all of the profile's where absent.
    pub when: Option<Specifiers>,
    /// Flags beside those of the profile.
    #[serde(default)]
    pub configure: Vec<String>,
    /// Instead of the profile's variables of the same names.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Profile {
    /// The profile as it builds one variant of one version, or why it does not.
    pub fn as_variant(&self, variant: &str, version: &PythonVersion) -> Result<Profile, String> {
        // neither is part of what is built, nor of its key
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

    /// Why an extension module is missing from the images of a version, as far as it is known.
    pub fn gap(&self, module: &str, version: &PythonVersion) -> Option<&str> {
        let named = |name: &String| match name.strip_suffix('*') {
            Some(begin) => module.starts_with(begin),
            None => module == name,
        };
        let known = self.gap.iter().find(|gap| {
            let when = gap.when.as_ref().is_none_or(|when| version.is_in(&when.0));
            when && gap.modules.iter().any(named)
        });
        known.map(|gap| gap.reason.as_str())
    }
}

fn default_python() -> String {
    "/usr/local/bin/python3".to_owned()
}

/// What the images below CPython are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// Pulled from the engine's registry, e.g. `debian:bookworm-slim`.
    pub base: String,
    /// Made by `scripts/setup` from the distribution's packages; taken first where it exists.
    pub bootstrapped: String,
    /// Version of `uv`, from the package index.
    pub uv: String,
    pub toolchain: Vec<String>,
    pub runtime: Vec<String>,
}

/// All that the program knows how to build.
#[derive(Clone, Debug)]
pub struct Profiles {
    pub distribution: Distribution,
    profiles: Vec<Profile>,
}

impl Profiles {
    /// The profiles of a folder, or the ones that came with the program.
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        let files = match folder {
            Some(folder) => read_folder(folder)
                .with_context(|| format!("failed to read the build profiles in {}", folder.display()))?,
            None => BUILT_IN
                .files()
                .filter_map(|file| {
                    let name = file.path().to_string_lossy().into_owned();
                    Some((name, file.contents_utf8()?.to_owned()))
                })
                .collect(),
        };
        let mut distribution = None;
        let mut profiles = Vec::new();
        for (name, text) in files {
            let context = || format!("images/{name} is no build profile");
            if name == "distribution.toml" {
                distribution = Some(toml::from_str(&text).with_context(context)?);
            } else {
                profiles.push(toml::from_str(&text).with_context(context)?);
            }
        }
        let Some(distribution) = distribution else {
            bail!("the build profiles lack distribution.toml, which names the base image and its packages");
        };
        profiles.sort_by(|a: &Profile, b: &Profile| a.name.cmp(&b.name));
        Ok(Self { distribution, profiles })
    }

    pub fn for_version(&self, version: &PythonVersion) -> Option<&Profile> {
        self.profiles.iter().find(|profile| version.is_in(&profile.when.0))
    }

    /// Whether any profile has a variant; otherwise what may have been meant.
    pub fn knows_variant(&self, name: &str) -> Result<(), String> {
        let named = self.profiles.iter().flat_map(|profile| profile.variant.keys());
        let known: BTreeSet<&str> = named.map(String::as_str).chain([DEFAULT_VARIANT]).collect();
        if known.contains(name) {
            return Ok(());
        }
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(name, &known) {
            Some(near) => format!("did you mean {near:?}? There are"),
            None => "there are".to_owned(),
        };
        Err(format!(
            "no build profile has a variant {name:?}; {help}: {}",
            known.join(", ")
        ))
    }
}

fn read_folder(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path)?));
        }
    }
    Ok(files)
}

impl Distribution {
    /// Names the toolchain image; changes when anything that goes into it does.
    pub fn toolchain_reference(&self) -> String {
        format!("pybots/toolchain:{}", self.digest(&self.toolchain))
    }

    pub fn runtime_reference(&self) -> String {
        format!("pybots/runtime:{}", self.digest(&self.runtime))
    }

    fn digest(&self, packages: &[String]) -> String {
        let text = serde_json::json!([self.base, self.bootstrapped, self.uv, packages, TEMPLATES]);
        digest(&[text.to_string().as_bytes()])[..12].to_owned()
    }
}

/// Counted up when a template under `dockerfiles/`, or a step of `host::image`, changes what images hold.
const TEMPLATES: u32 = 2;

/// The build key: equal keys give equal images. `inputs` is the digest of the files that a build reads,
/// `profile` that of the variant.
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

/// SHA-256 in hex over parts, each preceded by its length so that parts can't run together.
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_profiles_cover_the_lines() {
        let profiles = Profiles::load(None).unwrap();
        for (version, name) in [
            ("2.5", "2.5"),
            ("2.5.6", "2.5"),
            ("2.6", "2.7"),
            ("2.7", "2.7"),
            ("2.7.18", "2.7"),
            ("3.9.2", "3"),
            ("3.11.2", "3"),
            ("3.12.0", "3.12"),
            ("3.16.0a0", "3.12"),
        ] {
            let version: PythonVersion = version.parse().unwrap();
            assert_eq!(profiles.for_version(&version).unwrap().name, name, "{version}");
        }
        assert!(profiles.for_version(&"1.5.2".parse().unwrap()).is_none());
    }

    #[test]
    fn a_variant_that_nothing_builds_is_named_with_those_that_there_are() {
        let profiles = Profiles::load(None).unwrap();
        assert_eq!(profiles.knows_variant("default"), Ok(()));
        assert_eq!(profiles.knows_variant("free-threaded"), Ok(()));
        let typo = profiles.knows_variant("debgu").unwrap_err();
        assert!(
            typo.contains("did you mean \"debug\"? There are: debug, default"),
            "{typo}"
        );
        let other = profiles.knows_variant("sideways").unwrap_err();
        assert!(other.contains("; there are: debug, default, free-threaded"), "{other}");
    }

    #[test]
    fn a_gap_explains_and_changes_no_build() {
        let text = "name = \"x\"\nwhen = \">=2.6,<3\"\n[[gap]]\nwhen = \"<2.7\"\nmodules = [\"_ssl\", \"_sha*\"]\nreason = \"r\"";
        let profile: Profile = toml::from_str(text).unwrap();
        let (old, new) = ("2.6.9".parse().unwrap(), "2.7.18".parse().unwrap());
        assert_eq!(profile.gap("_ssl", &old), Some("r"));
        assert_eq!(profile.gap("_sha512", &old), Some("r"));
        assert_eq!(profile.gap("zlib", &old), None);
        assert_eq!(profile.gap("_ssl", &new), None);
        assert!(profile.as_variant(DEFAULT_VARIANT, &new).unwrap().gap.is_empty());
    }

    #[test]
    fn a_module_that_is_required_is_no_gap() {
        for profile in Profiles::load(None).unwrap().profiles {
            for gap in &profile.gap {
                let both = gap.modules.iter().find(|name| profile.modules.contains(name));
                assert_eq!(both, None, "{}", profile.name);
            }
        }
    }

    #[test]
    fn the_key_follows_every_input() {
        let profiles = Profiles::load(None).unwrap();
        let profile = profiles.for_version(&"3.14.0".parse().unwrap()).unwrap();
        let key = |tree: &str, profile: &Profile, variant: &str, platform: &str| {
            build_key(tree, profile, &profiles.distribution, variant, platform)
        };
        let base = key("t", profile, "default", "linux/amd64");
        assert_eq!(base, key("t", profile, "default", "linux/amd64"));
        assert_ne!(base, key("u", profile, "default", "linux/amd64"));
        assert_ne!(base, key("t", profile, "debug", "linux/amd64"));
        assert_ne!(base, key("t", profile, "default", "linux/arm64"));
        let mut other = profile.clone();
        other.configure.push("--with-pydebug".into());
        assert_ne!(base, key("t", &other, "default", "linux/amd64"));
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
