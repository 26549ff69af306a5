//! The registered recipes: a folder of them, or the ones that came with the program.

use super::{Recipe, check};
use crate::profile::digest;
use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/projects");

/// A recipe that passed its check.
#[derive(Clone, Debug)]
pub struct Registered {
    pub recipe: Recipe,
    pub text: String,
    /// Over the text and every folder that it names: a new digest is a new recipe.
    pub digest: String,
    /// Digests of its `path` sources, by the path as written.
    pub folders: BTreeMap<String, String>,
    /// The tars behind those digests.
    pub tars: BTreeMap<String, Vec<u8>>,
}

/// A file that can't be registered, with the message for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub file: String,
    pub message: String,
}

/// Every recipe of a folder: `NAME.toml` files, and `NAME/NAME.toml` for those with sources of their
/// own beside them. Without a folder, the built-in ones.
pub fn load_folder(folder: Option<&Path>) -> Result<(Vec<Registered>, Vec<Refused>)> {
    let mut good = Vec::new();
    let mut refused = Vec::new();
    for (file, text, base) in files(folder)? {
        match text.and_then(|text| register(&file, text, base.as_deref())) {
            Ok(recipe) => good.push(recipe),
            Err(message) => refused.push(Refused { file, message }),
        }
    }
    good.sort_by(|a, b| a.recipe.name.get_ref().cmp(b.recipe.name.get_ref()));
    Ok((good, refused))
}

/// One recipe file with the folders that it names.
pub fn register(file: &str, text: String, base: Option<&Path>) -> Result<Registered, String> {
    let checked = check(file, &text);
    let Some(recipe) = checked.recipe else {
        return Err(checked.plain());
    };
    let mut folders = BTreeMap::new();
    let mut tars = BTreeMap::new();
    for path in recipe.paths() {
        let Some(base) = base else {
            return Err(format!("{file}: `path = \"{path}\"` has no folder to be relative to"));
        };
        let tar = pack(base, &path).map_err(|error| format!("{file}: {error:#}"))?;
        let tar_digest = digest(&[&tar]);
        folders.insert(path, tar_digest.clone());
        tars.insert(tar_digest, tar);
    }
    let joined = folders.values().cloned().collect::<String>();
    Ok(Registered {
        digest: digest(&[text.as_bytes(), joined.as_bytes()]),
        recipe,
        text,
        folders,
        tars,
    })
}

/// Its name, its text or why that can't be read, and the folder that it is in.
type File = (String, Result<String, String>, Option<PathBuf>);

fn files(folder: Option<&Path>) -> Result<Vec<File>> {
    let Some(folder) = folder else {
        let built_in = BUILT_IN.files().filter(|file| is_toml(file.path()));
        return Ok(built_in
            .filter_map(|file| {
                let name = format!("projects/{}", file.path().display());
                Some((name, Ok(file.contents_utf8()?.to_owned()), None))
            })
            .collect());
    };
    let context = || format!("failed to read the recipes in {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let file = match path.file_name() {
            Some(name) if path.is_dir() => path.join(name).with_extension("toml"),
            _ => path,
        };
        // a link could show any file of this machine
        let plain = std::fs::symlink_metadata(&file).is_ok_and(|found| found.is_file());
        if is_toml(&file) && plain {
            let shown = file.display().to_string();
            let text = match std::fs::read(&file) {
                Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")),
                Err(error) => Err(format!("{shown} can't be read: {error}")),
            };
            found.push((shown, text, file.parent().map(Path::to_owned)));
        }
    }
    Ok(found)
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// Most bytes of a source folder.
const FOLDER_MOST: usize = 64 << 20;

/// A folder as a tar that depends on names, contents and the executable bit only.
fn pack(base: &Path, path: &str) -> Result<Vec<u8>> {
    let base = base.canonicalize()?;
    let folder = base.join(path);
    let folder = folder
        .canonicalize()
        .with_context(|| format!("failed to read the source folder {}", folder.display()))?;
    if !folder.starts_with(&base) {
        bail!("the source folder {path:?} is a link out of the recipe's folder; copy the files instead");
    }
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    let mut left = vec![PathBuf::new()];
    let mut found = Vec::new();
    while let Some(relative) = left.pop() {
        let here = folder.join(&relative);
        let entries =
            std::fs::read_dir(&here).with_context(|| format!("failed to read the source folder {}", here.display()))?;
        for entry in entries {
            let entry = entry?;
            let relative = relative.join(entry.file_name());
            match entry.file_type()? {
                kind if kind.is_dir() => left.push(relative),
                kind if kind.is_file() => found.push(relative),
                _ => {}
            }
        }
    }
    found.sort();
    let mut size = 0;
    for relative in found {
        let content = std::fs::read(folder.join(&relative))?;
        size += content.len();
        if size > FOLDER_MOST {
            bail!(
                "the source folder {path:?} has more than {} MiB; name an archive by `url`",
                FOLDER_MOST >> 20
            );
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, &relative, content.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

impl Recipe {
    /// Every `path` that a source of any section names.
    pub fn paths(&self) -> Vec<String> {
        let steps = std::iter::once(self.steps()).chain(self.section.iter().map(super::Section::steps));
        steps
            .flat_map(|steps| steps.source.into_iter().chain(steps.extra_sources.unwrap_or_default()))
            .filter_map(|source| source.get_ref().path.clone())
            .collect()
    }
}
