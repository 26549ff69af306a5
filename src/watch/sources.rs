//! The repositories of the watched branches, and the mirror that holds all their revisions.

use super::git::{self, GitError, Mirror};
use super::import;
use super::svn::{self, Svn, SvnError};
use crate::config::{BranchSettings, SourceKind, SourceSettings};
use crate::domain::address::Address;
use crate::domain::svn::SvnRevision;
use std::path::{Path, PathBuf};

/// The mirror, the Subversion repository, and the settings that give each branch its repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    pub mirror: Mirror,
    pub svn: Svn,
    settings: SourceSettings,
}

/// Returns the folder of the mirror in a data folder.
pub fn mirror_folder(data: &Path) -> PathBuf {
    data.join("mirror.git")
}

/// The newest state of a branch in its repository.
#[derive(Clone, Debug)]
pub enum Tip {
    Git(git::GitTip),
    Svn(svn::SvnTip),
}

impl Sources {
    /// Opens the mirror and the folder of working copies in the data folder, without contacting a repository.
    pub async fn open(data: &Path, settings: &SourceSettings) -> Result<Self, GitError> {
        Ok(Self {
            mirror: Mirror::open(&mirror_folder(data), &settings.git).await?,
            svn: Svn::new(&settings.svn, &data.join("svn")),
            settings: settings.clone(),
        })
    }

    /// Returns the kind of repository that holds a branch.
    pub fn kind(&self, branch: &BranchSettings) -> SourceKind {
        self.settings.kind(branch)
    }

    /// Returns the address of the repository that holds a branch, as the settings write it.
    pub fn url(&self, branch: &BranchSettings) -> &Address {
        self.settings.of(branch)
    }

    /// Returns the tip of each branch (kind and ref), or the reason why it has none. Queries the git repository once
    /// for all branches. Does not query a repository that holds none of them, or again after it could not be reached.
    pub async fn tips(&self, branches: &[(SourceKind, &str)]) -> Vec<Result<Tip, String>> {
        let in_git = branches.iter().filter(|(kind, _)| *kind == SourceKind::Git);
        let references: Vec<String> = in_git.map(|(_, reference)| (*reference).to_owned()).collect();
        let mut git_tips = match references.is_empty() {
            true => Ok(Vec::new().into_iter()),
            false => self.mirror.tips(&references).await.map(Vec::into_iter),
        };
        let mut unreachable: Option<String> = None;
        let mut tips = Vec::with_capacity(branches.len());
        for (kind, reference) in branches {
            tips.push(match (kind, &mut git_tips, &unreachable) {
                (SourceKind::Git, Err(error), _) => Err(error.to_string()),
                (SourceKind::Git, Ok(found), _) => found.next().flatten().map(Tip::Git).ok_or_else(|| {
                    let (reference, url) = ((*reference).to_owned(), self.mirror.url().clone());
                    GitError::NoRef { reference, url }.to_string()
                }),
                (SourceKind::Svn, _, Some(problem)) => Err(problem.clone()),
                (SourceKind::Svn, _, None) => {
                    let tip = self.svn.tip(reference).await;
                    if let Err(SvnError::Unreachable { .. } | SvnError::NotRun(_)) = &tip {
                        unreachable = tip.as_ref().err().map(SvnError::to_string);
                    }
                    tip.map(Tip::Svn).map_err(|error| error.to_string())
                }
            });
        }
        tips
    }

    /// Copies a tip into the mirror and returns the id of its newest revision.
    pub async fn fetch(&self, branch: &str, tip: &Tip) -> Result<String, SvnError> {
        match tip {
            Tip::Git(tip) => Ok(self.mirror.fetch(branch, tip).await?),
            Tip::Svn(tip) => {
                let newest = self.svn.newest(tip, 1).await?.pop();
                let entry = newest.ok_or_else(|| SvnError::NoFolder {
                    path: tip.folder.path.clone(),
                    url: tip.url.clone(),
                })?;
                self.svn.import(&self.mirror, tip, &entry).await
            }
        }
    }

    /// Imports a Subversion revision by its number and returns its id. Returns `None` if it is not on this branch.
    pub async fn fetch_number(&self, branch: &BranchSettings, number: u64) -> Result<Option<String>, SvnError> {
        let tip = self.svn.tip(&branch.reference).await?;
        match self.svn.at(&tip, number).await? {
            Some(entry) => Ok(Some(self.svn.import(&self.mirror, &tip, &entry).await?)),
            None => Ok(None),
        }
    }

    /// Returns whether a revision is on a branch. The revision has to be in the mirror.
    pub async fn is_on(&self, sha: &str, svn: Option<&SvnRevision>, branch: &BranchSettings) -> bool {
        match (self.kind(branch), svn) {
            (SourceKind::Svn, Some(svn)) => {
                let path = &svn.folder.path;
                *path == branch.reference || path.ends_with(&format!("/{}", branch.reference))
            }
            (SourceKind::Git, None) => {
                let tip = format!("refs/pybots/{}", branch.name);
                self.mirror.lost(&tip, sha).await.is_ok_and(|lost| lost.is_empty())
            }
            _ => false,
        }
    }

    /// Records that the mirror has the revisions of a Subversion folder up to this one.
    pub(super) async fn mark_imported(&self, tip: &svn::SvnTip, sha: &str) -> Result<(), SvnError> {
        Ok(self.mirror.set_svn_ref(&import::folder_key(tip), sha).await?)
    }

    /// Imports the revisions of a Subversion folder again if the mirror was lost. `stored` contains the number and id
    /// of each revision in the store, oldest first.
    pub(super) async fn restore(&self, tip: &svn::SvnTip, stored: &[(u64, String)]) -> Result<(), SvnError> {
        let Some((_, newest)) = stored.last() else {
            return Ok(());
        };
        if self.mirror.has_svn_ref(&import::folder_key(tip)).await {
            return Ok(());
        }
        tracing::info!(
            path = tip.folder.path,
            revisions = stored.len(),
            "the mirror lacks a Subversion folder; importing it again"
        );
        for (number, sha) in stored {
            if self.mirror.holds(sha).await {
                continue;
            }
            let found = match self.svn.at(tip, *number).await? {
                Some(entry) => Some(self.svn.import(&self.mirror, tip, &entry).await?),
                None => None,
            };
            if found.as_ref() != Some(sha) {
                // the message was edited, or $HeadURL$ has another address; the stored revision stays
                tracing::warn!(
                    number,
                    sha,
                    "the repository has another version of this revision; its sources can't be restored"
                );
            }
        }
        // marked last, so that the next pass continues an interrupted import
        let imported = match self.mirror.holds(newest).await {
            true => newest.clone(),
            false => self.fetch("", &Tip::Svn(tip.clone())).await?,
        };
        self.mark_imported(tip, &imported).await
    }
}
