//! The target of `pybots init`: a project by the place of its source.

use crate::domain::address::Address;
use crate::domain::lock::Lock;
use crate::domain::suite::Source;
use crate::recipe::propose::source_line;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A project, by the place of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name on the package index.
    Pypi(String),
    /// A folder on this machine, as an absolute path.
    Path(PathBuf),
    /// A git repository.
    Git(String),
}

impl Target {
    /// Parses the argument. An address contains `://`, a path contains a slash or begins with a dot, and everything
    /// else is a name. Fails for an address with a login or a query, and for a path that is no folder.
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains("://") {
            let address = Address::from(text);
            if address.has_login() || address.has_query() {
                bail!(
                    "{address} holds a login or a query, in which a token may stand, and everybody can read a recipe: leave it out; name a \
                     folder with a copy of the project if its repository needs one"
                );
            }
            if !["https://", "http://", "git://"]
                .iter()
                .any(|start| text.starts_with(start))
            {
                bail!("{text:?} is no address of a git repository: it begins with https://, http:// or git://");
            }
            return Ok(Target::Git(text.trim_end_matches('/').to_owned()));
        }
        if text.contains('/') || text.starts_with('.') {
            let folder = Path::new(text)
                .canonicalize()
                .with_context(|| format!("failed to find the folder {text}"))?;
            if !folder.is_dir() {
                bail!("{text} is a file; name the folder of the project");
            }
            return Ok(Target::Path(folder));
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty()
            || text.len() > 64
            || !text.chars().all(fine)
            || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            bail!("{text:?} can't be a name on the package index; a folder is written as ./NAME");
        }
        if Path::new(text).is_dir() {
            errln!("note: {text} is taken as a name on the package index; write ./{text} for the folder");
        }
        Ok(Target::Pypi(text.to_lowercase()))
    }

    /// Returns the text from which the recipe's name is derived.
    pub fn title(&self) -> String {
        match self {
            Target::Pypi(name) => name.clone(),
            Target::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Target::Git(address) => {
                let last = address.rsplit('/').next().unwrap_or_default();
                last.strip_suffix(".git").unwrap_or(last).to_owned()
            }
        }
    }

    fn source(&self, path: Option<&str>) -> Source {
        let mut source = Source::default();
        match self {
            Target::Pypi(name) => source.pypi = Some(name.clone()),
            Target::Path(_) => source.path = path.map(str::to_owned),
            Target::Git(address) => return Source::of_git(address, "HEAD"),
        }
        source
    }

    /// Returns the text of a recipe that names the source, installs nothing, and has one suite, which always passes.
    /// `path` is the folder of a `path` source.
    pub fn minimal(&self, name: &str, path: Option<&str>) -> String {
        let source = self.source(path);
        let (name, source) = (toml::Value::from(name), source_line(&source));
        format!("name = {name}\n{source}\ninstall = []\n\n[[suite]]\nname = \"tests\"\nrun = \"true\"\n")
    }

    /// Returns the source for the recipe, pinned to the version that was fetched.
    pub fn pinned(&self, path: Option<&str>, lock: Option<&str>) -> Result<Source> {
        let mut source = self.source(path);
        let Some(lock) = lock else { return Ok(source) };
        let project = Lock::parse(lock).and_then(|lock| lock.project);
        let project = project.context("failed to read the lock of the fetch")?;
        match self {
            Target::Pypi(_) if project.sha256.is_some() => {
                source.version = project.version;
                source.sha256 = project.sha256;
            }
            Target::Git(_) => source.rev = project.version.or(source.rev),
            _ => {}
        }
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_an_address_gets_into_a_recipe() {
        for text in [
            "https://h.org/x?tok=s3cret",
            "https://h.org/x?s3cret",
            "https://u:s3cret@h.org/x",
            "https://s3cret@h.org",
            "ssh://u:s3cret@h.org/x",
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && error.contains("leave it out"), "{error}");
        }
    }

    #[test]
    fn an_argument_is_a_name_a_folder_or_an_address() {
        for (text, target, title) in [
            (
                "Zope.Interface",
                Target::Pypi("zope.interface".into()),
                "zope.interface",
            ),
            (
                "https://example.org/a/Demo.git",
                Target::Git("https://example.org/a/Demo.git".into()),
                "Demo",
            ),
            ("/", Target::Path("/".into()), ""),
        ] {
            let found = Target::parse(text).unwrap();
            assert_eq!((found.title().as_str(), found), (title, target), "{text}");
        }
        for text in ["", "a b", "-x", "ssh://example.org/a", "./no/such/folder", "x;y"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
