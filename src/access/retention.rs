//! Removes tokens that ended long ago, and old entries of the audit log.

use crate::domain::time::{DAY_MS, Timestamp};
use crate::store::Store;
use anyhow::{Context, Result};

/// Days for which a token stays after its end, so that people can look it up.
const TOKEN_DAYS: i64 = 90;

/// The most rows to remove in one transaction, so that other transactions wait only briefly.
const AT_ONCE: i64 = 1_000;

/// The most transactions in one pass. The next pass removes the rest.
const PASSES_MOST: usize = 20;

/// Removes tokens that ended more than `TOKEN_DAYS` ago, and entries of the audit log that are older than `audit_days`.
/// Leaves some for the next pass if there are many. Returns the number of removed rows.
pub async fn remove_old(store: &Store, audit_days: u32, now: Timestamp) -> Result<u64> {
    let mut removed = 0;
    for _ in 0..PASSES_MOST {
        let tokens = store.remove_ended_tokens(now - TOKEN_DAYS * DAY_MS, AT_ONCE).await;
        let entries = store.remove_audit(now - i64::from(audit_days) * DAY_MS, AT_ONCE).await;
        let of_pass =
            tokens.context("failed to remove ended tokens")? + entries.context("failed to remove audit entries")?;
        removed += of_pass;
        if of_pass == 0 {
            break;
        }
    }
    Ok(removed)
}
