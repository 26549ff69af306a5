//! Finds recipe files, and registers their recipes.

use super::check::{FILE_MOST, is_plain_path};
use super::pack::pack;
use super::{Checked, Registered, check_with};
use crate::domain::digest::digest;
use crate::domain::suite::Source;
use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/projects");

/// The place from which a recipe's `path` sources are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The folder of the recipe's file.
    pub folder: PathBuf,
    /// Whether the folder belongs to this project alone, as for `NAME/NAME.toml`.
    pub is_own: bool,
}

impl Beside {
    /// Returns the place of one recipe file, or `None` if there is no such file.
    pub fn of(file: &Path) -> Option<Self> {
        let whole = file.canonicalize().ok()?;
        let folder = whole.parent()?;
        Some(Self {
            is_own: folder.file_name() == whole.file_stem(),
            folder: folder.to_owned(),
        })
    }
}

/// Checks one recipe file, also against the folders that it names.
pub fn check_beside(file: &str, text: &str, beside: Option<&Beside>) -> Checked {
    check_with(file, text, |recipe| {
        let project = recipe.name.get_ref().clone();
        Box::new(move |source| pyproject(beside, &project, source))
    })
}

/// The most bytes of all source folders of a recipe, packed. They are in memory at the same time.
const FOLDERS_MOST: usize = 128 << 20;

/// The most bytes of a `pyproject.toml` that is read for its extras. Each section reads it again. Large projects have
/// 50 KiB.
const PYPROJECT_MOST: u64 = 256 << 10;

/// Returns the text of the `pyproject.toml` of a source that is a folder. Returns `None` for any other source, and for
/// a folder without a readable file of this name. Fails if the folder is missing, or the file is too large.
fn pyproject(beside: Option<&Beside>, project: &str, source: &Source) -> Result<Option<String>, String> {
    // an invalid path was reported already
    let path = source.path.as_deref().filter(|path| is_plain_path(path));
    let (Some(beside), Some(path)) = (beside, path) else {
        return Ok(None);
    };
    let subfolder = source.subfolder.as_deref().filter(|path| is_plain_path(path));
    let path = subfolder.map_or_else(|| path.to_owned(), |subfolder| format!("{path}/{subfolder}"));
    let folder = source_folder(beside, project, &path).map_err(|error| format!("{error:#}"))?;
    let file = folder.join("pyproject.toml");
    let Some(found) = std::fs::symlink_metadata(&file).ok().filter(|found| found.is_file()) else {
        return Ok(None);
    };
    if found.len() > PYPROJECT_MOST {
        return Err(format!(
            "the file {path}/pyproject.toml has more than {} KiB",
            PYPROJECT_MOST >> 10
        ));
    }
    Ok(std::fs::read_to_string(file).ok())
}

/// Checks one recipe file, and packs the folders that it names. The error is a message for its owner.
pub fn register(file: &str, text: String, beside: Option<&Beside>) -> Result<Registered, String> {
    let checked = check_beside(file, &text, beside);
    let Some(recipe) = checked.recipe else {
        return Err(checked.plain());
    };
    let mut folders = BTreeMap::new();
    let mut tars = BTreeMap::new();
    let mut size = 0;
    for path in recipe.paths() {
        let Some(beside) = beside else {
            return Err(format!("{file}: `path = \"{path}\"` has no folder to be relative to"));
        };
        let folder = source_folder(beside, recipe.name.get_ref(), &path);
        let tar = folder
            .and_then(|folder| pack(&folder))
            .map_err(|error| format!("{file}: {error:#}"))?;
        size += tar.len();
        if size > FOLDERS_MOST {
            let most = FOLDERS_MOST >> 20;
            return Err(format!(
                "{file}: its source folders have more than {most} MiB together; name archives by `url`"
            ));
        }
        let tar_digest = digest(&[&tar]);
        folders.insert(path, tar_digest.clone());
        tars.insert(tar_digest, Arc::new(tar));
    }
    let joined = folders.values().cloned().collect::<String>();
    Ok(Registered {
        digest: digest(&[text.as_bytes(), joined.as_bytes()]),
        recipe,
        text,
        submitted: false,
        folders,
        tars,
    })
}

