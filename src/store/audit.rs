//! The audit log: every change that a person made, with who, when, from where, before and after. Rows are never
//! changed. They are removed when they are old.

use super::rows::from_row;
use super::{Store, Tx, new_id};
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: String,
    pub at: Timestamp,
    /// The name of the account, of the person on the coordinator's machine, or `policy`.
    pub account: String,
    /// The id of the access token, or an empty text if the change was made on the coordinator's machine.
    pub token: String,
    /// The address of the client, or an empty text if the change was made on the coordinator's machine.
    pub address: String,
    /// The action, such as `approve`.
    pub action: String,
    /// The subject of the action, such as `project flask` or `account ann`.
    pub subject: String,
    /// The subject's state before, as JSON, or an empty text if it was new or is not recorded.
    pub before: String,
    /// The subject's state after or the request, as JSON, or an empty text if it is gone.
    pub after: String,
}

from_row!(AuditEntry, "audit_entry" by "id": id, at, account, token, address, action, subject, before, after);

const COLUMNS: &str = "id, at, account, token, address, action, subject, before, after";

impl Store {
    /// Adds an entry with a new id.
    pub async fn insert_audit(&self, tx: &mut Tx, entry: &AuditEntry) -> Result<()> {
        sqlx::query(
            "INSERT INTO audit_entry (id, at, account, token, address, action, subject, before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(new_id())
        .bind(entry.at)
        .bind(&entry.account)
        .bind(&entry.token)
        .bind(&entry.address)
        .bind(&entry.action)
        .bind(&entry.subject)
        .bind(&entry.before)
        .bind(&entry.after)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Removes the oldest entries from before a time, at most `most`. Returns how many it removed.
    pub async fn remove_audit(&self, before: Timestamp, most: i64) -> Result<u64> {
        let _writer = self.writer().await;
        let sql = "DELETE FROM audit_entry WHERE id IN (SELECT id FROM audit_entry WHERE at < $1 ORDER BY at LIMIT $2)";
        let removed = sqlx::query(sql).bind(before).bind(most).execute(self.pool()).await?;
        Ok(removed.rows_affected())
    }

    /// Returns the `most` newest entries, newest first, or with `before`, the newest that are older than the entry with
    /// this id. If a subject is given, returns only its entries.
    pub async fn audit(&self, subject: Option<&str>, before: Option<&str>, most: i64) -> Result<Vec<AuditEntry>> {
        let of_subject = if subject.is_some() { "AND subject = $3" } else { "" };
        let sql = format!("SELECT {COLUMNS} FROM audit_entry WHERE id < $1 {of_subject} ORDER BY id DESC LIMIT $2");
        // ids are hexadecimal, and so before `z`
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(before.unwrap_or("z").to_owned())
            .bind(most);
        if let Some(subject) = subject {
            query = query.bind(subject.to_owned());
        }
        Ok(query.fetch_all(self.pool()).await?)
    }
}
