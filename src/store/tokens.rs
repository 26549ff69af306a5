//! Access tokens of accounts, and sessions of browsers. The store only has their digests.

use super::accounts::{self, Account};
use super::rows::from_row;
use super::types::Flag;
use super::{Store, Tx, new_id};
use crate::domain::access::Permissions;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub id: TokenId,
    pub account_id: AccountId,
    /// The name that the owner gave the token.
    pub name: String,
    /// The permissions of the token. Each counts only if the account has it too.
    pub permissions: Permissions,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When the token was last used, to the minute.
    pub used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

from_row!(
    AccessToken, "access_token" by "id":
    id, account_id, name, permissions, created_at, expires_at, used_at, revoked_at,
);

const COLUMNS: &str = "id, account_id, name, permissions, created_at, expires_at, used_at, revoked_at";

/// A token to insert.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    pub account: &'a AccountId,
    pub name: &'a str,
    pub digest: &'a str,
    pub permissions: &'a Permissions,
    pub expires_at: Timestamp,
    /// Whether the token only stands for a login by an identity.
    pub login: bool,
}

/// The least time between two records of the use of a token, in milliseconds.
const USED_MS: i64 = 60_000;

impl Store {
    pub async fn insert_token(&self, tx: &mut Tx, new: &NewToken<'_>, now: Timestamp) -> Result<AccessToken> {
        let sql = format!(
            "INSERT INTO access_token (id, account_id, name, digest, permissions, created_at, expires_at, login)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(new_id())
            .bind(new.account)
            .bind(new.name)
            .bind(new.digest)
            .bind(new.permissions)
            .bind(now)
            .bind(new.expires_at)
            .bind(Flag(new.login))
            .fetch_one(&mut **tx)
            .await?)
    }

