//! The place of a new recipe, and of the folder that it names as its source.

use super::target::Target;
use crate::cli::files;
use crate::recipe::Registered;
use crate::recipe::folder::{Beside, copy, register};
use crate::recipe::propose::{is_project_name, project_name};
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The file of a recipe, and the folder with the project's source.
pub struct RecipeLocation {
    pub name: String,
    /// The `path` of the source in the recipe, if the source is a folder.
    pub path: Option<String>,
    file: PathBuf,
    /// The place of the folder until the recipe is written.
    beside: Option<Beside>,
    /// A temporary copy of the folder, and its destination.
    staged: Option<(TempDir, PathBuf)>,
    replaces: bool,
}

impl RecipeLocation {
    /// Chooses the location of a new recipe. Copies the folder of the target if a recipe can't name it at its place.
    pub fn new(target: &Target, output: Option<&Path>, replaces: bool) -> Result<Self> {
        let name = match output {
            Some(file) => named_by(file)?,
            None => project_name(&target.title()).with_context(|| {
                format!(
                    "no project can have the name {:?}; use --output NAME.toml",
                    target.title()
                )
            })?,
        };
        let is_folder = matches!(target, Target::Path(_));
        let default = match is_folder {
            true => Path::new(&name).join(format!("{name}.toml")),
            false => PathBuf::from(format!("{name}.toml")),
        };
        let file = std::path::absolute(output.unwrap_or(&default)).context("failed to find the current folder")?;
        if file.exists() && !replaces {
            bail!("{} is there already; use --force to replace it", file.display());
        }
        let mut location = Self {
            name,
            path: None,
            file,
            beside: None,
            staged: None,
            replaces,
        };
        if let Target::Path(folder) = target {
            location.find(folder)?;
        }
        Ok(location)
    }

    /// Returns the folder of the recipe's file.
    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// Sets the `path` by which the recipe names the project's folder. Copies the folder if it is not beside the
    /// recipe.
    fn find(&mut self, source: &Path) -> Result<()> {
        let folder = self.folder().to_owned();
        let is_own = folder
            .file_name()
            .is_some_and(|last| last.to_string_lossy() == self.name);
        let own = if is_own {
            folder.clone()
        } else {
            folder.join(&self.name)
        };
        let whole = own.canonicalize().unwrap_or_else(|_| own.clone());
        // a recipe may name folders below its project's folder
        if let Ok(below) = source.strip_prefix(&whole)
            && let Some(below) = below.to_str().filter(|below| !below.is_empty())
        {
            self.path = Some(if is_own {
                below.to_owned()
            } else {
                format!("{}/{below}", self.name)
            });
            self.beside = Some(Beside { folder, is_own });
            return Ok(());
        }
        if whole.starts_with(source) {
            let name = &self.name;
            bail!(
                "a recipe and a copy of the folder go to {}, which is within the folder itself; use --output \
                 OTHER/{name}/{name}.toml",
                own.display()
            );
        }
        let copied = own.join("src");
        if copied.exists() {
            bail!(
                "{} is there already; remove it, for the folder is copied there",
                copied.display()
            );
        }
        let near = folder
            .ancestors()
            .find(|ancestor| ancestor.is_dir())
            .unwrap_or(Path::new("/"));
        let staging = tempfile::Builder::new().prefix(".pybots-init-").tempdir_in(near);
        let staging = staging.with_context(|| format!("failed to write to {}", near.display()))?;
        let path = if is_own {
            "src".to_owned()
        } else {
            format!("{}/src", self.name)
        };
        copy(source, &staging.path().join(&path))?;
        self.beside = Some(Beside {
            folder: staging.path().to_owned(),
            is_own,
        });
        self.path = Some(path);
        self.staged = Some((staging, copied));
        Ok(())
    }

    /// Checks the text of a recipe and packs its folder.
    pub fn register(&self, text: &str) -> Result<Registered> {
        let file = format!("{}.toml", self.name);
        register(&file, text.to_owned(), self.beside.as_ref())
            .map_err(|message| anyhow!("the proposed recipe can't be used\n{message}"))
    }

