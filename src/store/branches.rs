//! Watched branches.

use super::revisions::{BranchMove, COLUMNS as REVISION, NewRevision, Revision};
use super::rows::from_row;
use super::{Store, Tx, new_id};
use crate::domain::address::Address;
use crate::domain::id::BranchId;
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    pub id: BranchId,
    pub name: String,
    pub reference: String,
    /// The newest revision of the branch when it was last read.
    pub head: Option<String>,
    /// Why the branch can't be read at present, or `None` if it can.
    pub problem: Option<String>,
    /// When Pybots last tried to read the branch. `None` if it has not since [`Store::set_branches`].
    pub checked_at: Option<Timestamp>,
}

from_row!(Branch, "branch" by "id": id, name, reference, head, problem, checked_at);

/// A branch as the settings define it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub name: String,
    pub reference: String,
    /// The repository that holds the branch, as the settings write it.
    pub source: Address,
}

const COLUMNS: &str = "id, name, reference, head, problem, checked_at";

impl Store {
    /// Watches exactly these branches, in this order, and clears their problems and the times at which they were read.
    /// A branch that is no longer watched keeps its history. A branch whose source or ref changed is read as if it were
    /// new. A change of the login does not count as another source.
    pub async fn set_branches(&self, branches: &[Watched]) -> Result<()> {
        let mut tx = self.begin().await?;
        // a problem belonged to the earlier settings; if it persists, the next reading finds it again
        sqlx::query("UPDATE branch SET watched = 0, problem = NULL")
            .execute(&mut *tx)
            .await?;
        forget_logins(&mut tx).await?;
        for (position, branch) in branches.iter().enumerate() {
            sqlx::query(
                "INSERT INTO branch (id, name, reference, source, position, watched) VALUES ($1, $2, $3, $4, $5, 1)
                 ON CONFLICT (name) DO UPDATE SET
                     head = CASE WHEN branch.reference = excluded.reference AND branch.source = excluded.source
                                 THEN branch.head ELSE NULL END,
                     reference = excluded.reference, source = excluded.source, position = excluded.position,
                     watched = 1, checked_at = NULL",
            )
            .bind(new_id())
            .bind(&branch.name)
            .bind(&branch.reference)
            .bind(branch.source.without_login())
            .bind(position as i64)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Stores revisions that are on no watched branch, oldest first, as an unwatched branch of their own. Returns the
    /// stored revisions. If the branch has revisions already, stores nothing and returns its revisions.
    pub async fn line_of(&self, name: &str, revisions: &[NewRevision], now: Timestamp) -> Result<Vec<Revision>> {
        let Some(last) = revisions.last() else {
            return Ok(Vec::new());
        };
        sqlx::query(
            "INSERT INTO branch (id, name, reference, source, position, watched) VALUES ($1, $2, '', '', 0, 0)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(new_id())
        .bind(name)
        .execute(self.pool())
        .await?;
        let id: BranchId = sqlx::query_scalar("SELECT id FROM branch WHERE name = $1")
            .bind(name)
            .fetch_one(self.pool())
            .await?;
        // returns false if an earlier call stored the branch already
        let line = BranchMove::onto(&last.sha, revisions);
        self.advance_branch(&id, None, &line, now).await?;
        let sql = format!(
            "SELECT {REVISION} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE revision.branch_id = $1 AND revision.left_at IS NULL ORDER BY revision.seq"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the watched branches, in the order of the settings.
    pub async fn watched_branches(&self) -> Result<Vec<Branch>> {
        let sql = format!("SELECT {COLUMNS} FROM branch WHERE watched = 1 ORDER BY position");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// Records when the branch was read, and the problem if it could not be.
    pub async fn branch_checked(&self, id: &BranchId, at: Timestamp, problem: Option<&str>) -> Result<()> {
        sqlx::query("UPDATE branch SET checked_at = $1, problem = $2 WHERE id = $3")
            .bind(at)
            .bind(problem)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Removes logins from sources, because an earlier version of Pybots stored sources with their logins.
async fn forget_logins(tx: &mut Tx) -> Result<()> {
    let sources: Vec<(String,)> = sqlx::query_as("SELECT DISTINCT source FROM branch")
        .fetch_all(&mut **tx)
        .await?;
    for (source,) in sources {
        let without = Address::new(source.as_str()).without_login();
        if without != source {
            sqlx::query("UPDATE branch SET source = $1 WHERE source = $2")
                .bind(without)
                .bind(source)
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}
