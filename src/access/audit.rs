//! The audit log.

use super::actor::Actor;
use crate::domain::time::Timestamp;
use crate::store::audit::AuditEntry;
use crate::store::{Store, Tx};
use anyhow::Result;
use serde_json::Value;

/// A change to record in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedChange<'a> {
    /// The action, such as `approve`.
    pub action: &'a str,
    /// The thing that was changed, such as `project flask`.
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Writes a change to the audit log, in the transaction that makes the change.
pub async fn record(
    store: &Store,
    tx: &mut Tx,
    actor: &Actor,
    change: AuditedChange<'_>,
    now: Timestamp,
) -> Result<()> {
    let text = |value: Option<Value>| value.map(|value| value.to_string()).unwrap_or_default();
    let entry = AuditEntry {
        id: String::new(),
        at: now,
        account: actor.name.clone(),
        token: actor.token.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: actor.address.clone(),
        action: change.action.to_owned(),
        subject: change.subject,
        before: text(change.before),
        after: text(change.after),
    };
    store.insert_audit(tx, &entry).await
}
