//! The mirror: a bare repository with all watched branches, used through the `git` command.

pub mod ancestry;
pub(super) mod login;
mod patch;
pub mod shown;

use crate::domain::address::Address;
use crate::domain::text::plain;
use crate::domain::time::Timestamp;
use crate::domain::tree::{ChangeKind, TreeChange, Wanted, is_ignored};
use crate::domain::version::PythonVersion;
use crate::store::revisions::NewRevision;
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio_util::io::ReaderStream;

/// The time limit of quick git commands, such as a query for the tips of a repository.
pub(super) const ASK: Duration = Duration::from_secs(60);
/// The time limit of a fetch. The first fetch of CPython takes long.
const COPY: Duration = Duration::from_secs(3 * 3600);

/// Why a git command failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("failed to run git: {0}; is it installed?")]
    NotRun(std::io::Error),
    #[error("the repository {url} can't be reached: {reason}")]
    Unreachable { url: Address, reason: String },
    #[error("git {command} failed: {reason}")]
    Failed { command: String, reason: String },
    #[error("there is no branch or tag {reference:?} in {url}; correct `ref` in the settings")]
    NoRef { reference: String, url: Address },
    #[error("there is no revision {0:?} in the mirror")]
    NoCommit(String),
}

type Result<T> = std::result::Result<T, GitError>;

/// The mirror, and the git repository that it copies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mirror {
    folder: PathBuf,
    url: Address,
}

/// A branch's tip in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitTip {
    /// Full name of the ref, `refs/heads/..` or `refs/tags/..`.
    pub name: String,
    pub sha: String,
}

impl Mirror {
    /// Opens the mirror in a folder. Creates it if it is missing.
    pub async fn open(folder: &Path, url: &Address) -> Result<Self> {
        let mirror = Self {
            folder: folder.to_owned(),
            url: url.clone(),
        };
        mirror.make_if_missing().await?;
        Ok(mirror)
    }

    /// Creates the repository if it is missing. Returns whether it did.
    pub async fn make_if_missing(&self) -> Result<bool> {
        if is_repository(&self.folder) {
            return Ok(false);
        }
        let folder = self.folder.display().to_string();
        run(Command::new("git").args(["init", "--quiet", "--bare", &folder]), ASK).await?;
        // keeps commits that a force-push removed, because their revisions still need their sources
        self.git(&["config", "gc.auto", "0"]).await?;
        self.git(&["config", "gc.pruneExpire", "never"]).await?;
        Ok(true)
    }

    pub fn url(&self) -> &Address {
        &self.url
    }

