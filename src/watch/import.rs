//! Check-ins of Subversion become commits of the mirror, so that from there on nobody has to care
//! where a check-in came from.
//!
//! A working copy is brought from revision to revision, which copies only what changed. The files go
//! into the mirror as they are in it: keywords expanded, line ends set, symlinks made. Equal
//! histories at equal addresses give equal ids on any machine ($HeadURL$ holds the address).

use super::git::{self, Mirror};
use super::svn::{Entry, Result, Svn, SvnError, Tip, local};
use crate::domain::place::Place;
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// Time to bring a working copy to a revision; the first one of CPython takes long.
const COPY: Duration = Duration::from_secs(3600);
/// Time for git to read a working copy.
const READ: Duration = Duration::from_secs(600);
/// Time between two looks whether another process has done with a working copy.
const BUSY: Duration = Duration::from_millis(100);

/// Files are stored as they are, whatever a `.gitattributes` among them says.
const ATTRIBUTES: &str = "* -text !eol -ident -filter !working-tree-encoding\n";

/// A name for what belongs to a line in the data folder and in the mirror.
pub fn key(tip: &Tip) -> String {
    hex::encode(Sha256::digest(tip.line.to_string()))[..16].to_owned()
}

/// The working copy of a line, held for this process alone.
struct Copy {
    folder: PathBuf,
    index: PathBuf,
    /// Released with it.
    _lock: File,
}

impl Svn {
    /// Makes a check-in a commit of the mirror, and returns its id. The commit has no parent: with
    /// one its id would tell at which check-in Pybots began to look.
    pub async fn import(&self, mirror: &Mirror, tip: &Tip, entry: &Entry) -> Result<String> {
        let copy = self.open_copy(tip).await?;
        self.bring(&copy.folder, tip, entry.number).await?;
        let tree = match self.tree(mirror, &copy).await {
            Ok(tree) => tree,
            // the index knows files that the mirror has lost, or was torn
            Err(_) => {
                remove(&copy.index)?;
                self.tree(mirror, &copy).await?
            }
        };
        let place = Place {
            line: tip.line.clone(),
            number: entry.number,
        };
        let text = copy.index.with_extension("commit");
        std::fs::write(&text, commit(&tree, &place, entry)).map_err(|error| trouble(&text, error))?;
        let sha = self
            .git(mirror, &copy)
            .await?
            .args(["hash-object", "-t", "commit", "-w", "--"])
            .arg(&text)
            .output_of()
            .await?;
        Ok(sha.trim().to_owned())
    }

    /// Waits until no other process, and nobody in this one, works on the line's copy.
    async fn open_copy(&self, tip: &Tip) -> Result<Copy> {
        let place = |ending: &str| self.folder.join(format!("{}{ending}", key(tip)));
        let git = self.folder.join("git");
        std::fs::create_dir_all(&git).map_err(|error| trouble(&git, error))?;
        let path = place(".lock");
        let lock = File::create(&path).map_err(|error| trouble(&path, error))?;
        while let Err(busy) = lock.try_lock() {
            match busy {
                TryLockError::WouldBlock => tokio::time::sleep(BUSY).await,
                TryLockError::Error(error) => return Err(trouble(&path, error)),
            }
        }
        let index = place(".index");
        // what a git that was killed has left
        remove(&index.with_extension("index.lock"))?;
        Ok(Copy {
            folder: place(""),
            index,
            _lock: lock,
        })
    }

    /// Brings a working copy to a revision: changes it if that can be done, or else makes it anew.
    async fn bring(&self, folder: &Path, tip: &Tip, number: u64) -> Result<()> {
        let ours = |copy: Tip| copy.line == tip.line && copy.url == tip.url;
        if self.copy_of(folder).await.is_some_and(ours) && self.update(folder, tip, number).await? {
            return Ok(());
        }
        if folder.exists() {
            tracing::info!(path = tip.line.path, "making the working copy anew");
            tokio::fs::remove_dir_all(folder)
                .await
                .map_err(|error| trouble(folder, error))?;
        }
        let (revision, source) = (number.to_string(), format!("{}@{number}", tip.url));
        let arguments = [
            "--quiet",
            "--ignore-externals",
            "--revision",
            &revision,
            &source,
            // the one place where an `@` at the end would be part of the name
            &folder.display().to_string(),
        ];
        self.run("checkout", &arguments, COPY).await?;
        if self.is_clean(folder).await? {
            return Ok(());
        }
        Err(SvnError::Failed {
            command: "checkout".to_owned(),
            reason: format!(
                "the files of {} at r{number} can't be stored as they are below {}; does its file system tell upper and lower case apart?",
                tip.url,
                folder.display()
            ),
        })
    }

