//! Check-ins.

use super::{Store, new_id};
use crate::domain::place::{Line, Place, number};
use anyhow::Result;
use sqlx::FromRow;
use std::collections::BTreeSet;

/// A check-in as the repository tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckIn {
    pub sha: String,
    /// The repository's id of its tree.
    pub tree: String,
    pub parent: Option<String>,
    pub author: String,
    pub subject: String,
    pub committed_at: i64,
    /// Of the tree, where it has one.
    pub version: Option<String>,
    /// Where Subversion has it; None for one of git.
    pub place: Option<Place>,
}

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Revision {
    pub id: String,
    pub branch_id: String,
    pub branch: String,
    pub seq: i64,
    pub sha: String,
    pub tree: String,
    pub author: String,
    pub subject: String,
    pub committed_at: i64,
    pub version: Option<String>,
    /// When a force-push took it off the branch.
    pub left_at: Option<i64>,
    /// What people call it, `r45321`, if it is one of Subversion.
    pub label: Option<String>,
}

impl Revision {
    /// A check-in that is no row of the store.
    pub fn of(branch: &str, check_in: CheckIn) -> Self {
        Self {
            id: String::new(),
            branch_id: String::new(),
            branch: branch.to_owned(),
            seq: 0,
            sha: check_in.sha,
            tree: check_in.tree,
            author: check_in.author,
            subject: check_in.subject,
            committed_at: check_in.committed_at,
            version: check_in.version,
            left_at: None,
            label: check_in.place.as_ref().map(Place::label),
        }
    }

    /// Its label, or else the id.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }
}

pub(super) const COLUMNS: &str = "revision.id, revision.branch_id, branch.name AS branch, revision.seq, revision.sha, \
     revision.tree, revision.author, revision.subject, revision.committed_at, revision.version, revision.left_at, \
     revision.label";

impl Store {
    /// Moves a branch to a new head: adds its new check-ins (oldest first), marks `left` as gone and
    /// takes back rows that a force-push brought in again. One transaction, guarded by the head that
    /// the caller saw: false means somebody else was faster, and nothing was changed.
    pub async fn advance_branch(
        &self,
        branch_id: &str,
        seen_head: Option<&str>,
        head: &str,
        new: &[CheckIn],
        left: &[String],
        now: i64,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let moved =
            sqlx::query("UPDATE branch SET head = $1 WHERE id = $2 AND (head = $3 OR (head IS NULL AND $3 IS NULL))")
                .bind(head)
                .bind(branch_id)
                .bind(seen_head)
                .execute(&mut *tx)
                .await?;
        if moved.rows_affected() != 1 {
            return Ok(false);
        }
        for sha in left {
            sqlx::query("UPDATE revision SET left_at = $1 WHERE branch_id = $2 AND sha = $3 AND left_at IS NULL")
                .bind(now)
                .bind(branch_id)
                .bind(sha)
                .execute(&mut *tx)
                .await?;
        }
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM revision WHERE branch_id = $1")
            .bind(branch_id)
            .fetch_one(&mut *tx)
            .await?;
        let mut seq = last.unwrap_or(0);
        for check_in in new {
            seq += 1;
            sqlx::query(
                "INSERT INTO revision (id, branch_id, seq, sha, tree, parent, author, subject, committed_at, version, discovered_at, label, line)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                 ON CONFLICT (branch_id, sha) DO UPDATE SET left_at = NULL",
            )
            .bind(new_id())
            .bind(branch_id)
            .bind(seq)
            .bind(&check_in.sha)
            .bind(&check_in.tree)
            .bind(&check_in.parent)
            .bind(&check_in.author)
            .bind(&check_in.subject)
            .bind(check_in.committed_at)
            .bind(&check_in.version)
            .bind(now)
            .bind(check_in.place.as_ref().map(Place::label))
            .bind(check_in.place.as_ref().map(|place| place.line.to_string()))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The check-ins that are rows of a branch and on it.
    pub async fn shas_on_branch(&self, branch_id: &str) -> Result<BTreeSet<String>> {
        let shas: Vec<String> = sqlx::query_scalar("SELECT sha FROM revision WHERE branch_id = $1 AND left_at IS NULL")
            .bind(branch_id)
            .fetch_all(self.pool())
            .await?;
        Ok(shas.into_iter().collect())
    }

    /// The check-ins of a line of Subversion that are rows of a branch and on it, oldest first:
    /// numbers and ids.
    pub async fn on_line(&self, branch_id: &str, line: &Line) -> Result<Vec<(u64, String)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT label, sha FROM revision WHERE branch_id = $1 AND line = $2 AND left_at IS NULL")
                .bind(branch_id)
                .bind(line.to_string())
                .fetch_all(self.pool())
                .await?;
        let numbered = rows.into_iter().filter_map(|(label, sha)| Some((number(&label)?, sha)));
        let mut known: Vec<(u64, String)> = numbered.collect();
        known.sort();
        Ok(known)
    }

    pub async fn revision(&self, id: &str) -> Result<Option<Revision>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id WHERE revision.id = $1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pool())
            .await?)
    }

    /// By full or abbreviated id of the check-in, or by its label; the newest row where several
    /// branches have it.
    pub async fn revision_by_sha(&self, sha: &str) -> Result<Option<Revision>> {
        if number(sha).is_some() {
            // one that is still on its branch goes before one of a repository that was replaced
            let sql = format!(
                "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
                 WHERE revision.label = $1
                 ORDER BY CASE WHEN revision.left_at IS NULL THEN 0 ELSE 1 END, revision.id DESC LIMIT 1"
            );
            let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sha);
            return Ok(query.fetch_optional(self.pool()).await?);
        }
        if sha.len() < 7 || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let sha = sha.to_lowercase();
        // a range, because neither database takes an index for LIKE
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE revision.sha >= $1 AND revision.sha < $2 ORDER BY branch.watched DESC, revision.id DESC LIMIT 1"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(&sha)
            .bind(format!("{sha}g"));
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Rows that wait for their image or their runs to be planned, and each watched branch's tip,
    /// for which recipes that changed are planned again.
    pub async fn revisions_to_plan(&self) -> Result<Vec<Revision>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE revision.left_at IS NULL AND branch.watched = 1
               AND (revision.planned_at IS NULL OR revision.sha = branch.head)
             ORDER BY branch.position, revision.seq DESC"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// Notes that all runs of a revision are there.
    pub async fn revision_planned(&self, id: &str, at: i64) -> Result<()> {
        sqlx::query("UPDATE revision SET planned_at = $1 WHERE id = $2 AND planned_at IS NULL")
            .bind(at)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
