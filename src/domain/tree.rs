//! Source trees of CPython: which files a build reads, and after which changes `make` can continue in a build tree.

use serde::{Deserialize, Serialize};

/// One path that differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeChange {
    pub kind: ChangeKind,
    /// From the root of the tree, with `/` between folders.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Deleted,
    Modified,
    /// The mode or the type of the file changed.
    Retyped,
}

/// The files of a tree that a host requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Files and folders to leave out; see [`is_ignored`].
    pub ignore: Vec<String>,
    /// The paths to include; all if this is `None`.
    #[serde(default)]
    pub only: Option<Vec<String>>,
}

/// Returns whether a path is ignored. A name in `ignore` that ends in `/` is a folder with all that it contains; any
/// other name is one file.
pub fn is_ignored(path: &str, ignore: &[String]) -> bool {
    ignore.iter().any(|name| match name.strip_suffix('/') {
        Some(_) => path.starts_with(name.as_str()),
        None => path == name,
    })
}

/// How to bring a build tree to another revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Files to write, new or changed.
    pub put: Vec<String>,
    pub delete: Vec<String>,
    /// Changed files that a C file may include: C files, and headers that Argument Clinic wrote
    /// (`Modules/clinic/NAME.c.h`). Every C file that includes one of them is compiled again.
    pub included: Vec<String>,
    /// Compile every object again. Other headers changed, and `make` does not know everything that depends on them. The
    /// compiler cache makes this cheap.
    pub all_objects: bool,
    /// Install the headers again.
    pub headers: bool,
    /// Compile all Python modules again, because the bytecode may differ.
    pub bytecode: bool,
}

/// The most changes of an update. With more, a build from scratch is as fast, and safer.
const MOST_CHANGES: usize = 1000;

/// Folders of C sources. `make` writes the objects beside them.
const C_FOLDERS: [&str; 6] = ["Include/", "Modules/", "Objects/", "Parser/", "Programs/", "Python/"];

impl Update {
    /// Returns the update that `changes` need. The error says why only a build from scratch is safe. `bytecode` are the
    /// paths, as for [`is_ignored`], that determine the bytecode of modules.
    pub fn of(changes: &[TreeChange], bytecode: &[String]) -> Result<Self, String> {
        if changes.len() > MOST_CHANGES {
            return Err(format!("{} files changed", changes.len()));
        }
        let mut update = Self::default();
        for change in changes {
            update.add(change, bytecode)?;
        }
        Ok(update)
    }

    fn add(&mut self, change: &TreeChange, bytecode: &[String]) -> Result<(), String> {
        let TreeChange { kind, path } = change;
        let unsure = || Err(format!("{path} was {}", verb(*kind)));
        let in_c = C_FOLDERS.iter().any(|folder| path.starts_with(folder));
        match (kind, file_type(path)) {
            // `make install` copies the files of Lib/ that are there
            (ChangeKind::Added | ChangeKind::Modified | ChangeKind::Deleted, _) if path.starts_with("Lib/") => {}
            // an object depends on its source, but the makefile does not list all other files that the source includes
            (ChangeKind::Modified, Some("c")) if in_c => self.included.push(path.clone()),
            (ChangeKind::Modified, Some("h")) if in_c && path.contains("/clinic/") => {
                self.included.push(path.clone());
            }
            (ChangeKind::Modified, Some("h")) if in_c => self.all_objects = true,
            (ChangeKind::Added | ChangeKind::Deleted, Some("h")) if in_c && !path.starts_with("Include/") => {
                self.all_objects = true;
            }
            // lists of modules, makefiles, generators, the configuration
            _ => return unsure(),
        }
        self.headers |= path.starts_with("Include/");
        self.bytecode |= is_ignored(path, bytecode);
        match kind {
            ChangeKind::Deleted => self.delete.push(path.clone()),
            _ => self.put.push(path.clone()),
        }
        Ok(())
    }
}

fn file_type(path: &str) -> Option<&str> {
    path.rsplit('/').next()?.rsplit_once('.').map(|(_, end)| end)
}

fn verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Modified => "changed",
        ChangeKind::Retyped => "given another mode",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ChangeKind, path: &str) -> TreeChange {
        TreeChange {
            kind,
            path: path.into(),
        }
    }

    #[test]
    fn folders_and_files_are_ignored_by_name() {
        let ignore = ["Doc/".to_owned(), "README.rst".to_owned()];
        for (path, ignored) in [
            ("Doc/library/os.rst", true),
            ("Docs/x", false),
            ("Lib/Doc/x", false),
            ("README.rst", true),
            ("README.rst.txt", false),
            ("Lib/README.rst", false),
        ] {
            assert_eq!(is_ignored(path, &ignore), ignored, "{path}");
        }
    }

    #[test]
    fn an_update_compiles_only_what_changes_need() {
        use ChangeKind::*;
        let bytecode = ["Python/compile.c".to_owned(), "Grammar/".to_owned()];
        let of = |changes: &[TreeChange]| Update::of(changes, &bytecode);
        let lib = of(&[change(Modified, "Lib/os.py"), change(Deleted, "Lib/test/test_x.py")]).unwrap();
        assert_eq!(lib.put, ["Lib/os.py"]);
        assert_eq!(lib.delete, ["Lib/test/test_x.py"]);
        assert!(!lib.all_objects && !lib.headers && !lib.bytecode);

        let one = of(&[change(Modified, "Objects/dictobject.c")]).unwrap();
        assert!(!one.all_objects && !one.bytecode);
        assert!(of(&[change(Modified, "Python/compile.c")]).unwrap().bytecode);
        let clinic = of(&[change(Modified, "Modules/clinic/mathmodule.c.h")]).unwrap();
        assert_eq!(clinic.included, ["Modules/clinic/mathmodule.c.h"]);
        assert!(!clinic.all_objects);
        assert!(of(&[change(Added, "Modules/clinic/new.c.h")]).unwrap().all_objects);
        assert!(of(&[change(Modified, "Modules/_sqlite/cursor.h")]).unwrap().all_objects);
        let header = of(&[change(Modified, "Include/object.h")]).unwrap();
        assert!(header.all_objects && header.headers);
    }

    #[test]
    fn other_changes_need_a_build_from_scratch() {
        use ChangeKind::*;
        for (kind, path) in [
            (Modified, "Makefile.pre.in"),
            (Modified, "configure"),
            (Modified, "Modules/Setup.stdlib.in"),
            (Modified, "Tools/build/freeze_modules.py"),
            (Added, "Modules/_new.c"),
            (Deleted, "Include/old.h"),
            (Retyped, "Lib/os.py"),
            (Modified, "Grammar/python.gram"),
        ] {
            let why = Update::of(&[change(kind, path)], &[]).unwrap_err();
            assert!(why.starts_with(path), "{why}");
        }
    }
}
