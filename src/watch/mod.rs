//! Reads the new revisions of the watched branches and stores them: in order, none skipped, none twice.

pub mod git;
mod import;
pub mod sources;
pub mod svn;
mod trailer;
mod xml;

use crate::config::{BranchSettings, SourceKind};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::branches::Branch;
use crate::store::revisions::NewRevision;
use anyhow::Result;
use git::{GitError, Mirror};
use sources::{Sources, Tip};
use svn::SvnError;

/// Subversion revisions that are imported before they are stored. Each one is imported separately, and a restart loses
/// those that are not stored yet.
const BATCH: u32 = 50;

/// Asks the repositories once. Everything is reread from the store, so a tick that was missed, interrupted or repeated
/// does no harm. Returns the number of new revisions.
pub async fn tick(store: &Store, sources: &Sources, settings: &[BranchSettings], now: Timestamp) -> Result<usize> {
    match sources.mirror.make_if_missing().await {
        Ok(false) => {}
        Ok(true) => tracing::error!("the mirror was missing; copying the repositories again"),
        // the branches say the reason
        Err(error) => tracing::error!(%error, "failed to make the mirror anew"),
    }
    let branches = store.watched_branches().await?;
    let set = |branch: &Branch| settings.iter().find(|s| s.name == branch.name);
    let kinds: Vec<(SourceKind, &str)> = branches
        .iter()
        .map(|branch| {
            (
                set(branch).map_or(SourceKind::Git, |s| sources.kind(s)),
                branch.reference.as_str(),
            )
        })
        .collect();
    let tips = sources.tips(&kinds).await;
    let mut found = 0;
    for (branch, tip) in branches.iter().zip(tips) {
        let first = set(branch).map_or(1, |s| s.first);
        let advanced = match tip {
            Err(problem) => Err(problem),
            Ok(tip) => match advance(store, sources, branch, &tip, first, now).await {
                Ok(new) => Ok(new),
                Err(error) if error.is::<GitError>() || error.is::<SvnError>() => Err(error.to_string()),
                Err(error) => return Err(error),
            },
        };
        match advanced {
            Ok(new) => {
                found += new;
                store.branch_checked(&branch.id, now, None).await?;
            }
            Err(problem) => {
                if branch.problem.as_deref() != Some(&problem) {
                    tracing::warn!(
                        branch = branch.name,
                        problem,
                        "failed to watch the branch; trying again later"
                    );
                }
                store.branch_checked(&branch.id, now, Some(&problem)).await?;
            }
        }
    }
    Ok(found)
}

/// How a branch moves towards its tip.
struct BranchMove {
    /// The id of the newest revision after the move.
    head: String,
    /// The new revisions, oldest first.
    new: Vec<NewRevision>,
    /// The ids of revisions that are no longer on the branch.
    left: Vec<String>,
    /// Whether the tip may need another move.
    more: bool,
}

/// Moves one branch to its tip and returns the number of new revisions. Errors are [`GitError`], [`SvnError`] or the
/// store's.
async fn advance(
    store: &Store,
    sources: &Sources,
    branch: &Branch,
    tip: &Tip,
    first: u32,
    now: Timestamp,
) -> Result<usize> {
    let mut branch = branch.clone();
    let mut found = 0;
    loop {
        let branch_move = match tip {
            Tip::Git(tip) => next_git_move(store, &sources.mirror, &branch, tip, first).await?,
            Tip::Svn(tip) => next_svn_move(store, sources, &branch, tip, first).await?,
        };
        let Some(branch_move) = branch_move else {
            return Ok(found);
        };
        let moved = store
            .advance_branch(
                &branch.id,
                branch.head.as_deref(),
                &branch_move.head,
                &branch_move.new,
                &branch_move.left,
                now,
            )
            .await?;
        if !moved {
            return Ok(found);
        }
        let (new, left) = (branch_move.new.len(), branch_move.left.len());
        tracing::info!(branch = branch.name, new, left, head = branch_move.head, "branch moved");
        found += new;
        if !branch_move.more {
            return Ok(found);
        }
        branch.head = Some(branch_move.head);
    }
}

