//! Reads the registered recipes at each pass, from a folder or from the program. Does not read unchanged files again,
//! or pack their source folders again.

use super::Registered;
use super::folder::{RecipeFile, built_in, files, register, source_folder, text};
use super::pack::Stamp;
use crate::domain::package::normalized;
use anyhow::Result;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The place of the registered recipes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built into the program.
    BuiltIn,
    Folder(PathBuf),
    /// A checkout of a repository. Messages give the paths of files in the repository.
    Checkout(PathBuf),
}

impl Origin {
    /// Returns the origin for the setting `projects`.
    pub fn of(folder: Option<&Path>) -> Self {
        folder.map_or(Self::BuiltIn, |folder| Self::Folder(folder.to_owned()))
    }

    /// Removes the folder of a checkout from a message, because it changes with each commit.
    fn shown(&self, text: &str) -> String {
        match self {
            Self::Checkout(folder) => text.replace(&format!("{}/", folder.display()), ""),
            Self::BuiltIn | Self::Folder(_) => text.to_owned(),
        }
    }
}

/// A file that can't be registered, with a message for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecipe {
    pub file: String,
    pub message: String,
}

/// The most recipes of one folder. The first file beyond them is refused, and the rest is ignored.
const RECIPES_MOST: usize = 5_000;

/// Reads recipes, with a cache of unchanged files.
#[derive(Default)]
pub struct RecipeReader {
    cache: HashMap<PathBuf, Cached>,
    /// The number of files that were read, and not taken from the cache.
    pub reads: usize,
}

struct Cached {
    stamp: Stamp,
    /// The stamps of the source folders. `None` for one that can't be read or has just changed.
    folders: BTreeMap<String, Option<Stamp>>,
    recipe: Result<Registered, String>,
}

/// Reads every recipe of an origin once.
pub fn load(origin: &Origin) -> Result<(Vec<Registered>, Vec<RefusedRecipe>)> {
    RecipeReader::default().read(origin)
}

impl RecipeReader {
    /// Returns all recipes of an origin, sorted by name, and the refused files. Reads only the files that changed since
    /// the last call.
    pub fn read(&mut self, origin: &Origin) -> Result<(Vec<Registered>, Vec<RefusedRecipe>)> {
        let (mut good, mut refused): (Vec<Registered>, Vec<RefusedRecipe>) = (Vec::new(), Vec::new());
        // the file that has each name
        let mut names: HashMap<String, String> = HashMap::new();
        let mut sort = |file: String, recipe: Result<Registered, String>| {
            let recipe = recipe.and_then(|recipe| {
                let name = recipe.recipe.name.get_ref();
                match names.entry(normalized(name)) {
                    Entry::Occupied(first) => Err(same_name(&file, name, first.get())),
                    Entry::Vacant(free) => {
                        free.insert(file.clone());
                        Ok(recipe)
                    }
                }
            });
            match recipe {
                Ok(recipe) => good.push(recipe),
                Err(message) => refused.push(RefusedRecipe { file, message }),
            }
        };
        match origin {
            Origin::BuiltIn => {
                for (file, text) in built_in() {
                    let recipe = register(&file, text, None);
                    sort(file, recipe);
                }
            }
            Origin::Folder(folder) | Origin::Checkout(folder) => {
                let files = files(folder)?;
                let mut cache = HashMap::new();
                for (number, file) in files.iter().enumerate() {
                    let shown = origin.shown(&file.path.display().to_string());
                    if number >= RECIPES_MOST {
                        let message = format!("{shown}: a folder has {RECIPES_MOST} recipes at most");
                        sort(shown, Err(message));
                        break;
                    }
                    let (recipe, cached) = self.read_file(&shown, file);
                    sort(shown, recipe.map_err(|message| origin.shown(&message)));
                    cache.extend(cached.map(|cached| (file.path.clone(), cached)));
                }
                self.cache = cache;
            }
        }
        good.sort_by(|a, b| a.recipe.name.get_ref().cmp(b.recipe.name.get_ref()));
        Ok((good, refused))
    }

    /// Frees the packed folders. Call it once they are stored.
    pub fn drop_tars(&mut self) {
        for cached in self.cache.values_mut() {
            if let Ok(recipe) = &mut cached.recipe {
                recipe.tars.clear();
            }
        }
    }

    fn read_file(&mut self, shown: &str, file: &RecipeFile) -> (Result<Registered, String>, Option<Cached>) {
        // before the text: after a change in between, the next stamp differs
        let stamp = Stamp::of_file(&file.path);
        if let (Some(cached), Some(stamp)) = (self.cache.remove(&file.path), &stamp)
            && cached.stamp == *stamp
            && cached.folders.iter().all(|(path, before)| {
                let now = folder_stamp(file, path);
                now.is_some() && now == *before
            })
        {
            return (cached.recipe.clone(), Some(cached));
        }
        self.reads += 1;
        let text = match text(&file.path) {
            Ok(text) => text,
            Err(message) => {
                let refused = Err(message);
                let cached = stamp.map(|stamp| Cached {
                    stamp,
                    folders: BTreeMap::new(),
                    recipe: refused.clone(),
                });
                return (refused, cached);
            }
        };
        let paths = super::check(shown, &text)
            .recipe
            .map(|recipe| recipe.paths())
            .unwrap_or_default();
        let folders = paths.into_iter().map(|path| (path.clone(), folder_stamp(file, &path)));
        let folders = folders.collect();
        let recipe = register(shown, text, file.beside.as_ref());
        let cached = stamp.map(|stamp| Cached {
            stamp,
            folders,
            recipe: recipe.clone(),
        });
        (recipe, cached)
    }
}

