//! Imports Subversion revisions into the mirror as git commits, so that the rest of Pybots treats all revisions alike.
//! A working copy is updated from revision to revision, which transfers only the changes. The mirror gets the files as
//! they are in the working copy: with keywords expanded, line ends converted and symbolic links made. Equal histories
//! at equal addresses give equal ids on every machine. The address matters because `$HeadURL$` expands to it.

use super::git::{self, Mirror};
use super::svn::{Result, Svn, SvnEntry, SvnError, SvnTip, local};
use super::trailer::trailer;
use crate::domain::svn::SvnRevision;
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// The time limit of an update or a checkout. The first checkout of CPython takes long.
const COPY: Duration = Duration::from_secs(3600);
/// The time limit for git to read a working copy.
const READ: Duration = Duration::from_secs(600);
/// The wait between attempts to lock a working copy that another process uses.
const BUSY: Duration = Duration::from_millis(100);

/// Attributes that store every file unchanged, even if the tree has a `.gitattributes`.
const ATTRIBUTES: &str = "* -text !eol -ident -filter !working-tree-encoding\n";

/// Returns the name of a Subversion folder's working copy in the data folder, and of its ref in the mirror.
pub fn folder_key(tip: &SvnTip) -> String {
    hex::encode(Sha256::digest(tip.folder.to_string()))[..16].to_owned()
}

/// The working copy of a Subversion folder, locked by this process.
struct WorkingCopy {
    folder: PathBuf,
    index: PathBuf,
    /// Unlocks the working copy when it is dropped.
    _lock: File,
}

impl Svn {
    /// Imports a revision as a commit of the mirror, and returns the commit's id. The commit has no parent. Otherwise
    /// its id would depend on the revision at which Pybots began to watch the branch.
    pub async fn import(&self, mirror: &Mirror, tip: &SvnTip, entry: &SvnEntry) -> Result<String> {
        let copy = self.open_copy(tip).await?;
        self.bring_to(&copy.folder, tip, entry.number).await?;
        let tree = match self.tree(mirror, &copy).await {
            Ok(tree) => tree,
            // the index is damaged, or names files that the mirror has lost
            Err(_) => {
                remove(&copy.index)?;
                self.tree(mirror, &copy).await?
            }
        };
        let revision = SvnRevision {
            folder: tip.folder.clone(),
            number: entry.number,
        };
        let text = copy.index.with_extension("commit");
        std::fs::write(&text, commit(&tree, &revision, entry)).map_err(|error| folder_error(&text, error))?;
        let sha = self
            .git(mirror, &copy)
            .await?
            .args(["hash-object", "-t", "commit", "-w", "--"])
            .arg(&text)
            .output_of()
            .await?;
        Ok(sha.trim().to_owned())
    }

    /// Locks the working copy. Waits until no other task or process uses it.
    async fn open_copy(&self, tip: &SvnTip) -> Result<WorkingCopy> {
        let path_of = |ending: &str| self.folder.join(format!("{}{ending}", folder_key(tip)));
        let git = self.folder.join("git");
        std::fs::create_dir_all(&git).map_err(|error| folder_error(&git, error))?;
        let path = path_of(".lock");
        let lock = File::create(&path).map_err(|error| folder_error(&path, error))?;
        while let Err(busy) = lock.try_lock() {
            match busy {
                TryLockError::WouldBlock => tokio::time::sleep(BUSY).await,
                TryLockError::Error(error) => return Err(folder_error(&path, error)),
            }
        }
        let index = path_of(".index");
        // a git process that was killed leaves this file
        remove(&index.with_extension("index.lock"))?;
        Ok(WorkingCopy {
            folder: path_of(""),
            index,
            _lock: lock,
        })
    }

