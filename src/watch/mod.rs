//! New check-ins of the watched branches become revision rows: in order, none skipped, none twice.

pub mod git;

use crate::config::BranchSettings;
use crate::store::Store;
use crate::store::branches::Branch;
use anyhow::Result;
use git::{GitError, Mirror, Tip};

/// One look at the repository. Everything is reread from the store, so a tick that was missed, cut
/// short or repeated changes nothing in the end. Returns how many revisions are new.
pub async fn tick(store: &Store, mirror: &Mirror, settings: &[BranchSettings], now: i64) -> Result<usize> {
    let branches = store.watched_branches().await?;
    let references: Vec<String> = branches.iter().map(|branch| branch.reference.clone()).collect();
    let tips = match mirror.tips(&references).await {
        Ok(tips) => tips,
        Err(error) => {
            let problem = error.to_string();
            tracing::warn!(problem, "failed to look at the repository; trying again later");
            for branch in &branches {
                store.branch_checked(&branch.id, now, Some(&problem)).await?;
            }
            return Ok(0);
        }
    };
    let mut found = 0;
    for (branch, tip) in branches.iter().zip(tips) {
        let first = settings.iter().find(|s| s.name == branch.name).map_or(1, |s| s.first);
        let looked = match tip {
            None => Err(GitError::NoRef {
                reference: branch.reference.clone(),
                url: mirror.url().to_owned(),
            }),
            Some(tip) if branch.head.as_deref() == Some(tip.sha.as_str()) => Ok(0),
            Some(tip) => match advance(store, mirror, branch, &tip, first, now).await {
                Ok(new) => Ok(new),
                Err(error) => Err(error.downcast::<GitError>()?),
            },
        };
        match looked {
            Ok(new) => {
                found += new;
                store.branch_checked(&branch.id, now, None).await?;
            }
            Err(error) => {
                let problem = error.to_string();
                if branch.problem.as_deref() != Some(&problem) {
                    tracing::warn!(branch = branch.name, problem, "failed to watch the branch");
                }
                store.branch_checked(&branch.id, now, Some(&problem)).await?;
            }
        }
    }
    Ok(found)
}

/// Moves one branch to its tip. Errors are [`GitError`] or the store's.
async fn advance(store: &Store, mirror: &Mirror, branch: &Branch, tip: &Tip, first: u32, now: i64) -> Result<usize> {
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
    let moved = store
        .advance_branch(&branch.id, branch.head.as_deref(), &head, &check_ins, &left, now)
        .await?;
    if moved {
        tracing::info!(
            branch = branch.name,
            new = check_ins.len(),
            left = left.len(),
            head,
            "branch moved"
        );
    }
    Ok(if moved { check_ins.len() } else { 0 })
}
