//! Reads the new revisions of the watched branches and stores them in order, each exactly once.

pub mod git;
mod import;
pub mod recipes;
pub mod sources;
pub mod svn;
mod trailer;
mod xml;

use crate::config::{BranchSettings, SourceKind};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::branches::Branch;
use crate::store::revisions::{BranchMove, Insert, NewRevision};
use anyhow::Result;
use git::{GitError, Mirror};
use sources::{Sources, Tip};
use std::collections::BTreeSet;
use svn::SvnError;

/// The number of Subversion revisions that are imported before they are stored. Each revision is imported separately,
/// and a restart loses the imported revisions that are not stored yet.
const BATCH: u32 = 50;

/// More than the number of revisions that a branch of CPython has along first parents.
const ALL: u32 = 1_000_000;

/// Makes one pass over the repositories. Reads everything again from the store, so a pass that was missed, interrupted
/// or repeated does no harm. Returns the number of new revisions. A branch whose repository can't be read keeps the
/// reason in the store, and the other branches go on; only an error of the store fails the pass.
pub async fn tick(store: &Store, sources: &Sources, settings: &[BranchSettings], now: Timestamp) -> Result<usize> {
    match sources.mirror.make_if_missing().await {
        Ok(false) => {}
        Ok(true) => tracing::error!("the mirror was missing; copying the repositories again"),
        // the errors of the branches give the reason
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
        let next = match tip {
            // a branch in git moves to its tip in one step
            Tip::Git(tip) => next_git_move(store, &sources.mirror, &branch, tip, first)
                .await?
                .map(|branch_move| (branch_move, false)),
            Tip::Svn(tip) => next_svn_move(store, sources, &branch, tip, first).await?,
        };
        let Some((branch_move, more)) = next else {
            return Ok(found);
        };
        let seen = branch.head.as_deref();
        let moved = store.advance_branch(&branch.id, seen, &branch_move, now).await?;
        if !moved {
            return Ok(found);
        }
        let (new, left) = (branch_move.new.len(), branch_move.left.len());
        tracing::info!(branch = branch.name, new, left, head = branch_move.head, "branch moved");
        found += new;
        if !more {
            return Ok(found);
        }
        branch.head = Some(branch_move.head);
    }
}

/// Returns the move to a tip of git, or `None` if the branch is there already. Fetches the tip in either case if the
/// mirror lacks it.
async fn next_git_move(
    store: &Store,
    mirror: &Mirror,
    branch: &Branch,
    tip: &git::GitTip,
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
    let (new, left, insert) = match branch.head.as_deref() {
        Some(old) if let Some(new) = mirror.continued(&head, old).await => (new, Vec::new(), Insert::AfterAll),
        old => other_history(store, mirror, branch, &head, old, first).await?,
    };
    let mut revisions = Vec::with_capacity(new.len());
    for sha in &new {
        revisions.push(mirror.revision(sha).await?);
    }
    Ok(Some(BranchMove {
        head,
        new: revisions,
        insert,
        left,
    }))
}

/// Returns the revisions that a branch gains and loses when its new history does not continue the old head. This
/// happens if the branch was set back or got another history, if the mirror was lost, or on the first pass. Continues
/// after the newest stored revision of the new history if there is one. Otherwise begins with the newest `first`
/// revisions, so that the head is always a revision.
async fn other_history(
    store: &Store,
    mirror: &Mirror,
    branch: &Branch,
    head: &str,
    old: Option<&str>,
    first: u32,
) -> Result<(Vec<String>, Vec<String>, Insert)> {
    let on_branch = store.shas_on_branch(&branch.id).await?;
    if on_branch.is_empty() {
        return Ok((mirror.newest(head, first).await?, Vec::new(), Insert::AfterAll));
    }
    let history = mirror.newest(head, ALL).await?;
    let (from, insert) = match history.iter().rposition(|sha| on_branch.contains(sha)) {
        Some(index) => (index + 1, Insert::AfterAll),
        None => {
            let insert = match old {
                Some(old) if mirror.is_before(head, old).await => {
                    // the revisions in between are added when the branch moves forward again
                    let after = mirror.since(old, head).await?;
                    let between = after.iter().position(|sha| on_branch.contains(sha)).unwrap_or(0);
                    Insert::BeforeAll { between }
                }
                _ => Insert::AfterAll,
            };
            (history.len().saturating_sub(first as usize), insert)
        }
    };
    let stays: BTreeSet<&String> = history.iter().collect();
    let left = on_branch.iter().filter(|sha| !stays.contains(sha)).cloned().collect();
    Ok((history[from..].to_vec(), left, insert))
}

/// Returns the next batch of revisions of a Subversion folder, and whether more may follow. Returns `None` if there are
/// none. The store alone decides which revisions are new: numbers only grow, and a repository that was replaced has
/// another UUID.
async fn next_svn_move(
    store: &Store,
    sources: &Sources,
    branch: &Branch,
    tip: &svn::SvnTip,
    first: u32,
) -> Result<Option<(BranchMove, bool)>> {
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
    let more = entries.len() == BATCH as usize;
    let branch_move = BranchMove {
        head,
        new,
        insert: Insert::AfterAll,
        left: left.into_iter().collect(),
    };
    Ok(Some((branch_move, more)))
}