    /// Brings a working copy to a revision, by an update if possible, otherwise by a new checkout.
    async fn bring_to(&self, folder: &Path, tip: &SvnTip, number: u64) -> Result<()> {
        let ours = |copy: SvnTip| copy.folder == tip.folder && copy.url == tip.url;
        if self.copy_of(folder).await.is_some_and(ours) && self.update(folder, tip, number).await? {
            return Ok(());
        }
        if folder.exists() {
            tracing::info!(path = tip.folder.path, "replacing the working copy by a new checkout");
            tokio::fs::remove_dir_all(folder)
                .await
                .map_err(|error| folder_error(folder, error))?;
        }
        let (revision, source) = (number.to_string(), format!("{}@{number}", tip.url.with_login()));
        let arguments = [
            "--quiet",
            "--ignore-externals",
            "--revision",
            &revision,
            &source,
            // no `@` at the end, which svn would take as part of the name for this argument
            &folder.display().to_string(),
        ];
        self.run("checkout", &arguments, COPY).await?;
        if self.is_clean(folder).await? {
            return Ok(());
        }
        Err(SvnError::Failed {
            command: "checkout".to_owned(),
            reason: format!(
                "the files of {} at r{number} can't be stored unchanged below {}; is its file system case-sensitive?",
                tip.url,
                folder.display()
            ),
        })
    }

    /// Updates a working copy. Returns `false` if the working copy is damaged. Fails if the repository can't be
    /// reached.
    async fn update(&self, folder: &Path, tip: &SvnTip, number: u64) -> Result<bool> {
        let (revision, target) = (number.to_string(), local(folder));
        let arguments = ["--quiet", "--ignore-externals", "--revision", &revision, &target];
        if self.run("update", &arguments, COPY).await.is_err() {
            // fails if the repository can't be reached, and the working copy stays
            self.at(tip, number).await?;
            let cleaned = self.run("cleanup", &[&target], COPY).await;
            if cleaned.is_err() || self.run("update", &arguments, COPY).await.is_err() {
                return Ok(false);
            }
        }
        self.is_clean(folder).await
    }

    /// Stores the files of a working copy in the mirror, and returns the id of the tree. Reads only changed files.
    async fn tree(&self, mirror: &Mirror, copy: &WorkingCopy) -> Result<String> {
        let all = ["add", "--all", "--force", "--", ".", ":(exclude,top).svn"];
        self.git(mirror, copy).await?.args(all).output_of().await?;
        let tree = self.git(mirror, copy).await?.arg("write-tree").output_of().await?;
        Ok(tree.trim().to_owned())
    }

    /// Returns a git command that uses the mirror's objects with a separate configuration, so that neither the user's
    /// settings nor the mirror's change the stored files.
    async fn git(&self, mirror: &Mirror, copy: &WorkingCopy) -> Result<Command> {
        let own = self.folder.join("git");
        if !own.join("HEAD").exists() {
            let mut init = Command::new("git");
            init.args(["init", "--quiet", "--bare", "--"]).arg(&own);
            init.output_of().await?;
        }
        let attributes = own.join("info/attributes");
        std::fs::create_dir_all(own.join("info")).map_err(|error| folder_error(&own, error))?;
        std::fs::write(&attributes, ATTRIBUTES).map_err(|error| folder_error(&attributes, error))?;
        let objects =
            std::path::absolute(mirror.folder().join("objects")).map_err(|error| folder_error(&own, error))?;
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

fn folder_error(path: &Path, error: std::io::Error) -> SvnError {
    SvnError::Folder {
        folder: path.display().to_string(),
        error,
    }
}

/// Removes a file if it exists.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(folder_error(path, error)),
        _ => Ok(()),
    }
}

/// Returns the text of a commit object. Subversion has neither mail addresses nor time zones.
fn commit(tree: &str, revision: &SvnRevision, entry: &SvnEntry) -> String {
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
        "tree {tree}\nauthor {author} <> {at} +0000\ncommitter {author} <> {at} +0000\n\n{message}\n\n{}\n",
        trailer(revision)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_names_its_subversion_revision() {
        let here: SvnRevision = "uuid python/trunk@7".parse().unwrap();
        let mut entry = SvnEntry {
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
        (entry.author, entry.message, entry.at) = (None, " ".into(), -5);
        let text = commit("t", &here, &entry);
        assert!(text.contains("author (no author) <> 0 +0000\n") && text.contains("\n\n(no message)\n\nsvn: "));
    }
}