/// Copies a source folder to a new place, with the files that a recipe would pack: without links and the folders of
/// version control.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("failed to copy {} to {}", from.display(), to.display());
    std::fs::create_dir_all(to).with_context(context)?;
    let mut archive = tar::Archive::new(std::io::Cursor::new(pack(from)?));
    archive.set_preserve_mtime(false);
    archive.unpack(to).with_context(context)
}

/// A file that may be a recipe.
pub struct RecipeFile {
    pub path: PathBuf,
    pub beside: Option<Beside>,
}

/// Returns the name and text of each built-in recipe.
pub fn built_in() -> Vec<(String, String)> {
    let files = BUILT_IN.files().filter(|file| is_toml(file.path()));
    let texts = files.filter_map(|file| {
        let name = format!("projects/{}", file.path().display());
        Some((name, file.contents_utf8()?.to_owned()))
    });
    texts.collect()
}

/// Returns the recipe files of a folder, by path: `NAME.toml`, and `NAME/NAME.toml` for recipes with their own sources
/// beside them. Leaves out links.
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

/// Returns the text of a recipe file, or why it can't be read. Replaces NUL characters and bytes that are not UTF-8.
/// Does not read a file that is too long.
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

/// Returns the source folder that a recipe names. Fails unless it is below the project's folder `NAME/`, and no part of
/// its path is a link or begins with a dot.
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

    #[test]
    fn extras_and_groups_of_a_folder_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let pyproject = "[project]\nname = \"x\"\n[project.optional-dependencies]\nDocs_Extra = []\n[dependency-groups]\ntest = []\n";
        write(folder.path(), "src/pyproject.toml", pyproject);
        write(
            folder.path(),
            "src/core/pyproject.toml",
            "[project]\ndynamic = [\"optional-dependencies\"]\n",
        );
        let beside = Beside {
            folder: folder.path().to_owned(),
            is_own: true,
        };
        let says = |source: &str, keys: &str| {
            let text = format!(
                "name = \"own\"\nsource = {{ path = \"src\"{source} }}\n{keys}\n[[suite]]\nname = \"t\"\nrun = \"true\"\n"
            );
            let found = check_beside("own.toml", &text, Some(&beside)).problems;
            let shown = found
                .iter()
                .map(|problem| format!("{problem} ({})", problem.help.clone().unwrap_or_default()));
            shown.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(says("", "requires = [\".[docs-extra]\"]\ngroups = [\"Test\"]"), "");
        let misspelt = says("", "requires = [\".[tets]\", \".[dcos]\"]\ngroups = [\"tset\"]");
        assert_eq!(
            misspelt,
            "the project has no extra `tets` (name one of its extras: it has Docs_Extra)\n\
             the project has no extra `dcos` (name one of its extras: it has Docs_Extra)\n\
             the project has no dependency group `tset` (name one of its groups: it has test)"
        );
        assert!(says("", "requires = [\".[test]\"]").contains("is a dependency group: write `groups = [\"test\"]`"));
        assert!(says("", "groups = [\"docs-extra\"]").contains("is an extra: write `requires = [\".[docs-extra]\"]`"));
        // extras that code computes can only be checked by a fetch
        assert_eq!(says(", subfolder = \"core\"", "requires = [\".[any]\"]"), "");
        let gone = says(", subfolder = \"gone\"", "requires = [\"pytest=8\"]");
        assert!(
            gone.contains("src/gone") && gone.contains("did you mean `pytest==8`?"),
            "{gone}"
        );
        // a sparse file, which takes no space and is not read
        let large = std::fs::File::create(folder.path().join("src/pyproject.toml")).unwrap();
        large.set_len(1 << 42).unwrap();
        assert!(says("", "groups = [\"test\"]").contains("src/pyproject.toml has more than 256 KiB"));
    }
}
