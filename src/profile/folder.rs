//! Reads the files of `images/`.

use super::Profiles;
use crate::domain::profile::{Distribution, Profile, TEMPLATES};
use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use std::path::Path;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/images");

impl Profiles {
    /// Reads the profiles of a folder, or the built-in ones for `None`. Fails if a file is no profile, or if the
    /// distribution is missing.
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
        let mut distribution: Option<Distribution> = None;
        let mut profiles = Vec::new();
        for (name, text) in files {
            let context = || format!("images/{name} is not a build profile");
            if name == "distribution.toml" {
                distribution = Some(toml::from_str(&text).with_context(context)?);
            } else {
                profiles.push(toml::from_str(&text).with_context(context)?);
            }
        }
        let Some(distribution) = distribution else {
            bail!("the build profiles lack distribution.toml, which names the base image and its packages");
        };
        let distribution = Distribution {
            templates: TEMPLATES,
            ..distribution
        };
        profiles.sort_by(|a: &Profile, b: &Profile| a.name.cmp(&b.name));
        Ok(Self { distribution, profiles })
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
