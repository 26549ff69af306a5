//! Approves or refuses versions.

use super::find::{changed, check_reason, registration, shown, version};
use crate::access::{Actor, AuditedChange, record};
use crate::domain::access::Permission;
use crate::domain::package::is_same;
use crate::domain::recipe_version::{ProjectState, VersionState};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::submissions::{RecipeVersion, Registration};
use anyhow::Result;
use serde_json::json;

/// The decision about a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionMove {
    Approve {
        /// Whether the version may be approved without a finished trial.
        without_trial: bool,
    },
    Refuse,
}

/// Approves or refuses an open version. An approved version is in force from now on, or once a paused project is
/// resumed, and its trial run counts as its first result. An approval fails if the project is retired, the trial has
/// not ended, or the folder of recipes has or had the name; a refusal fails without a reason.
pub async fn decide(
    store: &Store,
    actor: &Actor,
    (project, number): (&str, i64),
    (decision, reason): (&VersionMove, &str),
    now: Timestamp,
) -> Result<RecipeVersion> {
    actor.require_all(Permission::Approvals)?;
    check_reason(reason)?;
    let before = registration(store, project).await?;
    let version = version(store, project, number).await?;
    check(&before, &version, decision, reason)?;
    let is_approved = matches!(decision, VersionMove::Approve { .. });
    if is_approved && store.folder_names().await?.iter().any(|name| is_same(name, project)) {
        let message =
            format!("the folder of recipes has or had a file for {project:?}, which goes before a submitted recipe");
        return Err(Refusal::Conflict(message).into());
    }
    let decided = RecipeVersion {
        state: match is_approved {
            true => VersionState::Approved,
            false => VersionState::Refused,
        },
        decided_by: Some(actor.name.clone()),
        decided_at: Some(now),
        reason: reason.to_owned(),
        ..version.clone()
    };
    let mut tx = store.begin().await?;
    if !store.set_version(&mut tx, &version, &decided).await? {
        return Err(changed(project).into());
    }
    let after = match is_approved {
        true => Registration {
            version: Some(number),
            state: match before.state {
                ProjectState::Proposed => ProjectState::Active,
                state => state,
            },
            ..before.clone()
        },
        false => before.clone(),
    };
    if is_approved {
        if !store.set_registration(&mut tx, &before, &after).await? {
            return Err(changed(project).into());
        }
        if let Some(run) = &version.trial_run_id {
            store.count_trial(&mut tx, run).await?;
        }
    }
    let change = AuditedChange {
        action: if is_approved { "approve" } else { "refuse" },
        subject: format!("project {project}"),
        before: Some(shown(&before)),
        after: Some(json!({ "version": number, "reason": reason, "project": shown(&after) })),
    };
    record(store, &mut tx, actor, change, now).await?;
    tx.commit().await?;
    Ok(decided)
}

fn check(project: &Registration, version: &RecipeVersion, decision: &VersionMove, reason: &str) -> Result<(), Refusal> {
    let number = version.number;
    if !version.state.is_open() {
        return Err(Refusal::Conflict(format!(
            "version {number} is {} already",
            version.state
        )));
    }
    match decision {
        VersionMove::Refuse if reason.trim().is_empty() => Err(Refusal::Invalid(
            "a refusal needs a reason, so that the next version is better".to_owned(),
        )),
        VersionMove::Approve { .. } if project.state == ProjectState::Retired => {
            Err(Refusal::Conflict(format!("{:?} is retired", project.project)))
        }
        VersionMove::Approve { without_trial: false } if version.state == VersionState::Trial => {
            Err(Refusal::Conflict(format!(
                "the trial of version {number} has not ended; wait for it, or approve without it"
            )))
        }
        _ => Ok(()),
    }
}

/// Records that the trial of a version has ended, or why there is none. The version then waits for a decision. Returns
/// the changed version, or `None` if somebody else changed it meanwhile.
pub async fn trial_ended(store: &Store, version: &RecipeVersion, note: &str) -> Result<Option<RecipeVersion>> {
    let after = RecipeVersion {
        state: VersionState::Waiting,
        trial_note: note.to_owned(),
        ..version.clone()
    };
    let mut tx = store.begin().await?;
    let moved = store.set_version(&mut tx, version, &after).await?;
    tx.commit().await?;
    Ok(moved.then_some(after))
}
