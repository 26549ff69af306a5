//! Accounts: people and programs that may change something. Only [`crate::access`] changes them.

use super::rows::from_row;
use super::types::Flag;
use super::{Store, Tx, new_id};
use crate::domain::access::Roles;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    /// The mail address, or an empty text if nobody has given one.
    pub mail: String,
    pub roles: Roles,
    /// Whether the account may neither log in nor use its tokens.
    pub disabled: bool,
    pub created_at: Timestamp,
}

from_row!(Account, "account" by "id": id, name, mail, roles, disabled, created_at);

pub(super) const COLUMNS: &str =
    "account.id, account.name, account.mail, account.roles, account.disabled, account.created_at";

impl Store {
    /// Adds an account. Returns `None` if another account has the name.
    pub async fn insert_account(
        &self,
        tx: &mut Tx,
        name: &str,
        mail: &str,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<Option<Account>> {
        let sql = format!(
            "INSERT INTO account (id, name, mail, roles, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(new_id())
            .bind(name)
            .bind(mail)
            .bind(roles)
            .bind(now)
            .fetch_optional(&mut **tx)
            .await?)
    }

    /// Returns whether there is an account at all.
    pub async fn has_accounts(&self, tx: &mut Tx) -> Result<bool> {
        let first: Option<AccountId> = sqlx::query_scalar("SELECT id FROM account LIMIT 1")
            .fetch_optional(&mut **tx)
            .await?;
        Ok(first.is_some())
    }

    /// Finds an account by its name.
    pub async fn account(&self, name: &str) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE name = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns the name of an account, or `None` if there is no such account.
    pub async fn account_name(&self, id: &AccountId) -> Result<Option<String>> {
        let query = sqlx::query_scalar("SELECT name FROM account WHERE id = $1").bind(id);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns the next `most` accounts after a name, sorted by name.
    pub async fn accounts(&self, after: &str, most: i64) -> Result<Vec<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE name > $1 ORDER BY name LIMIT $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(after).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Replaces the fields of an account that an operator sets. Returns `false` if the account changed since `before`
    /// was read.
    pub async fn set_account(&self, tx: &mut Tx, before: &Account, after: &Account) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE account SET mail = $1, roles = $2, disabled = $3
             WHERE id = $4 AND mail = $5 AND roles = $6 AND disabled = $7",
        )
        .bind(&after.mail)
        .bind(&after.roles)
        .bind(Flag(after.disabled))
        .bind(&before.id)
        .bind(&before.mail)
        .bind(&before.roles)
        .bind(Flag(before.disabled))
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Reads an account, and keeps others from changing it before the transaction ends. Returns `None` if there is no
    /// such account.
    pub async fn lock_account(&self, tx: &mut Tx, id: &AccountId) -> Result<Option<Account>> {
        let sql = format!("UPDATE account SET name = name WHERE id = $1 RETURNING {COLUMNS}");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_optional(&mut **tx).await?)
    }

    /// Makes other transactions that call this wait until this one ends, because PostgreSQL runs several transactions
    /// at a time. Additions and changes of accounts call it first.
    pub async fn lock_accounts(&self, tx: &mut Tx) -> Result<()> {
        let first = "UPDATE account SET name = name WHERE id = (SELECT MIN(id) FROM account)";
        sqlx::query(first).execute(&mut **tx).await?;
        Ok(())
    }

    /// Returns how many accounts with a role are not disabled. `role` is one word.
    pub async fn active_with_role(&self, tx: &mut Tx, role: &str) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM account WHERE disabled = 0 AND ' ' || roles || ' ' LIKE '% ' || $1 || ' %'";
        Ok(sqlx::query_scalar(sql).bind(role).fetch_one(&mut **tx).await?)
    }
}
