//! New check-ins of the watched branches become revision rows: in order, none skipped, none twice.

pub mod git;
mod import;
pub mod sources;
pub mod svn;

use crate::config::{BranchSettings, Kind};
use crate::store::Store;
use crate::store::branches::Branch;
use crate::store::revisions::CheckIn;
use anyhow::Result;
use git::{GitError, Mirror};
use sources::{Sources, Tip};
use svn::SvnError;

/// Check-ins of Subversion that become rows together. Each has to be fetched by itself: what a
/// restart throws away is to be little.
const PORTION: u32 = 50;

/// One look at the repositories. Everything is reread from the store, so a tick that was missed, cut
/// short or repeated changes nothing in the end. Returns how many revisions are new.
pub async fn tick(store: &Store, sources: &Sources, settings: &[BranchSettings], now: i64) -> Result<usize> {
    let branches = store.watched_branches().await?;
    let set = |branch: &Branch| settings.iter().find(|s| s.name == branch.name);
    let kinds: Vec<(Kind, &str)> = branches
        .iter()
        .map(|branch| {
            (
                set(branch).map_or(Kind::Git, |s| sources.kind(s)),
                branch.reference.as_str(),
            )
        })
        .collect();
    let tips = sources.tips(&kinds).await;
    let mut found = 0;
    for (branch, tip) in branches.iter().zip(tips) {
        let first = set(branch).map_or(1, |s| s.first);
        let looked = match tip {
            Err(problem) => Err(problem),
            Ok(tip) => match advance(store, sources, branch, &tip, first, now).await {
                Ok(new) => Ok(new),
                Err(error) if error.is::<GitError>() || error.is::<SvnError>() => Err(error.to_string()),
                Err(error) => return Err(error),
            },
        };
        match looked {
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

/// How a branch gets nearer to its tip.
struct Step {
    head: String,
    new: Vec<CheckIn>,
    /// Rows that are no longer on the branch.
    left: Vec<String>,
    /// Whether another step may be needed.
    more: bool,
}

/// Moves one branch to its tip. Errors are [`GitError`], [`SvnError`] or the store's.
async fn advance(store: &Store, sources: &Sources, branch: &Branch, tip: &Tip, first: u32, now: i64) -> Result<usize> {
    let mut branch = branch.clone();
    let mut found = 0;
    loop {
        let step = match tip {
            Tip::Git(tip) => git_step(store, &sources.mirror, &branch, tip, first).await?,
            Tip::Svn(tip) => svn_step(store, sources, &branch, tip, first).await?,
        };
        let Some(step) = step else { return Ok(found) };
        let moved = store
            .advance_branch(
                &branch.id,
                branch.head.as_deref(),
                &step.head,
                &step.new,
                &step.left,
                now,
            )
            .await?;
        if !moved {
            return Ok(found);
        }
        let (new, left) = (step.new.len(), step.left.len());
        tracing::info!(branch = branch.name, new, left, head = step.head, "branch moved");
        found += new;
        if !step.more {
            return Ok(found);
        }
        branch.head = Some(step.head);
    }
}

/// The whole way to a tip of git.
async fn git_step(store: &Store, mirror: &Mirror, branch: &Branch, tip: &git::Tip, first: u32) -> Result<Option<Step>> {
    if branch.head.as_deref() == Some(tip.sha.as_str()) {
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
        // Another history, or a mirror that was made anew: go back to what is known, else begin again.
        None => {
            let line = mirror.newest(&head, 100_000).await?;
            let known = line.iter().rposition(|sha| on_branch.contains(sha));
            let from = known.map_or(line.len().saturating_sub(first as usize), |at| at + 1);
            let left = on_branch.iter().filter(|sha| !line.contains(sha)).cloned().collect();
            (line[from..].to_vec(), left)
        }
    };
    let mut check_ins = Vec::with_capacity(new.len());
    for sha in &new {
        check_ins.push(mirror.check_in(sha).await?);
    }
    Ok(Some(Step {
        head,
        new: check_ins,
        left,
        more: false,
    }))
}

/// The next portion of a line of Subversion. Which of its check-ins are known is in the store alone:
/// numbers only grow, and a repository that was replaced has another UUID, hence another line.
async fn svn_step(
    store: &Store,
    sources: &Sources,
    branch: &Branch,
    tip: &svn::Tip,
    first: u32,
) -> Result<Option<Step>> {
    let known = store.on_line(&branch.id, &tip.line).await?;
    let entries = match known.last() {
        Some((seen, _)) => {
            sources.restore(tip, &known).await?;
            sources.svn.since(tip, *seen, PORTION).await?
        }
        None => {
            tracing::info!(branch = branch.name, "copying the branch for the first time");
            sources.svn.newest(tip, first).await?
        }
    };
    let mut head = known.last().map(|(_, sha)| sha.clone());
    let mut new = Vec::with_capacity(entries.len());
    for entry in &entries {
        let sha = sources.svn.import(&sources.mirror, tip, entry).await?;
        let parent = head.replace(sha.clone());
        new.push(CheckIn {
            parent,
            ..sources.mirror.check_in(&sha).await?
        });
    }
    let Some(head) = head else { return Ok(None) };
    let on_line = |sha: &String| known.iter().any(|(_, k)| k == sha) || new.iter().any(|check_in| check_in.sha == *sha);
    let mut left = store.shas_on_branch(&branch.id).await?;
    left.retain(|sha| !on_line(sha));
    if new.is_empty() && left.is_empty() && branch.head.as_deref() == Some(&head) {
        return Ok(None);
    }
    sources.keep(tip, &head).await?;
    Ok(Some(Step {
        head,
        more: entries.len() == PORTION as usize,
        new,
        left: left.into_iter().collect(),
    }))
}