    /// Returns the tips of branches and tags, in the order of `references`, with `None` for each that does not exist.
    /// Queries the repository once.
    pub async fn tips(&self, references: &[String]) -> Result<Vec<Option<GitTip>>> {
        let mut command = self.command();
        let url = login::apart(&mut command, &self.url);
        command.args(["ls-remote", "--quiet", "--", &url]);
        for reference in references {
            command.args([
                format!("refs/heads/{reference}"),
                format!("refs/tags/{reference}"),
                format!("refs/tags/{reference}^{{}}"),
            ]);
        }
        let listing = run(&mut command, ASK).await.map_err(|error| self.unreachable(error))?;
        let all: Vec<GitTip> = listing
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(sha, name)| GitTip {
                name: name.to_owned(),
                sha: sha.to_owned(),
            })
            .collect();
        Ok(references.iter().map(|reference| pick(&all, reference)).collect())
    }

    /// Fetches a tip, sets the branch's ref in the mirror, and returns the id of the tip's commit.
    pub async fn fetch(&self, branch: &str, tip: &GitTip) -> Result<String> {
        let ours = format!("refs/pybots/{branch}");
        let refspec = format!("+{}:{ours}", tip.name);
        let mut command = self.command();
        let url = login::apart(&mut command, &self.url);
        command.args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-auto-gc",
            "--no-write-fetch-head",
            "--",
            &url,
            &refspec,
        ]);
        run(&mut command, COPY).await.map_err(|error| self.unreachable(error))?;
        self.commit(&ours).await
    }

    /// Returns the full id of a revision in the mirror. `name` is an id, a part of an id, or a ref.
    pub async fn commit(&self, name: &str) -> Result<String> {
        let peeled = format!("{name}^{{commit}}");
        let found = self
            .git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled])
            .await;
        found
            .map(|sha| sha.trim().to_owned())
            .map_err(|_| GitError::NoCommit(name.to_owned()))
    }

    pub async fn holds(&self, sha: &str) -> bool {
        self.commit(sha).await.is_ok()
    }

    /// Reads a revision in the form in which the store keeps it.
    pub async fn revision(&self, sha: &str) -> Result<NewRevision> {
        let format = "--format=%H%x00%T%x00%P%x00%an <%ae>%x00%ct%x00%s%x00%B";
        let line = self
            .git(&["show", "--no-patch", "--no-show-signature", format, sha])
            .await?;
        let mut fields = line.trim_end_matches('\n').split('\0').map(str::to_owned);
        let mut field = || fields.next().unwrap_or_default();
        let (sha, tree, parents, author, seconds, subject) = (field(), field(), field(), field(), field(), field());
        let message = field();
        Ok(NewRevision {
            version: self.version(&sha).await.map(|version| version.full),
            sha,
            tree,
            parent: parents
                .split(' ')
                .next()
                .filter(|parent| !parent.is_empty())
                .map(str::to_owned),
            // authors of Subversion revisions have no addresses
            author: plain(author.trim_end_matches(" <>")),
            subject: match subject.trim() {
                "" => "(no subject)".to_owned(),
                subject => plain(subject),
            },
            svn: super::trailer::svn_revision(&message),
            committed_at: Timestamp::from_millis(seconds.parse::<i64>().unwrap_or(0).saturating_mul(1000)),
        })
    }

    /// Returns the Python version in a revision's `patchlevel.h`, or `None` if it has no such file or no version in it.
    pub async fn version(&self, sha: &str) -> Option<PythonVersion> {
        let path = format!("{sha}:Include/patchlevel.h");
        let header = self.git(&["show", &path]).await.ok()?;
        PythonVersion::from_patchlevel(&header).ok()
    }

    /// Returns the digest of the files that a build reads. `ignore` lists the other files, as for
    /// [`crate::domain::tree::is_ignored`].
    pub async fn inputs(&self, sha: &str, ignore: &[String]) -> Result<String> {
        let listing = self.git(&["ls-tree", "-r", "-z", "--full-tree", sha]).await?;
        let read = listing.split('\0').filter(|line| {
            let path = line.split_once('\t').map(|(_, path)| path);
            path.is_some_and(|path| !is_ignored(path, ignore))
        });
        let lines: Vec<&[u8]> = read.map(str::as_bytes).collect();
        Ok(crate::domain::digest::digest(&lines))
    }

    /// Returns the files that differ between two revisions, except for ignored files.
    pub async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> Result<Vec<TreeChange>> {
        let arguments = ["diff-tree", "-r", "-z", "--no-renames", "--name-status", from, to];
        let listing = self.git(&arguments).await?;
        let mut fields = listing.split('\0');
        let mut changes = Vec::new();
        while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
            let kind = match status {
                "A" => ChangeKind::Added,
                "D" => ChangeKind::Deleted,
                "M" => ChangeKind::Modified,
                _ => ChangeKind::Retyped,
            };
            if !is_ignored(path, ignore) {
                changes.push(TreeChange {
                    kind,
                    path: path.to_owned(),
                });
            }
        }
        Ok(changes)
    }

    /// Returns the tree of a revision, or the wanted files of it, as a tar stream whose names begin with `src/`. The
    /// stream ends with an error if git fails, so that nobody takes a truncated tree for a complete one.
    pub fn archive(
        &self,
        sha: &str,
        wanted: &Wanted,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + use<>> {
        let mut command = self.command();
        // makes the tar independent of this machine's git settings
        command.args(["-c", "core.attributesFile=/dev/null", "-c", "tar.umask=0022"]);
        command.args(["archive", "--format=tar", "--prefix=src/", sha, "--"]);
        match &wanted.only {
            Some(only) => command.args(only.iter().map(|path| format!(":(literal){path}"))),
            None => command.arg("."),
        };
        command.args(
            wanted
                .ignore
                .iter()
                .map(|name| format!(":(exclude,literal){}", name.trim_end_matches('/'))),
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(GitError::NotRun)?;
        let stream = async_stream::try_stream! {
            if let Some(stdout) = child.stdout.take() {
                let mut chunks = ReaderStream::with_capacity(stdout, 256 << 10);
                while let Some(chunk) = chunks.next().await {
                    yield chunk?;
                }
            }
            let status = child.wait().await?;
            if !status.success() {
                Err(std::io::Error::other(format!("git archive ended with {status}")))?;
            }
        };
        Ok(stream)
    }

    /// Returns the folder of the repository, for callers that run git themselves.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sets the ref of a Subversion folder, which records that its revisions up to this one are in the mirror.
    pub(super) async fn set_svn_ref(&self, folder_key: &str, sha: &str) -> Result<()> {
        self.git(&["update-ref", &svn_ref(folder_key), sha]).await?;
        Ok(())
    }

    /// Returns whether the mirror has the revisions of a Subversion folder.
    pub(super) async fn has_svn_ref(&self, folder_key: &str) -> bool {
        self.holds(&svn_ref(folder_key)).await
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(&self.folder);
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        command
    }

    async fn git(&self, arguments: &[&str]) -> Result<String> {
        run(self.command().args(arguments), ASK).await
    }

    fn unreachable(&self, error: GitError) -> GitError {
        match error {
            GitError::Failed { reason, .. } => GitError::Unreachable {
                reason: self.url.mask_in(&reason),
                url: self.url.clone(),
            },
            other => other,
        }
    }
}

/// Returns whether git accepts a folder as a bare repository.
pub fn is_repository(folder: &Path) -> bool {
    folder.join("HEAD").is_file() && ["objects", "refs"].iter().all(|name| folder.join(name).is_dir())
}

fn svn_ref(folder_key: &str) -> String {
    format!("refs/pybots-svn/{folder_key}")
}

/// Finds a tip by its short name. A branch takes precedence over a tag, and an annotated tag stands for its commit.
fn pick(all: &[GitTip], reference: &str) -> Option<GitTip> {
    let named = |name: String| all.iter().find(|tip| tip.name == name);
    let (branch, tag) = (format!("refs/heads/{reference}"), format!("refs/tags/{reference}"));
    let tip = named(branch.clone())
        .or_else(|| named(format!("{tag}^{{}}")))
        .or_else(|| named(tag.clone()))?;
    let name = if tip.name == branch { branch } else { tag };
    Some(GitTip {
        name,
        sha: tip.sha.clone(),
    })
}

/// Runs a git command and returns its output. The error contains the cause that git printed.
pub(super) async fn run(command: &mut Command, patience: Duration) -> Result<String> {
    let shown = {
        let arguments = command.as_std().get_args().map(|a| a.to_string_lossy().into_owned());
        let commands = [
            "ls-remote",
            "fetch",
            "rev-parse",
            "rev-list",
            "show",
            "ls-tree",
            "diff-tree",
            "archive",
            "init",
            "config",
            "add",
            "write-tree",
            "hash-object",
            "update-ref",
            "read-tree",
            "checkout-index",
            "apply",
            "commit-tree",
        ];
        arguments
            .into_iter()
            .find(|a| commands.contains(&a.as_str()))
            .unwrap_or_default()
    };
    command.stdin(Stdio::null()).kill_on_drop(true);
    let failed = |reason: String| GitError::Failed {
        command: shown.clone(),
        reason,
    };
    let output = tokio::time::timeout(patience, command.output())
        .await
        .map_err(|_| failed(format!("no answer for {} s", patience.as_secs())))?
        .map_err(GitError::NotRun)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        // git prints the cause first, then advice
        let cause = text
            .lines()
            .find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
        let reason = cause
            .or(text.lines().last())
            .unwrap_or("it printed no reason")
            .to_owned();
        return Err(failed(reason));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_win_and_tags_are_peeled() {
        let tip = |name: &str, sha: &str| GitTip {
            name: name.into(),
            sha: sha.into(),
        };
        let all = [
            tip("refs/heads/main", "a"),
            tip("refs/tags/main", "b"),
            tip("refs/tags/2.5", "object"),
            tip("refs/tags/2.5^{}", "commit"),
        ];
        assert_eq!(pick(&all, "main"), Some(tip("refs/heads/main", "a")));
        assert_eq!(pick(&all, "2.5"), Some(tip("refs/tags/2.5", "commit")));
        assert_eq!(pick(&all, "none"), None);
    }
}
