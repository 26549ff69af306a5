//! Questions about the order of revisions in the mirror.

use super::{Mirror, Result};

/// A line of history that a merge brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedLine {
    /// Which parent of the merge it leads to, counted from 1. The first parent is the line that the others were merged into.
    pub parent: usize,
    /// The revision at which it diverged, and after it what the merge brought, oldest first.
    pub revisions: Vec<String>,
}

impl Mirror {
    /// Returns at most `most` revisions, the newest that lead to `head` by first parents, oldest first. `head` is the
    /// last of them. A merge is one revision.
    pub async fn newest(&self, head: &str, most: u32) -> Result<Vec<String>> {
        let most = format!("--max-count={most}");
        let list = self.git(&["rev-list", "--first-parent", &most, head]).await?;
        let mut shas: Vec<String> = list.lines().map(str::to_owned).collect();
        shas.reverse();
        Ok(shas)
    }

    /// Returns the revisions that lead to `head` by first parents and are not part of the history of `old`, oldest
    /// first.
    pub async fn since(&self, head: &str, old: &str) -> Result<Vec<String>> {
        let not = format!("^{old}");
        let list = self
            .git(&["rev-list", "--first-parent", "--reverse", head, &not])
            .await?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Returns the revisions after `old` up to `head`, oldest first, if first parents lead from `head` to `old`.
    /// Returns `None` if they do not, if the two are the same revision, or if the mirror lacks one of them.
    pub async fn continued(&self, head: &str, old: &str) -> Option<Vec<String>> {
        let new = self.since(head, old).await.ok()?;
        let parent = self
            .git(&["rev-parse", "--verify", &format!("{}^", new.first()?)])
            .await
            .ok()?;
        (parent.trim() == old).then_some(new)
    }

    /// Returns whether `old` is `new` or an ancestor of it. Returns `false` if the mirror lacks one of them.
    pub async fn is_before(&self, old: &str, new: &str) -> bool {
        self.git(&["merge-base", "--is-ancestor", old, new]).await.is_ok()
    }

    /// Returns the best common ancestor of two revisions, or `None` if they have none.
    pub async fn merge_base(&self, one: &str, other: &str) -> Option<String> {
        let base = self.git(&["merge-base", one, other]).await.ok()?;
        Some(base.trim().to_owned())
    }

    /// Returns the lines of history that a merge brought, at most one for each parent after the first. Lines that brought nothing are
    /// left out.
    pub async fn merged_lines(&self, merge: &str) -> Result<Vec<MergedLine>> {
        let parents = self.git(&["rev-list", "--parents", "--max-count=1", merge]).await?;
        let mut parents = parents.split_whitespace().skip(1).zip(1..);
        let Some((first, _)) = parents.next() else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        for (merged, parent) in parents {
            let Some(base) = self.merge_base(first, merged).await else {
                continue;
            };
            let mut revisions = self.since(merged, first).await?;
            if !revisions.is_empty() {
                revisions.insert(0, base);
                lines.push(MergedLine { parent, revisions });
            }
        }
        Ok(lines)
    }

    /// Returns the revisions of `old` that are not in `head`. There are none unless history was rewritten.
    pub async fn lost(&self, head: &str, old: &str) -> Result<Vec<String>> {
        let not = format!("^{head}");
        let list = self.git(&["rev-list", old, &not]).await?;
        Ok(list.lines().map(str::to_owned).collect())
    }
}
