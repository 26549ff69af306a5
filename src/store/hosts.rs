//! Registered hosts. Only [`crate::registry`] changes them.

use super::Store;
use crate::domain::host::{HostState, Offer};
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct HostRow {
    pub id: String,
    pub name: String,
    /// Whom to write to.
    pub owner: String,
    /// SHA-256 of its token, hex; None: it has none that holds.
    pub token: Option<String>,
    pub token_at: Option<i64>,
    /// Truth value: it may build images.
    pub builds: i64,
    pub state: String,
    pub added_at: i64,
    /// When it last made a call.
    pub seen_at: Option<i64>,
    /// [`Offer`] as JSON.
    pub offer: Option<String>,
}

impl HostRow {
    pub fn offer(&self) -> Option<Offer> {
        serde_json::from_str(self.offer.as_deref()?).ok()
    }

    pub fn state(&self) -> HostState {
        // the schema has no others
        self.state.parse().unwrap_or(HostState::Removed)
    }
}

const COLUMNS: &str = "id, name, owner, token, token_at, builds, state, added_at, seen_at, offer";

impl Store {
    /// Adds a host without a token; false: there is one of that name, or of that id.
    pub async fn insert_host(&self, id: &str, name: &str, owner: &str, builds: bool, now: i64) -> Result<bool> {
        let added = sqlx::query(
            "INSERT INTO host (id, name, owner, builds, state, added_at) VALUES ($1, $2, $3, $4, 'active', $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(name)
        .bind(owner)
        .bind(i64::from(builds))
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(added.rows_affected() == 1)
    }

    /// By name or id.
    pub async fn host(&self, name: &str) -> Result<Option<HostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM host WHERE name = $1 OR id = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Whose token has this digest.
    pub async fn host_of_token(&self, digest: &str) -> Result<Option<HostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM host WHERE token = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(digest);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// All, those that were removed last.
    pub async fn hosts(&self) -> Result<Vec<HostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM host ORDER BY CASE state WHEN 'removed' THEN 1 ELSE 0 END, name");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// Gives a host a token instead of the one before, or none. False: it was removed.
    pub async fn set_host_token(&self, id: &str, digest: Option<&str>, now: i64) -> Result<bool> {
        let moved = sqlx::query("UPDATE host SET token = $1, token_at = $2 WHERE id = $3 AND state <> 'removed'")
            .bind(digest)
            .bind(digest.map(|_| now))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// False: it is not in the state `from` (any more).
    pub async fn move_host(&self, id: &str, from: HostState, to: HostState) -> Result<bool> {
        let token = if to == HostState::Removed {
            ", token = NULL, token_at = NULL"
        } else {
            ""
        };
        let sql = format!("UPDATE host SET state = $1{token} WHERE id = $2 AND state = $3");
        let moved = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(to.name())
            .bind(id)
            .bind(from.name())
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    pub async fn trust_host(&self, id: &str, builds: bool) -> Result<()> {
        sqlx::query("UPDATE host SET builds = $1 WHERE id = $2")
            .bind(i64::from(builds))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    pub async fn host_offers(&self, id: &str, offer: &Offer) -> Result<()> {
        sqlx::query("UPDATE host SET offer = $1 WHERE id = $2")
            .bind(serde_json::to_string(offer)?)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Notes that a host has made a call. Not each of them is worth a write.
    pub async fn saw_host(&self, id: &str, now: i64) -> Result<()> {
        const EVERY_MS: i64 = 5_000;
        sqlx::query("UPDATE host SET seen_at = $1 WHERE id = $2 AND (seen_at IS NULL OR seen_at < $3)")
            .bind(now)
            .bind(id)
            .bind(now - EVERY_MS)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
