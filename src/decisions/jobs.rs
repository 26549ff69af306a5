//! Requests about jobs: cancel them, or rerun them.

use crate::access::{Actor, AuditedChange, record};
use crate::domain::access::Permission;
use crate::domain::names::names;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::queue::{Queue, Requested};
use crate::store::Store;
use anyhow::Result;
use serde_json::json;
use utoipa::ToSchema;

/// A request about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum JobMove {
    Cancel,
    Rerun,
}

names!(JobMove, "request about a job": Cancel = "cancel", Rerun = "rerun");

/// Cancels or reruns the newest job of a run or an image, given by its id. Returns a sentence about the effect. A
/// request that changes nothing is not in the audit log.
pub async fn move_job(
    (store, queue): (&Store, &Queue),
    actor: &Actor,
    id: &str,
    request: JobMove,
    now: Timestamp,
) -> Result<String> {
    actor.require_all(Permission::Jobs)?;
    let requested = match request {
        JobMove::Cancel => queue.cancel(id, now).await?,
        JobMove::Rerun => queue.rerun(id, now).await?,
    };
    let unknown = || Refusal::NotFound(format!("there is no job {id:?}"));
    let requested = requested.ok_or_else(unknown)?;
    if requested != Requested::Needless {
        let mut tx = store.begin().await?;
        let change = AuditedChange {
            action: request.name(),
            subject: format!("job {id}"),
            before: None,
            after: Some(json!({ "pending": requested == Requested::Pending })),
        };
        record(store, &mut tx, actor, change, now).await?;
        tx.commit().await?;
    }
    let effect = match (request, requested) {
        (JobMove::Cancel, Requested::Done) => "is cancelled",
        (JobMove::Cancel, Requested::Pending) => "is in progress; its host ends it within seconds",
        (JobMove::Cancel, Requested::Needless) => "has ended already",
        (JobMove::Rerun, Requested::Done) => "is queued again",
        (JobMove::Rerun, Requested::Pending) => {
            "is in progress; its host ends it within seconds, then it is queued again"
        }
        (JobMove::Rerun, Requested::Needless) => "is queued already",
    };
    let waiting = match request {
        JobMove::Rerun => store.waiting_of(id).await?,
        JobMove::Cancel => None,
    };
    let waiting = waiting
        .map(|waiting| format!("\n  it waits: {}", waiting.reason(now)))
        .unwrap_or_default();
    Ok(format!("{id} {effect}{waiting}"))
}
