//! The repositories that branches are in, and the one mirror that holds the check-ins of all.

use super::git::{self, GitError, Mirror};
use super::import;
use super::svn::{self, Svn, SvnError};
use crate::config::{BranchSettings, Kind, SourceSettings};
use crate::domain::place::Place;
use std::path::Path;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    pub mirror: Mirror,
    pub svn: Svn,
    settings: SourceSettings,
}

/// Where a branch stands in its repository.
#[derive(Clone, Debug)]
pub enum Tip {
    Git(git::Tip),
    Svn(svn::Tip),
}

impl Sources {
    /// Opens the mirror, and the place of working copies, in the data folder. No repository is asked.
    pub async fn open(data: &Path, settings: &SourceSettings) -> Result<Self, GitError> {
        Ok(Self {
            mirror: Mirror::open(&data.join("mirror.git"), &settings.git).await?,
            svn: Svn::new(&settings.svn, &data.join("svn")),
            settings: settings.clone(),
        })
    }

    /// What keeps a branch, and where.
    pub fn kind(&self, branch: &BranchSettings) -> Kind {
        self.settings.kind(branch)
    }

    pub fn url(&self, branch: &BranchSettings) -> &str {
        self.settings.of(branch)
    }

    /// The tips of branches (kind and ref), or what is wrong with each. git is asked once for all of
    /// them; a repository without a branch is not asked, nor is one again that did not answer.
    pub async fn tips(&self, branches: &[(Kind, &str)]) -> Vec<Result<Tip, String>> {
        let in_git = branches.iter().filter(|(kind, _)| *kind == Kind::Git);
        let references: Vec<String> = in_git.map(|(_, reference)| (*reference).to_owned()).collect();
        let mut git_tips = match references.is_empty() {
            true => Ok(Vec::new().into_iter()),
            false => self.mirror.tips(&references).await.map(Vec::into_iter),
        };
        let mut away: Option<String> = None;
        let mut tips = Vec::with_capacity(branches.len());
        for (kind, reference) in branches {
            tips.push(match (kind, &mut git_tips, &away) {
                (Kind::Git, Err(error), _) => Err(error.to_string()),
                (Kind::Git, Ok(found), _) => found.next().flatten().map(Tip::Git).ok_or_else(|| {
                    let (reference, url) = ((*reference).to_owned(), self.mirror.url().to_owned());
                    GitError::NoRef { reference, url }.to_string()
                }),
                (Kind::Svn, _, Some(problem)) => Err(problem.clone()),
                (Kind::Svn, _, None) => {
                    let tip = self.svn.tip(reference).await;
                    if let Err(SvnError::Unreachable { .. } | SvnError::NotRun(_)) = &tip {
                        away = tip.as_ref().err().map(SvnError::to_string);
                    }
                    tip.map(Tip::Svn).map_err(|error| error.to_string())
                }
            });
        }
        tips
    }

    /// Copies what a tip needs and returns its newest check-in.
    pub async fn fetch(&self, branch: &str, tip: &Tip) -> Result<String, SvnError> {
        match tip {
            Tip::Git(tip) => Ok(self.mirror.fetch(branch, tip).await?),
            Tip::Svn(tip) => {
                let newest = self.svn.newest(tip, 1).await?.pop();
                let entry = newest.ok_or_else(|| SvnError::NoFolder {
                    path: tip.line.path.clone(),
                    url: tip.url.clone(),
                })?;
                self.svn.import(&self.mirror, tip, &entry).await
            }
        }
    }

    /// Copies the check-in of a number, if it is one on this branch.
    pub async fn fetch_number(&self, branch: &BranchSettings, number: u64) -> Result<Option<String>, SvnError> {
        let tip = self.svn.tip(&branch.reference).await?;
        match self.svn.at(&tip, number).await? {
            Some(entry) => Ok(Some(self.svn.import(&self.mirror, &tip, &entry).await?)),
            None => Ok(None),
        }
    }

    /// Whether a check-in was made on a branch; only one that is in the mirror is known.
    pub async fn is_on(&self, sha: &str, place: Option<&Place>, branch: &BranchSettings) -> bool {
        match (self.kind(branch), place) {
            (Kind::Svn, Some(place)) => {
                let path = &place.line.path;
                *path == branch.reference || path.ends_with(&format!("/{}", branch.reference))
            }
            (Kind::Git, None) => {
                let tip = format!("refs/pybots/{}", branch.name);
                self.mirror.lost(&tip, sha).await.is_ok_and(|lost| lost.is_empty())
            }
            _ => false,
        }
    }

    /// Notes that the mirror has a line up to a check-in.
    pub(super) async fn keep(&self, tip: &svn::Tip, sha: &str) -> Result<(), SvnError> {
        Ok(self.mirror.keep(&import::key(tip), sha).await?)
    }

    /// Imports check-ins of a line that are known (numbers and ids, oldest first), but which a mirror
    /// that was made anew does not have.
    pub(super) async fn restore(&self, tip: &svn::Tip, known: &[(u64, String)]) -> Result<(), SvnError> {
        let line = import::key(tip);
        let Some((_, newest)) = known.last() else { return Ok(()) };
        if self.mirror.keeps(&line).await {
            return Ok(());
        }
        tracing::info!(
            path = tip.line.path,
            known = known.len(),
            "the mirror lacks a line; copying it again"
        );
        for (number, sha) in known {
            if self.mirror.holds(sha).await {
                continue;
            }
            let found = match self.svn.at(tip, *number).await? {
                Some(entry) => Some(self.svn.import(&self.mirror, tip, &entry).await?),
                None => None,
            };
            if found.as_ref() != Some(sha) {
                // a message that was changed, or another address in $HeadURL$: the row stays
                tracing::warn!(
                    number,
                    sha,
                    "a check-in is not what it was, its sources can't be had again"
                );
            }
        }
        // last, so that a restart goes on where this was cut short
        let kept = match self.mirror.holds(newest).await {
            true => newest.clone(),
            false => self.fetch("", &Tip::Svn(tip.clone())).await?,
        };
        self.keep(tip, &kept).await
    }
}