    /// False if the working copy is of no use any more, while the repository is well.
    async fn update(&self, folder: &Path, tip: &Tip, number: u64) -> Result<bool> {
        let (revision, target) = (number.to_string(), local(folder));
        let arguments = ["--quiet", "--ignore-externals", "--revision", &revision, &target];
        if self.run("update", &arguments, COPY).await.is_err() {
            // a repository that is away is no reason to throw a working copy away
            self.at(tip, number).await?;
            let cleaned = self.run("cleanup", &[&target], COPY).await;
            if cleaned.is_err() || self.run("update", &arguments, COPY).await.is_err() {
                return Ok(false);
            }
        }
        self.is_clean(folder).await
    }

    /// Puts the files of a working copy into the mirror; only those that changed are read.
    async fn tree(&self, mirror: &Mirror, copy: &Copy) -> Result<String> {
        let all = ["add", "--all", "--force", "--", ".", ":(exclude,top).svn"];
        self.git(mirror, copy).await?.args(all).output_of().await?;
        let tree = self.git(mirror, copy).await?.arg("write-tree").output_of().await?;
        Ok(tree.trim().to_owned())
    }

    /// git with the mirror's objects, but with settings of its own: neither the user's nor the
    /// mirror's are to change what is stored.
    async fn git(&self, mirror: &Mirror, copy: &Copy) -> Result<Command> {
        let own = self.folder.join("git");
        if !own.join("HEAD").exists() {
            let mut init = Command::new("git");
            init.args(["init", "--quiet", "--bare", "--"]).arg(&own);
            init.output_of().await?;
        }
        let attributes = own.join("info/attributes");
        std::fs::create_dir_all(own.join("info")).map_err(|error| trouble(&own, error))?;
        std::fs::write(&attributes, ATTRIBUTES).map_err(|error| trouble(&attributes, error))?;
        let objects = std::path::absolute(mirror.folder().join("objects")).map_err(|error| trouble(&own, error))?;
        let mut git = Command::new("git");
        git.current_dir(&copy.folder)
            .args([
                "-c",
                "core.autocrlf=false",
                "-c",
                "core.fileMode=true",
                "-c",
                "core.symlinks=true",
            ])
            .env("GIT_DIR", own)
            .env("GIT_WORK_TREE", &copy.folder)
            .env("GIT_INDEX_FILE", &copy.index)
            .env("GIT_OBJECT_DIRECTORY", objects)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C");
        Ok(git)
    }
}

trait Output {
    async fn output_of(&mut self) -> Result<String>;
}

impl Output for Command {
    async fn output_of(&mut self) -> Result<String> {
        Ok(git::run(self, READ).await?)
    }
}

fn trouble(path: &Path, error: std::io::Error) -> SvnError {
    SvnError::Folder {
        folder: path.display().to_string(),
        error,
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(trouble(path, error)),
        _ => Ok(()),
    }
}

/// A commit as git stores it. Subversion knows no addresses of people, and no time zones.
fn commit(tree: &str, place: &Place, entry: &Entry) -> String {
    let fine = |c: char| !c.is_control() && c != '<' && c != '>';
    let author: String = entry
        .author
        .iter()
        .flat_map(|name| name.chars())
        .filter(|c| fine(*c))
        .collect();
    let author = match author.trim() {
        "" => "(no author)",
        author => author,
    };
    let message = entry.message.replace("\r\n", "\n").replace('\0', "");
    let message = match message.trim() {
        "" => "(no message)",
        message => message,
    };
    let at = entry.at.max(0);
    format!(
        "tree {tree}\nauthor {author} <> {at} +0000\ncommitter {author} <> {at} +0000\n\n{message}\n\n{TRAILER}{place}\n"
    )
}

const TRAILER: &str = "svn: ";

/// Where a commit with this message came from; None if git is where it was made.
pub fn place(message: &str) -> Option<Place> {
    message
        .trim_end()
        .lines()
        .next_back()?
        .strip_prefix(TRAILER)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_says_where_it_comes_from() {
        let here: Place = "uuid python/trunk@7".parse().unwrap();
        let mut entry = Entry {
            number: 7,
            author: Some("Łukasz <x>\n".into()),
            at: 12,
            message: "\nOne.\r\n\r\nTwo.\n".into(),
        };
        let text = commit("t", &here, &entry);
        assert_eq!(
            text,
            "tree t\nauthor Łukasz x <> 12 +0000\ncommitter Łukasz x <> 12 +0000\n\nOne.\n\nTwo.\n\nsvn: uuid python/trunk@7\n"
        );
        assert_eq!(place(&text), Some(here.clone()));
        (entry.author, entry.message, entry.at) = (None, " ".into(), -5);
        let text = commit("t", &here, &entry);
        assert!(text.contains("author (no author) <> 0 +0000\n") && text.contains("\n\n(no message)\n\nsvn: "));
        assert_eq!(place("svn: uuid python/trunk@7\n\nand no end"), None);
        assert_eq!(place(""), None);
    }
}
