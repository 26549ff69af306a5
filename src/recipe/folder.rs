//! Recipe files: where they are, and what one of them registers.

use super::check::{FILE_MOST, is_plain_path};
use super::pack::pack;
use super::{Registered, check};
use crate::domain::digest::digest;
use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/projects");

/// Where the sources of a recipe's `path` are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The folder of the recipe's file.
    pub folder: PathBuf,
    /// Whether the folder belongs to this project alone, as that of `NAME/NAME.toml` does.
    pub is_own: bool,
}

/// Checks one recipe file and packs the folders that it names.
pub fn register(file: &str, text: String, beside: Option<&Beside>) -> Result<Registered, String> {
    let checked = check(file, &text);
    let Some(recipe) = checked.recipe else {
        return Err(checked.plain());
    };
    let mut folders = BTreeMap::new();
    let mut tars = BTreeMap::new();
    for path in recipe.paths() {
        let Some(beside) = beside else {
            return Err(format!("{file}: `path = \"{path}\"` has no folder to be relative to"));
        };
        let folder = source_folder(beside, recipe.name.get_ref(), &path);
        let tar = folder
            .and_then(|folder| pack(&folder))
            .map_err(|error| format!("{file}: {error:#}"))?;
        let tar_digest = digest(&[&tar]);
        folders.insert(path, tar_digest.clone());
        tars.insert(tar_digest, Arc::new(tar));
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

/// A file that may be a recipe.
pub struct RecipeFile {
    pub path: PathBuf,
    pub beside: Option<Beside>,
}

/// The built-in recipes: name and text.
pub fn built_in() -> Vec<(String, String)> {
    let files = BUILT_IN.files().filter(|file| is_toml(file.path()));
    let texts = files.filter_map(|file| {
        let name = format!("projects/{}", file.path().display());
        Some((name, file.contents_utf8()?.to_owned()))
    });
    texts.collect()
}

/// The recipe files of a folder by path: `NAME.toml`, and `NAME/NAME.toml` for recipes with sources of their own beside them.
pub fn files(folder: &Path) -> Result<Vec<RecipeFile>> {
    let context = || format!("failed to read the recipes in {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let is_own = path.is_dir();
        let file = match path.file_name() {
            Some(name) if is_own => path.join(name).with_extension("toml"),
            _ => path,
        };
        // a link could expose any file of this machine
        let plain = std::fs::symlink_metadata(&file).is_ok_and(|found| found.is_file());
        if is_toml(&file) && plain {
            let beside = file.parent().map(|folder| Beside {
                folder: folder.to_owned(),
                is_own,
            });
            found.push(RecipeFile { path: file, beside });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The text of a recipe file, or why it can't be read. A file that is too long is not read.
pub fn text(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let read = std::fs::metadata(file).and_then(|found| {
        let length = found.len();
        if length > FILE_MOST as u64 {
            return Ok(Err(format!(
                "{shown} has {length} bytes, and a recipe has {} KiB at most; move long commands into a script of the project",
                FILE_MOST >> 10
            )));
        }
        std::fs::read(file).map(Ok)
    });
    let bytes = read.map_err(|error| format!("{shown} can't be read: {error}"))??;
    Ok(String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}"))
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// Returns the source folder that a recipe names, which has to be below the folder `NAME/` of its project.
pub fn source_folder(beside: &Beside, project: &str, path: &str) -> Result<PathBuf> {
    let Beside { folder, is_own } = beside;
    let is_below = *is_own || path.strip_prefix(project).is_some_and(|rest| rest.starts_with('/'));
    if !is_plain_path(path) || !is_below {
        bail!(
            "the source folder {path:?} is not below `{project}/`; a recipe names a folder of its own project, and no name \
             in its path begins with a dot"
        );
    }
    let mut folder = folder.clone();
    for part in path.split('/') {
        folder.push(part);
        let found = std::fs::symlink_metadata(&folder);
        let found = found.with_context(|| format!("failed to read the source folder {}", folder.display()))?;
        if !found.is_dir() {
            bail!("the source folder {path:?} is a link or a file, not a folder; copy the files instead");
        }
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn a_recipe_reads_only_folders_of_its_own_project() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for path in [
            ".git/config",
            "victim/src/secret",
            "own/src/a.py",
            "own/.hidden/a.py",
            "own/own.toml",
        ] {
            write(folder, path, "x");
        }
        std::os::unix::fs::symlink(folder.join("victim/src"), folder.join("own/link")).unwrap();
        std::os::unix::fs::symlink(folder.join("victim"), folder.join("linked")).unwrap();
        let named = |folder: &Path, project: &str, path: &str, is_own| {
            let folder = folder.to_owned();
            source_folder(&Beside { folder, is_own }, project, path)
        };
        assert_eq!(named(folder, "own", "own/src", false).unwrap(), folder.join("own/src"));
        assert_eq!(
            named(&folder.join("own"), "own", "src", true).unwrap(),
            folder.join("own/src")
        );
        for path in [
            ".git",
            ".",
            "..",
            "",
            "own",
            "own/",
            "victim/src",
            "own/../victim/src",
            "own/.hidden",
            "/etc",
            "own//src",
        ] {
            let error = named(folder, "own", path, false).unwrap_err().to_string();
            assert!(error.contains("is not below `own/`"), "{path}: {error}");
        }
        // the folder of all recipes has the name of a project
        assert!(named(&folder.join("own"), "own", "src", false).is_err());
        for path in [".", "..", "../victim/src", ".hidden", "", "/etc"] {
            assert!(named(&folder.join("own"), "own", path, true).is_err(), "{path}");
        }
        for (project, path) in [("own", "own/link"), ("linked", "linked/src"), ("own", "own/own.toml")] {
            let error = named(folder, project, path, false).unwrap_err().to_string();
            assert!(error.contains("is a link or a file"), "{path}: {error}");
        }
    }
}
