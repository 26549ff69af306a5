//! How check-ins follow each other.

use super::{Mirror, Result};

impl Mirror {
    /// Whether two check-ins have any history in common; not if one of them is gone.
    pub async fn related(&self, one: &str, other: &str) -> bool {
        self.git(&["merge-base", one, other]).await.is_ok()
    }

    /// The newest check-ins of a line, oldest first. A merge is one check-in.
    pub async fn newest(&self, head: &str, most: u32) -> Result<Vec<String>> {
        let most = format!("--max-count={most}");
        let list = self.git(&["rev-list", "--first-parent", &most, head]).await?;
        let mut shas: Vec<String> = list.lines().map(str::to_owned).collect();
        shas.reverse();
        Ok(shas)
    }

    /// The check-ins of a line that `old` does not have, oldest first.
    pub async fn since(&self, head: &str, old: &str) -> Result<Vec<String>> {
        let not = format!("^{old}");
        let list = self
            .git(&["rev-list", "--first-parent", "--reverse", head, &not])
            .await?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Whether `old` is among what led to `new`.
    pub async fn is_before(&self, old: &str, new: &str) -> bool {
        self.git(&["merge-base", "--is-ancestor", old, new]).await.is_ok()
    }

    /// The check-in from which two lines went apart.
    pub async fn parting(&self, one: &str, other: &str) -> Option<String> {
        let base = self.git(&["merge-base", one, other]).await.ok()?;
        Some(base.trim().to_owned())
    }

    /// What a merge brought, oldest first, after the check-in at which its line left. None: it is no merge.
    pub async fn brought(&self, merge: &str) -> Result<Option<Vec<String>>> {
        let parents = self.git(&["rev-list", "--parents", "--max-count=1", merge]).await?;
        let mut parents = parents.split_whitespace().skip(1);
        let (Some(line), Some(other)) = (parents.next(), parents.next()) else {
            return Ok(None);
        };
        let Some(base) = self.parting(line, other).await else {
            return Ok(None);
        };
        let mut brought = self.since(other, line).await?;
        brought.insert(0, base);
        Ok((brought.len() > 1).then_some(brought))
    }

    /// What `old` has and `head` does not: empty unless history was rewritten.
    pub async fn lost(&self, head: &str, old: &str) -> Result<Vec<String>> {
        let not = format!("^{head}");
        let list = self.git(&["rev-list", old, &not]).await?;
        Ok(list.lines().map(str::to_owned).collect())
    }
}
