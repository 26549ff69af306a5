//! `pybots import laruche PATH`: converts another registry to recipe files.

use super::files;
use crate::recipe::import::{Imported, laruche};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Import {
    #[command(subcommand)]
    registry: Registry,
}

#[derive(Subcommand)]
enum Registry {
    /// A registry in the form of laruche: a YAML file for each package.
    Laruche(Laruche),
}

#[derive(Args)]
struct Laruche {
    /// One YAML file, or a folder of them. For a whole registry, its folder `packages` is read.
    path: PathBuf,
    /// The folder in which recipes are written.
    #[arg(long, short, default_value = ".", value_name = "FOLDER")]
    output: PathBuf,
    /// Replace existing recipe files.
    #[arg(long)]
    force: bool,
}

/// The most entries of a registry. The registry of laruche has some five thousand.
const ENTRIES_MOST: usize = 50_000;

impl Import {
    /// Runs the command. The exit code is 1 if no recipe is written.
    pub fn run(&self) -> Result<ExitCode> {
        let Registry::Laruche(laruche) = &self.registry;
        laruche.run()
    }
}

impl Laruche {
    fn run(&self) -> Result<ExitCode> {
        let files = entries(&self.path)?;
        std::fs::create_dir_all(&self.output).with_context(|| format!("failed to make {}", self.output.display()))?;
        let (mut written, mut names) = (0, BTreeSet::new());
        for file in &files {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let imported = match read(file) {
                Ok(text) => laruche::import(&stem, &text),
                Err(error) => Imported::Nothing {
                    name: stem.into_owned(),
                    reason: format!("{error:#}"),
                },
            };
            match imported {
                Imported::Nothing { name, reason } => errln!("{name}: no recipe: {reason}"),
                Imported::Recipe { name, .. } if !names.insert(name.clone()) => {
                    errln!("{name}: no recipe: another entry has this name");
                }
                Imported::Recipe { name, text, left_out } => match self.write(&name, &text)? {
                    Some(file) => {
                        written += 1;
                        outln!("wrote {}", file.display());
                        left_out.iter().for_each(|one| errln!("{name}: left out: {one}"));
                    }
                    None => errln!("{name}: {name}.toml is there already; --force replaces it"),
                },
            }
        }
        outln!(
            "{written} of {} entries became recipes; try each by `pybots try`",
            files.len()
        );
        Ok(match written {
            0 => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        })
    }

    /// Writes a recipe. Returns `None` if a file exists that must not be replaced.
    fn write(&self, name: &str, text: &str) -> Result<Option<PathBuf>> {
        let file = self.output.join(format!("{name}.toml"));
        match files::write(&file, text, self.force) {
            Ok(()) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to write {}", file.display())),
        }
    }
}

/// Returns the YAML files of a registry, sorted by name. A path that is no folder stands for itself.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let whole = path.join("packages");
    let folder = if whole.is_dir() { &whole } else { path };
    if !folder.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let context = || format!("failed to read {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let is_yaml = matches!(entry.path().extension(), Some(extension) if extension == "yaml" || extension == "yml");
        // a link may lead outside the registry
        if is_yaml && entry.file_type().with_context(context)?.is_file() {
            files.push(entry.path());
        }
        if files.len() > ENTRIES_MOST {
            bail!(
                "{} has more than {ENTRIES_MOST} entries; import parts of it",
                folder.display()
            );
        }
    }
    if files.is_empty() {
        bail!(
            "{} has no YAML files; name a registry, its folder `packages`, or one file",
            folder.display()
        );
    }
    files.sort();
    Ok(files)
}

/// Reads a file, up to the size limit of an entry.
fn read(file: &Path) -> Result<String> {
    let most = u64::try_from(laruche::ENTRY_MOST).unwrap_or(u64::MAX);
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(most + 1).read_to_string(&mut text))
        .context("it can't be read")?;
    Ok(text)
}