/// Returns the refusal of a recipe whose name is another spelling of an earlier file's name.
fn same_name(file: &str, name: &str, first: &str) -> String {
    format!(
        "{file}: the project `{name}` is registered already, by {first}: case, `-`, `_` and `.` make no difference between names of \
         projects; remove one of the two files"
    )
}

fn folder_stamp(file: &RecipeFile, path: &str) -> Option<Stamp> {
    let project = file.path.file_stem()?.to_str()?;
    let folder = source_folder(file.beside.as_ref()?, project, path).ok()?;
    Stamp::of_folder(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn recipe(folder: &Path, name: &str, more: &str) {
        let text = format!("name = \"{name}\"\n{more}\n[[suite]]\nname = \"s\"\nrun = \"true\"\n");
        std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }

    #[test]
    fn only_what_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        recipe(at, "a", "source = { pypi = \"a\" }");
        std::fs::create_dir_all(at.join("b/src")).unwrap();
        std::fs::write(at.join("b/src/x.py"), "1").unwrap();
        // the same folder, in many sections
        let sections = "[[section]]\nwhen = \">=3\"\nsource = { path = \"b/src\" }\n".repeat(30);
        recipe(at, "b", &format!("source = {{ path = \"b/src\" }}\n{}", ""));
        std::fs::write(
            at.join("b.toml"),
            std::fs::read_to_string(at.join("b.toml")).unwrap() + &sections,
        )
        .unwrap();
        let mut reader = RecipeReader::default();
        let digests = |reader: &mut RecipeReader| -> Vec<String> {
            let (good, refused) = reader.read(&Origin::Folder(at.to_owned())).unwrap();
            assert_eq!(refused, []);
            good.into_iter().map(|recipe| recipe.digest).collect()
        };
        // a file that has just changed is read each time
        let first = digests(&mut reader);
        assert_eq!((digests(&mut reader), reader.reads), (first.clone(), 4));
        std::thread::sleep(Duration::from_secs(4));
        digests(&mut reader);
        let settled = reader.reads;
        for _ in 0..3 {
            assert_eq!(digests(&mut reader), first);
        }
        assert_eq!(reader.reads, settled);
        // a file of the same size in the folder
        std::fs::write(at.join("b/src/x.py"), "2").unwrap();
        let second = digests(&mut reader);
        assert_eq!((&second[0], reader.reads), (&first[0], settled + 1));
        assert_ne!(second[1], first[1]);
    }

    #[test]
    fn of_two_spellings_of_a_name_the_first_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["zope.interface", "zope-interface", "zope_interface", "zopeinterface"] {
            recipe(at, name, "source = { pypi = \"x\" }");
        }
        std::fs::create_dir(at.join("zopeinterface")).unwrap();
        recipe(&at.join("zopeinterface"), "zopeinterface", "source = { pypi = \"x\" }");
        let mut reader = RecipeReader::default();
        // the cached recipe gets the same refusal
        for _ in 0..2 {
            let (good, refused) = reader.read(&Origin::Folder(at.to_owned())).unwrap();
            let names: Vec<&str> = good
                .iter()
                .map(|recipe| recipe.recipe.name.get_ref().as_str())
                .collect();
            assert_eq!(names, ["zope-interface", "zopeinterface"]);
            let files: Vec<&str> = refused.iter().map(|one| one.file.as_str()).collect();
            let shown = |file: &str| at.join(file).display().to_string();
            assert_eq!(
                files,
                [
                    shown("zope.interface.toml"),
                    shown("zope_interface.toml"),
                    shown("zopeinterface.toml")
                ]
            );
            for (one, first) in refused.iter().zip([
                "zope-interface.toml",
                "zope-interface.toml",
                "zopeinterface/zopeinterface.toml",
            ]) {
                assert!(one.message.starts_with(&one.file), "{}", one.message);
                assert!(
                    one.message.contains(&format!("by {}: ", shown(first))),
                    "{}",
                    one.message
                );
            }
        }
        // the name of a refused file is free
        std::fs::write(at.join("zope-interface.toml"), "name = 3").unwrap();
        let (good, _) = reader.read(&Origin::Folder(at.to_owned())).unwrap();
        assert_eq!(good[0].recipe.name.get_ref(), "zope.interface");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read_and_names_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("a.toml")).unwrap();
        file.set_len(30 << 20).unwrap();
        let (good, refused) = load(&Origin::Folder(folder.path().to_owned())).unwrap();
        assert_eq!((good.len(), refused.len()), (0, 1));
        let message = &refused[0].message;
        assert!(message.contains("128 KiB at most") && message.len() < 500, "{message}");
    }
}
