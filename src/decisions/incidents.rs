//! Decisions about incidents.

use crate::access::{Actor, AuditedChange, record};
use crate::clock::end_of_day;
use crate::domain::access::Permission;
use crate::domain::incident::Assignee;
use crate::domain::refusal::Refusal;
use crate::domain::text::is_odd;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::incidents::Waiver;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// A maintainer's decision about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum IncidentDecision {
    /// Accept the incident until a day.
    Waive {
        #[schema(min_length = 1, max_length = 1000)]
        why: String,
        /// The last day of the waiver, such as `2027-06-30`.
        #[schema(format = Date)]
        until: String,
    },
    /// Assign the incident to the projects: the change in CPython is intended and documented.
    Intended {
        #[schema(min_length = 1, max_length = 1000)]
        why: String,
    },
    /// Assign the incident to CPython, which will fix it.
    Ours {
        #[schema(min_length = 1, max_length = 1000)]
        why: String,
    },
    /// Agree that the revisions of the incident broke its projects. Pages then name the author.
    Agree {
        #[schema(min_length = 1, max_length = 1000)]
        why: String,
    },
    /// Revoke all agreements with the incident.
    Disagree {
        #[schema(min_length = 1, max_length = 1000)]
        why: String,
    },
    /// Record where the incident was reported.
    Reported {
        /// The address of the report.
        #[schema(pattern = "^https?://", max_length = 1000)]
        at: String,
    },
    /// Close the incident.
    Close {
        #[schema(min_length = 1, max_length = 1000)]
        why: String,
    },
}

impl IncidentDecision {
    /// Returns the reason or the address in the decision.
    fn text(&self) -> &str {
        match self {
            Self::Waive { why, .. }
            | Self::Intended { why }
            | Self::Ours { why }
            | Self::Agree { why }
            | Self::Disagree { why }
            | Self::Close { why } => why,
            Self::Reported { at } => at,
        }
    }
}

/// The most characters of a reason or an address.
const TEXT_MOST: usize = 1_000;

/// Records a decision, with a note in the history of the incident. Returns the text of the note, or a sentence if an
/// agreement stays as it was: then nothing is recorded. Fails for a closed incident, except about agreements.
pub async fn decide(
    store: &Store,
    actor: &Actor,
    number: i64,
    decision: &IncidentDecision,
    now: Timestamp,
) -> Result<String> {
    actor.require_all(Permission::Incidents)?;
    check(decision)?;
    let unknown = || Refusal::NotFound(format!("there is no incident {number}"));
    let incident = store.incident(number).await?.ok_or_else(unknown)?;
    let by = &actor.name;
    let mut tx = store.begin().await?;
    let id = &incident.id;
    let (done, note) = match decision {
        IncidentDecision::Waive { why, until } => {
            let waiver = Waiver {
                who: by.clone(),
                why: why.clone(),
                until: last_moment(until, now)?,
            };
            let done = store.waive(&mut tx, id, &waiver).await?;
            (done, format!("waived until {until}: {why}"))
        }
        IncidentDecision::Intended { why } => {
            let done = store.assign_incident(&mut tx, id, Assignee::Projects).await?;
            store.agree(&mut tx, id, by, now).await?;
            (done, format!("intended, the projects adapt: {why}"))
        }
        IncidentDecision::Ours { why } => {
            let done = store.assign_incident(&mut tx, id, Assignee::Cpython).await?;
            store.agree(&mut tx, id, by, now).await?;
            (done, format!("CPython fixes it: {why}"))
        }
        IncidentDecision::Agree { why } => match store.agree(&mut tx, id, by, now).await? {
            true => (true, format!("agreed: {why}")),
            false => return Ok("agreed already".to_owned()),
        },
        IncidentDecision::Disagree { why } => match store.revoke_agreement(&mut tx, id).await? {
            true => (true, format!("no longer agreed: {why}")),
            false => return Ok("no longer agreed already".to_owned()),
        },
        IncidentDecision::Reported { at } => {
            let done = store.incident_reported(&mut tx, id, at, now).await?;
            (done, format!("reported as {at}"))
        }
        IncidentDecision::Close { why } => {
            let done = store.close_incident(&mut tx, id, now).await?;
            store.unpin_for(&mut tx, id).await?;
            (done, format!("closed: {why}"))
        }
    };
    if !done {
        return Err(Refusal::Conflict(format!("incident {number} is closed already")).into());
    }
    store.note(&mut tx, id, by, &note, now).await?;
    let change = AuditedChange {
        action: "decide",
        subject: format!("incident {number}"),
        before: Some(json!({
            "assigned_to": incident.assigned_to.map(|assignee| assignee.name()), "reported_as": incident.reported_as,
            "waived_until": incident.waiver.as_ref().map(|waiver| waiver.until), "closed_at": incident.closed_at,
        })),
        after: Some(json!(decision)),
    };
    record(store, &mut tx, actor, change, now).await?;
    tx.commit().await?;
    Ok(note)
}

fn check(decision: &IncidentDecision) -> Result<(), Refusal> {
    let text = decision.text();
    if text.trim().is_empty() || text.chars().count() > TEXT_MOST || text.chars().any(is_odd) {
        let message = format!("a decision has a reason of 1 to {TEXT_MOST} characters, on one line");
        return Err(Refusal::Invalid(message));
    }
    match decision {
        IncidentDecision::Reported { at } if !(at.starts_with("https://") || at.starts_with("http://")) => Err(
            Refusal::Invalid(format!("{at:?} is not an address; write one that begins with https://")),
        ),
        _ => Ok(()),
    }
}

/// Returns the end of the last day of a waiver. Fails if that day is over.
fn last_moment(until: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    let day: jiff::civil::Date = until
        .parse()
        .map_err(|_| Refusal::Invalid(format!("{until:?} is no day; write it like 2027-06-30")))?;
    match end_of_day(day) {
        Ok(end) if end > now => Ok(end),
        _ => Err(Refusal::Invalid(format!("{until} is over; write a later date"))),
    }
}
