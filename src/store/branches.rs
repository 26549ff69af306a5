//! Watched branches.

use super::revisions::{COLUMNS as REVISION, CheckIn, Revision};
use super::{Store, new_id};
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Branch {
    pub id: String,
    pub name: String,
    pub reference: String,
    /// The check-in that was last seen at its tip.
    pub head: Option<String>,
    /// Why it can't be watched at present.
    pub problem: Option<String>,
    pub checked_at: Option<i64>,
}

/// A branch as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub name: String,
    pub reference: String,
    /// The repository that it is in, as the settings write it.
    pub source: String,
}

const COLUMNS: &str = "id, name, reference, head, problem, checked_at";

impl Store {
    /// Makes the watched branches those of the settings, in their order. A branch that is no longer
    /// named keeps its history; one that is found elsewhere now is seen for the first time again.
    pub async fn set_branches(&self, branches: &[Watched]) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE branch SET watched = 0").execute(&mut *tx).await?;
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
            .bind(&branch.source)
            .bind(position as i64)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Check-ins that are on no watched branch, as a line of their own, oldest first.
    pub async fn line_of(&self, name: &str, check_ins: &[CheckIn], now: i64) -> Result<Vec<Revision>> {
        let Some(last) = check_ins.last() else {
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
        let id: String = sqlx::query_scalar("SELECT id FROM branch WHERE name = $1")
            .bind(name)
            .fetch_one(self.pool())
            .await?;
        // false: it is there already
        self.advance_branch(&id, None, &last.sha, check_ins, &[], now).await?;
        let sql = format!(
            "SELECT {REVISION} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE revision.branch_id = $1 AND revision.left_at IS NULL ORDER BY revision.seq"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_all(self.pool()).await?)
    }

    pub async fn watched_branches(&self) -> Result<Vec<Branch>> {
        let sql = format!("SELECT {COLUMNS} FROM branch WHERE watched = 1 ORDER BY position");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// Notes that the branch was looked at, and what was wrong with it if anything.
    pub async fn branch_checked(&self, id: &str, at: i64, problem: Option<&str>) -> Result<()> {
        sqlx::query("UPDATE branch SET checked_at = $1, problem = $2 WHERE id = $3")
            .bind(at)
            .bind(problem)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
