//! The newest revision of each watched branch, for the head of the home page.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::RevisionId;
use crate::domain::state::ImageState;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::claims::parameters;
use crate::store::rows::from_row;
use crate::verdict::Cell;
use anyhow::Result;
use std::collections::BTreeMap;

/// The newest revision of a watched branch, as the default variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchHead {
    pub branch: String,
    pub id: RevisionId,
    pub sha: String,
    /// The name of a Subversion revision: `r45321`.
    pub label: Option<String>,
    pub subject: String,
    pub committed_at: Timestamp,
    /// The state of its image, or `None` if no image is planned.
    pub image: Option<ImageState>,
    /// Why no image can be built.
    pub reason: Option<String>,
}

from_row!(
    BranchHead, "revision" by "id":
    branch, id, sha, label, subject, committed_at, image, reason,
);

/// How many runs of a revision are in each state. `None` stands for runs that no attempt has ended.
pub type StateCounts = BTreeMap<Option<Cell>, usize>;

impl Store {
    /// Returns the newest revision of each watched branch, in the order of the branches. A branch without a revision is
    /// left out.
    pub async fn branch_heads(&self) -> Result<Vec<BranchHead>> {
        let sql = format!(
            "SELECT branch.name AS branch, revision.id, revision.sha, revision.label, revision.subject,
                    revision.committed_at, image.state AS image, planned.reason
             FROM branch
             JOIN revision ON revision.branch_id = branch.id AND revision.sha = branch.head AND revision.left_at IS NULL
             LEFT JOIN revision_image AS planned ON planned.revision_id = revision.id AND planned.variant = '{DEFAULT_VARIANT}'
             LEFT JOIN image ON image.id = planned.image_id
             WHERE branch.watched = 1 ORDER BY branch.position"
        );
        let mut heads: Vec<BranchHead> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?;
        // one revision has an image on each platform
        heads.dedup_by(|a, b| a.branch == b.branch);
        Ok(heads)
    }

    /// Counts the runs of revisions by their state, as the default variant.
    pub async fn state_counts(&self, revisions: &[&RevisionId]) -> Result<BTreeMap<RevisionId, StateCounts>> {
        let mut counts: BTreeMap<RevisionId, StateCounts> = BTreeMap::new();
        if revisions.is_empty() {
            return Ok(counts);
        }
        let sql = format!(
            "SELECT revision_id, cell_state, COUNT(*) FROM run
             WHERE revision_id IN ({}) AND variant = '{DEFAULT_VARIANT}' AND trial = 0 AND withdrawn IS NULL
               AND skip_reason IS NULL
             GROUP BY revision_id, cell_state",
            parameters(1, revisions.len())
        );
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        for revision in revisions {
            query = query.bind((*revision).clone());
        }
        let rows: Vec<(RevisionId, Option<Cell>, i64)> = query.fetch_all(self.pool()).await?;
        for (revision, state, count) in rows {
            let count = usize::try_from(count).unwrap_or(0);
            counts.entry(revision).or_default().insert(state, count);
        }
        Ok(counts)
    }
}