    /// Returns the token with a digest, and its account, if both are valid at `now`.
    pub async fn token_of(&self, digest: &str, now: Timestamp) -> Result<Option<(AccessToken, Account)>> {
        let sql =
            format!("SELECT {COLUMNS} FROM access_token WHERE digest = $1 AND revoked_at IS NULL AND expires_at > $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(digest).bind(now);
        let Some(token): Option<AccessToken> = query.fetch_optional(self.pool()).await? else {
            return Ok(None);
        };
        let account = self.active_account(&token.account_id).await?;
        Ok(account.map(|account| (token, account)))
    }

    async fn active_account(&self, id: &AccountId) -> Result<Option<Account>> {
        let columns = accounts::COLUMNS;
        let sql = format!("SELECT {columns} FROM account WHERE id = $1 AND disabled = 0");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Records the use of a token, once a minute at most.
    pub async fn note_use(&self, token: &AccessToken, now: Timestamp) -> Result<()> {
        if token.used_at.is_some_and(|used| now - used < USED_MS) {
            return Ok(());
        }
        let _writer = self.writer().await;
        sqlx::query("UPDATE access_token SET used_at = $1 WHERE id = $2")
            .bind(now)
            .bind(&token.id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Returns the `most` newest tokens of an account, newest first, valid or not. Tokens of logins are left out.
    pub async fn tokens(&self, account: &AccountId, most: i64) -> Result<Vec<AccessToken>> {
        let sql =
            format!("SELECT {COLUMNS} FROM access_token WHERE account_id = $1 AND login = 0 ORDER BY id DESC LIMIT $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(account).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns how many tokens of an account are valid. Tokens of logins do not count.
    pub async fn valid_tokens(&self, tx: &mut Tx, account: &AccountId, now: Timestamp) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM access_token
                   WHERE account_id = $1 AND login = 0 AND revoked_at IS NULL AND expires_at > $2";
        Ok(sqlx::query_scalar(sql)
            .bind(account)
            .bind(now)
            .fetch_one(&mut **tx)
            .await?)
    }

    pub async fn token(&self, id: &TokenId) -> Result<Option<AccessToken>> {
        let sql = format!("SELECT {COLUMNS} FROM access_token WHERE id = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns whether a token is valid. Nobody can revoke it before the transaction ends.
    pub async fn lock_token(&self, tx: &mut Tx, id: &TokenId, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE access_token SET name = name WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2";
        let found = sqlx::query(sql).bind(id).bind(now).execute(&mut **tx).await?;
        Ok(found.rows_affected() == 1)
    }

    /// Ends a token, and the sessions that began by it. Returns `false` if it was revoked before.
    pub async fn revoke_token(&self, tx: &mut Tx, id: &TokenId, now: Timestamp) -> Result<bool> {
        sqlx::query("DELETE FROM session WHERE token_id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        let moved = sqlx::query("UPDATE access_token SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(now)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Ends all tokens and sessions of an account.
    pub async fn revoke_all(&self, tx: &mut Tx, account: &AccountId, now: Timestamp) -> Result<()> {
        sqlx::query("DELETE FROM session WHERE account_id = $1")
            .bind(account)
            .execute(&mut **tx)
            .await?;
        sqlx::query("UPDATE access_token SET revoked_at = $1 WHERE account_id = $2 AND revoked_at IS NULL")
            .bind(now)
            .bind(account)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Ends the logins of an account by its identities.
    pub async fn end_logins(&self, tx: &mut Tx, account: &AccountId, now: Timestamp) -> Result<()> {
        let sessions =
            "DELETE FROM session WHERE token_id IN (SELECT id FROM access_token WHERE account_id = $1 AND login = 1)";
        sqlx::query(sessions).bind(account).execute(&mut **tx).await?;
        let tokens =
            "UPDATE access_token SET revoked_at = $1 WHERE account_id = $2 AND login = 1 AND revoked_at IS NULL";
        sqlx::query(tokens).bind(now).bind(account).execute(&mut **tx).await?;
        Ok(())
    }

    /// Removes the tokens of an account that stood for logins whose sessions are over. Nobody has their secrets, so
    /// nobody can use these tokens again.
    pub async fn remove_ended_logins(&self, tx: &mut Tx, account: &AccountId) -> Result<()> {
        let sql = "DELETE FROM access_token WHERE account_id = $1 AND login = 1
                   AND NOT EXISTS (SELECT 1 FROM session WHERE session.token_id = access_token.id)";
        sqlx::query(sql).bind(account).execute(&mut **tx).await?;
        Ok(())
    }

    /// Removes the oldest tokens that were revoked before a time, and the oldest that expired before it, at most `most`
    /// of each. Tokens of sessions stay. Returns how many it removed.
    pub async fn remove_ended_tokens(&self, before: Timestamp, most: i64) -> Result<u64> {
        let mut removed = 0;
        // a statement for each column, which has an index of its own
        for ended in ["revoked_at", "expires_at"] {
            let sql = format!(
                "DELETE FROM access_token WHERE id IN (
                     SELECT id FROM access_token WHERE {ended} < $1
                     AND NOT EXISTS (SELECT 1 FROM session WHERE session.token_id = access_token.id)
                     ORDER BY {ended} LIMIT $2)"
            );
            let _writer = self.writer().await;
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(before).bind(most);
            removed += query.execute(self.pool()).await?.rows_affected();
        }
        Ok(removed)
    }

    /// Begins a session by a token. Also removes sessions that are over, and all but the account's 20 newest other
    /// sessions.
    pub async fn insert_session(
        &self,
        tx: &mut Tx,
        digest: &str,
        token: &AccessToken,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<()> {
        sqlx::query("DELETE FROM session WHERE expires_at <= $1")
            .bind(now)
            .execute(&mut **tx)
            .await?;
        // the oldest sessions make room, because nobody works in that many browsers
        let oldest = "DELETE FROM session WHERE account_id = $1 AND digest NOT IN (
                          SELECT digest FROM session WHERE account_id = $1 ORDER BY created_at DESC, digest LIMIT 20)";
        sqlx::query(oldest).bind(&token.account_id).execute(&mut **tx).await?;
        sqlx::query(
            "INSERT INTO session (digest, account_id, token_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(digest)
        .bind(&token.account_id)
        .bind(&token.id)
        .bind(now)
        .bind(until)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Returns the token by which a session began, and its account, if all of them are valid at `now`.
    pub async fn session_of(&self, digest: &str, now: Timestamp) -> Result<Option<(AccessToken, Account)>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM access_token WHERE revoked_at IS NULL AND expires_at > $2 AND id = (
                 SELECT token_id FROM session WHERE session.digest = $1 AND session.expires_at > $2)"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(digest).bind(now);
        let Some(token): Option<AccessToken> = query.fetch_optional(self.pool()).await? else {
            return Ok(None);
        };
        let account = self.active_account(&token.account_id).await?;
        Ok(account.map(|account| (token, account)))
    }

    /// Ends a session. A token that only stood for the session ends too.
    pub async fn end_session(&self, tx: &mut Tx, digest: &str, now: Timestamp) -> Result<()> {
        // the session goes first, in the order of everything else that ends both: so two transactions never wait for
        // each other
        let session = "DELETE FROM session WHERE digest = $1 RETURNING token_id";
        let token: Option<TokenId> = sqlx::query_scalar(session)
            .bind(digest)
            .fetch_optional(&mut **tx)
            .await?;
        let sql = "UPDATE access_token SET revoked_at = $1 WHERE login = 1 AND revoked_at IS NULL AND id = $2";
        sqlx::query(sql).bind(now).bind(token).execute(&mut **tx).await?;
        Ok(())
    }
}
