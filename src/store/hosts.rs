//! Registered hosts. Only [`crate::registry`] changes them.

use super::{Store, Tx};
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
    /// Jobs in a row that failed in its machinery.
    pub strikes: i64,
    /// Until when it gets nothing for that.
    pub rests_until: Option<i64>,
    /// When its owner was told that it has fallen silent.
    pub flagged_at: Option<i64>,
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

const COLUMNS: &str = "id, name, owner, token, token_at, builds, state, added_at, seen_at, offer, strikes, \
                       rests_until, flagged_at";

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
        let mut tx = self.begin().await?;
        let moved = self.move_host_in(&mut tx, id, from, to).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// [`Store::move_host`] inside the caller's transaction.
    pub async fn move_host_in(&self, tx: &mut Tx, id: &str, from: HostState, to: HostState) -> Result<bool> {
        let more = match to {
            HostState::Removed => ", token = NULL, token_at = NULL",
            // who is told to work starts afresh
            HostState::Active => ", strikes = 0, rests_until = NULL",
            _ => "",
        };
        let sql = format!("UPDATE host SET state = $1{more} WHERE id = $2 AND state = $3");
        let moved = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(to.name())
            .bind(id)
            .bind(from.name())
            .execute(&mut **tx)
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

    /// Notes what a host offers, where that has changed.
    pub async fn host_offers(&self, host: &HostRow, offer: &Offer) -> Result<()> {
        let offer = serde_json::to_string(offer)?;
        if host.offer.as_ref() != Some(&offer) {
            sqlx::query("UPDATE host SET offer = $1 WHERE id = $2")
                .bind(offer)
                .bind(&host.id)
                .execute(self.pool())
                .await?;
        }
        Ok(())
    }

    /// Notes that the machinery of a host failed a job (one more strike), or that it did one.
    pub async fn set_strikes(&self, tx: &mut Tx, id: &str, strikes: i64, rests_until: Option<i64>) -> Result<()> {
        sqlx::query("UPDATE host SET strikes = $1, rests_until = $2 WHERE id = $3")
            .bind(strikes)
            .bind(rests_until)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Hosts that should be there and have made no call since a time, and whose owners were not told yet.
    pub async fn silent_hosts(&self, since: i64) -> Result<Vec<HostRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM host WHERE state IN ('active', 'draining') AND token IS NOT NULL
             AND seen_at < $1 AND flagged_at IS NULL AND owner <> '' ORDER BY name"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(since);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Whether a host other than this one may take jobs, and has made a call since a time.
    pub async fn others_are_there(&self, tx: &mut Tx, host: &str, since: i64) -> Result<bool> {
        let sql = "SELECT id FROM host WHERE id <> $1 AND state = 'active' AND seen_at >= $2 LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(host)
            .bind(since)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(found.is_some())
    }

    pub async fn flag_host(&self, id: &str, now: i64) -> Result<()> {
        sqlx::query("UPDATE host SET flagged_at = $1 WHERE id = $2")
            .bind(now)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Notes that a host has made a call. Not each of them is worth a write.
    pub async fn saw_host(&self, host: &HostRow, now: i64) -> Result<()> {
        const EVERY_MS: i64 = 5_000;
        if host.seen_at.is_some_and(|seen| (0..EVERY_MS).contains(&(now - seen))) {
            return Ok(());
        }
        let _writer = self.writer().await;
        sqlx::query("UPDATE host SET seen_at = $1, flagged_at = NULL WHERE id = $2")
            .bind(now)
            .bind(&host.id)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
