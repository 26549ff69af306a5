//! Identities of accounts at identity providers. Only [`crate::access`] changes them.

use super::accounts::{self, Account};
use super::rows::from_row;
use super::{Store, Tx};
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use anyhow::Result;

/// The identity of an account at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The address of the identity provider.
    pub issuer: String,
    /// The identity provider's identifier of the person, which never changes.
    pub subject: String,
    pub account_id: AccountId,
    pub linked_at: Timestamp,
    /// When the person last logged in by the identity.
    pub used_at: Option<Timestamp>,
}

from_row!(Identity, "identity" by "subject": issuer, subject, account_id, linked_at, used_at);

const COLUMNS: &str = "issuer, subject, account_id, linked_at, used_at";

impl Store {
    pub async fn identity(&self, tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<Identity>> {
        let sql = format!("SELECT {COLUMNS} FROM identity WHERE issuer = $1 AND subject = $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(issuer).bind(subject);
        Ok(query.fetch_optional(&mut **tx).await?)
    }

    /// Returns the identities of an account.
    pub async fn identities(&self, account: &AccountId) -> Result<Vec<Identity>> {
        let sql = format!("SELECT {COLUMNS} FROM identity WHERE account_id = $1 ORDER BY issuer");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(account);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Links an identity to an account. Returns `false` if the account has an identity of this issuer already, or if
    /// another account has this identity.
    pub async fn insert_identity(&self, tx: &mut Tx, identity: &Identity) -> Result<bool> {
        let sql = "INSERT INTO identity (issuer, subject, account_id, linked_at, used_at) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(&identity.issuer)
            .bind(&identity.subject)
            .bind(&identity.account_id)
            .bind(identity.linked_at)
            .bind(identity.used_at)
            .execute(&mut **tx)
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    pub async fn note_login(&self, tx: &mut Tx, identity: &Identity, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE identity SET used_at = $1 WHERE issuer = $2 AND subject = $3")
            .bind(now)
            .bind(&identity.issuer)
            .bind(&identity.subject)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Removes all identities of an account, and ends its logins by them. Returns the removed identities.
    pub async fn remove_identities(&self, tx: &mut Tx, account: &AccountId, now: Timestamp) -> Result<Vec<Identity>> {
        let sql = format!("DELETE FROM identity WHERE account_id = $1 RETURNING {COLUMNS}");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(account);
        let removed = query.fetch_all(&mut **tx).await?;
        self.end_logins(tx, account, now).await?;
        Ok(removed)
    }

    /// Returns the first `most` accounts with this mail address, whatever the case of its letters. Disabled accounts
    /// are included.
    pub async fn accounts_with_mail(&self, tx: &mut Tx, mail: &str, most: i64) -> Result<Vec<Account>> {
        let columns = accounts::COLUMNS;
        let sql = format!("SELECT {columns} FROM account WHERE LOWER(mail) = $1 ORDER BY id LIMIT $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(mail.to_ascii_lowercase())
            .bind(most);
        Ok(query.fetch_all(&mut **tx).await?)
    }

    /// Returns how many accounts were created for an identity after a time, and still have it.
    pub async fn accounts_made(&self, tx: &mut Tx, since: Timestamp) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM identity JOIN account ON account.id = identity.account_id
                   WHERE identity.linked_at > $1 AND account.created_at = identity.linked_at";
        Ok(sqlx::query_scalar(sql).bind(since).fetch_one(&mut **tx).await?)
    }
}