    /// Writes the copy of the folder, and then the recipe atomically. Returns the recipe's file.
    pub fn write(mut self, text: &str) -> Result<PathBuf> {
        self.register(text)?;
        let context = format!("failed to write {}", self.file.display());
        let folder = self.folder().to_owned();
        std::fs::create_dir_all(&folder).context(context.clone())?;
        if let Some((staging, to)) = self.staged.take() {
            let parent = to.parent().unwrap_or(&folder);
            std::fs::create_dir_all(parent).context(context.clone())?;
            let from = staging.path().join(self.path.as_deref().unwrap_or("src"));
            std::fs::rename(&from, &to).with_context(|| format!("failed to write {}", to.display()))?;
        }
        files::write(&self.file, text, self.replaces).context(context)?;
        Ok(self.file)
    }
}

/// Returns the project's name from the name of a file. Fails if that is not `NAME.toml` with a valid name.
fn named_by(file: &Path) -> Result<String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_toml = file.extension().is_some_and(|extension| extension == "toml");
    if !is_toml || !is_project_name(&stem) {
        bail!(
            "{} can't be the file of a recipe: it is NAME.toml, with lower-case letters, digits, `-`, `_` and `.`",
            file.display()
        );
    }
    Ok(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "\n[[suite]]\nname = \"t\"\nrun = \"true\"\n";

    fn project(folder: &Path) -> Target {
        std::fs::create_dir_all(folder.join("tests")).unwrap();
        std::fs::write(folder.join("tests/test_a.py"), "").unwrap();
        Target::Path(folder.canonicalize().unwrap())
    }

    fn text(location: &RecipeLocation) -> String {
        format!(
            "name = {:?}\nsource = {{ path = {:?} }}{RECIPE}",
            location.name,
            location.path.as_deref().unwrap()
        )
    }

    #[test]
    fn a_folder_is_copied_beside_its_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let target = project(&folder.join("Some Project"));
        for (output, path, copied) in [
            ("r/demo/demo.toml", "src", "r/demo/src"),
            ("r/other.toml", "other/src", "r/other/src"),
        ] {
            let file = folder.join(output);
            let location = RecipeLocation::new(&target, Some(&file), false).unwrap();
            assert_eq!(location.path.as_deref(), Some(path), "{output}");
            let written = text(&location);
            location.register(&written).unwrap();
            assert!(!folder.join(copied).exists());
            assert_eq!(location.write(&written).unwrap(), file);
            assert!(folder.join(copied).join("tests/test_a.py").is_file(), "{output}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
            let again = RecipeLocation::new(&target, Some(&file), false).err().unwrap();
            assert!(again.to_string().contains("is there already"), "{again}");
        }
        let left = std::fs::read_dir(folder.join("r")).unwrap().count();
        assert_eq!(left, 3, "nothing else stays");
    }

    #[test]
    fn a_folder_that_a_recipe_may_name_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let target = project(&folder.join("demo/lib"));
        for (output, path) in [("demo/demo.toml", "lib"), ("demo.toml", "demo/lib")] {
            let location = RecipeLocation::new(&target, Some(&folder.join(output)), false).unwrap();
            assert_eq!(location.path.as_deref(), Some(path), "{output}");
            let text = text(&location);
            location.write(&text).unwrap();
        }
        assert!(!folder.join("demo/src").exists());
        let within = RecipeLocation::new(&project(&folder.join("x")), Some(&folder.join("x/x/x.toml")), false);
        assert!(within.err().unwrap().to_string().contains("within the folder itself"));
        let odd = RecipeLocation::new(&Target::Pypi("a".into()), Some(&folder.join("A B.toml")), false);
        assert!(odd.err().unwrap().to_string().contains("can't be the file of a recipe"));
    }

    #[test]
    fn no_recipe_is_replaced_without_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("demo.toml");
        std::fs::write(&file, "mine").unwrap();
        let target = Target::Pypi("demo".into());
        assert!(RecipeLocation::new(&target, Some(&file), false).is_err());
        let location = RecipeLocation::new(&target, Some(&file), true).unwrap();
        assert!(location.register("name = 1").is_err());
        let text = format!("name = \"demo\"\nsource = {{ pypi = \"demo\" }}{RECIPE}");
        location.write(&text).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}