/// The move to a tip of git. Returns `None` if the branch is there already.
async fn next_git_move(
    store: &Store,
    mirror: &Mirror,
    branch: &Branch,
    tip: &git::Tip,
    first: u32,
) -> Result<Option<BranchMove>> {
    if branch.head.as_deref() == Some(tip.sha.as_str()) {
        if !mirror.holds(&tip.sha).await {
            mirror.fetch(&branch.name, tip).await?;
        }
        return Ok(None);
    }
    if branch.head.is_none() {
        tracing::info!(branch = branch.name, "copying the branch for the first time");
    }
    let head = mirror.fetch(&branch.name, tip).await?;
    let on_branch = store.shas_on_branch(&branch.id).await?;
    let old = match branch.head.as_deref() {
        Some(old) if mirror.related(&head, old).await => Some(old),
        _ => None,
    };
    let (new, left) = match old {
        Some(old) => {
            let lost = mirror.lost(&head, old).await?;
            let left = lost.into_iter().filter(|sha| on_branch.contains(sha)).collect();
            (mirror.since(&head, old).await?, left)
        }
        None if on_branch.is_empty() => (mirror.newest(&head, first).await?, Vec::new()),
        // The branch has an unrelated history, or the mirror was lost: continue after the newest stored revision if there is
        // one, otherwise begin again.
        None => {
            let history = mirror.newest(&head, 100_000).await?;
            let stored = history.iter().rposition(|sha| on_branch.contains(sha));
            let from = stored.map_or(history.len().saturating_sub(first as usize), |index| index + 1);
            let left = on_branch.iter().filter(|sha| !history.contains(sha)).cloned().collect();
            (history[from..].to_vec(), left)
        }
    };
    let mut revisions = Vec::with_capacity(new.len());
    for sha in &new {
        revisions.push(mirror.revision(sha).await?);
    }
    Ok(Some(BranchMove {
        head,
        new: revisions,
        left,
        more: false,
    }))
}

/// The next batch of revisions of a Subversion folder. Returns `None` if there are none. The store alone decides which
/// revisions are new: their numbers only grow, and a repository that was replaced has another UUID.
async fn next_svn_move(
    store: &Store,
    sources: &Sources,
    branch: &Branch,
    tip: &svn::Tip,
    first: u32,
) -> Result<Option<BranchMove>> {
    let stored = store.in_svn_folder(&branch.id, &tip.folder).await?;
    let entries = match stored.last() {
        Some((seen, _)) => {
            sources.restore(tip, &stored).await?;
            sources.svn.since(tip, *seen, BATCH).await?
        }
        None => {
            tracing::info!(branch = branch.name, "copying the branch for the first time");
            sources.svn.newest(tip, first).await?
        }
    };
    let mut head = stored.last().map(|(_, sha)| sha.clone());
    let mut new = Vec::with_capacity(entries.len());
    for entry in &entries {
        let sha = sources.svn.import(&sources.mirror, tip, entry).await?;
        let parent = head.replace(sha.clone());
        new.push(NewRevision {
            parent,
            ..sources.mirror.revision(&sha).await?
        });
    }
    let Some(head) = head else { return Ok(None) };
    let in_folder =
        |sha: &String| stored.iter().any(|(_, other)| other == sha) || new.iter().any(|revision| revision.sha == *sha);
    let mut left = store.shas_on_branch(&branch.id).await?;
    left.retain(|sha| !in_folder(sha));
    if new.is_empty() && left.is_empty() && branch.head.as_deref() == Some(&head) {
        return Ok(None);
    }
    sources.mark_imported(tip, &head).await?;
    Ok(Some(BranchMove {
        head,
        more: entries.len() == BATCH as usize,
        new,
        left: left.into_iter().collect(),
    }))
}
