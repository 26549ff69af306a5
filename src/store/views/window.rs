//! Windows of revisions: which of them a page shows, and the query that reads them.

use super::assemble::RevisionRow;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::RevisionId;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::search::words_of_revision;
use anyhow::Result;

/// The revisions that a matrix shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The revisions of all watched branches, each branch in the order of its history, merged by the time of the
    /// commit.
    All,
    /// The revisions of one branch, watched or not, in the order of its history.
    Branch(String),
}

/// The revisions to read: a condition on the tables `revision` and `branch`, with its parameters.
pub(super) struct Window {
    pub condition: String,
    pub order: &'static str,
    pub texts: Vec<String>,
    pub limit: i64,
}

pub(super) const BY_TIME: &str = "revision.listed_at DESC, revision.id DESC";
pub(super) const BY_BRANCH: &str = "branch.position, revision.seq DESC";

impl Window {
    /// Creates a window of the newest revisions of a scope that are older than `before`.
    pub fn of(scope: &Scope, limit: i64, before: Option<&RevisionId>) -> Self {
        let (mut condition, order, mut texts) = match scope {
            Scope::All => (
                "revision.left_at IS NULL AND branch.watched = 1".to_owned(),
                BY_TIME,
                Vec::new(),
            ),
            Scope::Branch(name) => (
                "revision.left_at IS NULL AND branch.name = $1".to_owned(),
                "revision.seq DESC",
                vec![name.clone()],
            ),
        };
        if let Some(before) = before {
            let parameter = texts.len() + 1;
            condition += &match scope {
                Scope::All => format!(
                    " AND (revision.listed_at, revision.id) <
                          (SELECT edge.listed_at, edge.id FROM revision AS edge WHERE edge.id = ${parameter})"
                ),
                Scope::Branch(_) => {
                    format!(" AND revision.seq < (SELECT edge.seq FROM revision AS edge WHERE edge.id = ${parameter})")
                }
            };
            texts.push(before.to_string());
        }
        Self {
            condition,
            order,
            texts,
            limit,
        }
    }

    /// Keeps the revisions with all the words of a text. A text without words keeps all.
    pub fn about(mut self, text: Option<&str>) -> Self {
        let found = text.and_then(|text| words_of_revision(text, self.texts.len() + 1));
        if let Some((condition, texts)) = found {
            self.condition += &format!(" AND {condition}");
            self.texts.extend(texts);
        }
        self
    }

    pub fn simple(condition: &str, order: &'static str, text: &str, limit: i64) -> Self {
        Self {
            condition: condition.to_owned(),
            order,
            texts: vec![text.to_owned()],
            limit,
        }
    }
}

impl Store {
    /// Returns the oldest revision of a scope that was listed at `time` or later.
    pub async fn first_since(&self, scope: &Scope, time: Timestamp) -> Result<Option<RevisionId>> {
        let (condition, branch) = match scope {
            Scope::All => ("branch.watched = 1", ""),
            Scope::Branch(name) => ("branch.name = $2", name.as_str()),
        };
        let sql = format!(
            "SELECT revision.id FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE {condition} AND revision.left_at IS NULL AND revision.listed_at >= $1
             ORDER BY revision.listed_at, revision.id LIMIT 1"
        );
        let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(time);
        if !branch.is_empty() {
            query = query.bind(branch);
        }
        Ok(query.fetch_optional(self.pool()).await?)
    }

    pub(super) async fn window(&self, window: &Window) -> Result<Vec<RevisionRow>> {
        let Window {
            condition,
            order,
            texts,
            limit,
        } = window;
        let sql = format!(
            "WITH picked AS (
                 SELECT revision.id FROM revision JOIN branch ON branch.id = revision.branch_id
                 WHERE {condition} ORDER BY {order} LIMIT ${})
             SELECT revision.id, branch.name AS branch, revision.sha, revision.subject, revision.author,
                    revision.committed_at, revision.version, revision.left_at, revision.planned_at, revision.label,
                    planned.variant, planned.platform, planned.reason,
                    image.id AS image_id, image.state AS image_state, image.facts, built.sha AS built_sha,
                    built.label AS built_label, building.state AS job_state,
                    building.group_id, building.not_before
             FROM picked
             JOIN revision ON revision.id = picked.id
             JOIN branch ON branch.id = revision.branch_id
             LEFT JOIN revision_image AS planned ON planned.revision_id = revision.id
             LEFT JOIN image ON image.id = planned.image_id
             LEFT JOIN revision AS built ON built.id = image.revision_id
             LEFT JOIN job AS building ON building.image_id = image.id AND building.state <> 'finished'
             ORDER BY {order}, CASE WHEN planned.variant = '{DEFAULT_VARIANT}' THEN 0 ELSE 1 END, planned.variant,
                      planned.platform",
            texts.len() + 1
        );
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        for text in texts {
            query = query.bind(text.clone());
        }
        Ok(query.bind(*limit).fetch_all(self.pool()).await?)
    }
}
