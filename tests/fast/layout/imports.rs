//! Reads which file of `src` uses which other one: from `use` declarations, and from paths in the code that begin with
//! `crate`, `super` or a module of the file's own. A name is followed through re-exports to the file that defines it.
//! A bare `mod` declaration is no use. Tests are left out.

use super::tokens::tokens;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module's name as path segments from the crate's root.
type Module = Vec<String>;

/// A file of `src`.
pub struct File {
    /// Relative to `src`.
    pub path: PathBuf,
    pub text: String,
    module: Module,
    /// Names that the file defines.
    items: BTreeSet<String>,
    /// Modules that it declares.
    children: BTreeSet<String>,
    /// What `use` brings in: a name, and the path that it stands for.
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// All paths that it names.
    paths: BTreeSet<Vec<String>>,
}

/// All files of the crate, without tests.
pub struct Crate {
    pub files: Vec<File>,
    modules: BTreeMap<Module, usize>,
}

impl Crate {
    pub fn read(root: &Path) -> Self {
        let mut left = vec![root.to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    left.push(path);
                } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "main.rs" {
                    let text = std::fs::read_to_string(&path).unwrap();
                    files.push(File::new(path.strip_prefix(root).unwrap(), text));
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let modules = files
            .iter()
            .enumerate()
            .map(|(index, file)| (file.module.clone(), index));
        Self {
            modules: modules.collect(),
            files,
        }
    }

    /// Returns for each file those that it uses, by their indices.
    pub fn uses(&self) -> Vec<BTreeSet<usize>> {
        let uses = |(index, file): (usize, &File)| {
            let used = file.paths.iter().filter_map(|path| self.resolve(index, path, 0));
            used.filter(|used| *used != index).collect()
        };
        self.files.iter().enumerate().map(uses).collect()
    }

    /// Returns the file that defines what a path names, or `None` if another crate does.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        let (mut at, mut rest) = self.start(from, path)?;
        while let Some((name, after)) = rest.split_first() {
            let file = &self.files[at];
            if let Some(child) = self.modules.get(&joined(&file.module, name)) {
                (at, rest) = (*child, after);
                continue;
            }
            if !file.items.contains(name) && depth < 8 {
                if let Some(target) = file.aliases.get(name).filter(|target| target.as_slice() != path) {
                    let whole: Vec<String> = target.iter().chain(after).cloned().collect();
                    // a name of another crate is no use of this file
                    return self.resolve(at, &whole, depth + 1);
                }
                let through = file.globs.iter().find_map(|glob| {
                    let found = self.resolve(at, glob, depth + 1)?;
                    self.files[found].items.contains(name).then_some(found)
                });
                return through.or(Some(at));
            }
            break;
        }
        Some(at)
    }

    /// The module at which a path begins, and the rest of the path.
    fn start<'a>(&self, from: usize, path: &'a [String]) -> Option<(usize, &'a [String])> {
        let mut module = self.files[from].module.as_slice();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (module, rest) = (&[], &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    (module, rest) = (module.split_last()?.1, &rest[1..]);
                }
            }
            name => drop(self.modules.get(&joined(module, name))?),
        }
        Some((*self.modules.get(module)?, rest))
    }

    pub fn name(&self, index: usize) -> String {
        self.files[index].path.display().to_string()
    }

    pub fn module(&self, index: usize) -> String {
        self.files[index].module.join("::")
    }
}

fn joined(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

impl File {
    fn new(path: &Path, text: String) -> Self {
        let names = path.with_extension("");
        let names = names.iter().map(|name| name.to_string_lossy().into_owned());
        let mut file = Self {
            module: names.filter(|name| name != "mod" && name != "lib").collect(),
            path: path.to_owned(),
            text: String::new(),
            items: BTreeSet::new(),
            children: BTreeSet::new(),
            aliases: BTreeMap::new(),
            globs: Vec::new(),
            paths: BTreeSet::new(),
        };
        let tokens = tokens(&text);
        file.scan(&tokens);
        file.calls_of_children(&tokens);
        file.text = text;
        file
    }

    fn scan(&mut self, tokens: &[String]) {
        let mut at = 0;
        let mut depth = 0_usize;
        while at < tokens.len() {
            let is = |offset: usize, text: &str| tokens.get(at + offset).is_some_and(|token| token == text);
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "use" if !is(1, "<") => at += self.imports(&tokens[at + 1..], &[]) + 1,
                "mod" if is(2, ";") => drop(self.children.insert(tokens[at + 1].clone())),
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" | "mod" if depth == 0 => {
                    if let Some(name) = tokens.get(at + 1) {
                        self.items.insert(name.clone());
                    }
                }
                "crate" | "super" if is(1, "::") => {
                    let names = tokens[at..].chunks(2).take_while(|pair| pair[0].starts_with(is_word));
                    let mut path = Vec::new();
                    for pair in names {
                        path.push(pair[0].clone());
                        if pair.get(1).is_none_or(|sign| sign != "::") {
                            break;
                        }
                    }
                    at += 2 * (path.len() - 1);
                    self.paths.insert(path);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Paths that begin with a module that the file declares.
    fn calls_of_children(&mut self, tokens: &[String]) {
        for window in tokens.windows(4) {
            if window[0] != "::" && self.children.contains(&window[1]) && window[2] == "::" {
                self.paths.insert(vec![window[1].clone(), window[3].clone()]);
            }
        }
    }

    /// Reads the tree of a `use` declaration, and returns how many tokens it takes.
    fn imports(&mut self, tokens: &[String], before: &[String]) -> usize {
        let mut path = before.to_vec();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token.as_str() {
                "::" => {}
                "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| token != "}") {
                        at += self.imports(&tokens[at..], &path).max(1);
                        at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                    }
                    return at + 1;
                }
                "*" => {
                    self.paths.insert(path.clone());
                    self.globs.push(path);
                    return at + 1;
                }
                "as" => {
                    self.imported(tokens.get(at + 1).cloned().unwrap_or_default(), path);
                    return at + 2;
                }
                "," | "}" | ";" => break,
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
            at += 1;
        }
        self.imported(path.last().cloned().unwrap_or_default(), path);
        at
    }

    fn imported(&mut self, name: String, path: Vec<String>) {
        self.paths.insert(path.clone());
        self.aliases.insert(name, path);
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
