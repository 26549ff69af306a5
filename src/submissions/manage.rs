//! Pauses, resumes, retires and hands over projects.

use super::find::{changed, check_reason, registration, shown};
use super::submit::check_room;
use crate::access::{Actor, AuditedChange, record};
use crate::domain::access::Permission;
use crate::domain::id::AccountId;
use crate::domain::recipe_version::{HandOverAnswer, ProjectMove};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::submissions::Registration;
use anyhow::Result;

/// Pauses, resumes or retires a project. The project keeps its results. Only a maintainer resumes a project that
/// somebody other than its owner stopped.
pub async fn move_project(
    store: &Store,
    actor: &Actor,
    project: &str,
    (action, reason): (ProjectMove, &str),
    now: Timestamp,
) -> Result<Registration> {
    actor.require(Permission::Recipes)?;
    check_reason(reason)?;
    let before = registration(store, project).await?;
    actor.require_for(Permission::Recipes, before.owner_id.as_ref())?;
    let is_owner = before.owner_id.is_some() && before.owner_id == actor.account;
    if action == ProjectMove::Resume && before.held && actor.require_all(Permission::Recipes).is_err() {
        let message = format!(
            "a maintainer has stopped {project:?} ({}); ask one to resume it",
            before.reason
        );
        return Err(Refusal::NotAllowed(message).into());
    }
    let state = before.state.after(action, before.version.is_some());
    let after = Registration {
        state: state.map_err(|why| Refusal::Conflict(format!("can't {action} {project:?}: {why}")))?,
        reason: reason.to_owned(),
        held: action != ProjectMove::Resume && (before.held || !is_owner),
        ..before.clone()
    };
    change(store, actor, action.name(), (&before, after), now).await
}

/// Hands a project over to another account, which must be able to submit recipes. If the owner does this, that account
/// has to accept. A maintainer needs no consent, so that an owner who left can be replaced.
pub async fn hand_over(store: &Store, actor: &Actor, project: &str, to: &str, now: Timestamp) -> Result<Registration> {
    actor.require(Permission::Recipes)?;
    let before = registration(store, project).await?;
    actor.require_for(Permission::Recipes, before.owner_id.as_ref())?;
    let unknown = || Refusal::NotFound(format!("there is no account {to:?}"));
    let account = store.account(to).await?.ok_or_else(unknown)?;
    if account.disabled || account.roles.reach(Permission::Recipes).is_none() {
        let message = format!("the account {to:?} can't submit recipes; an operator gives it the role `owner`");
        return Err(Refusal::Conflict(message).into());
    }
    if actor.require_all(Permission::Recipes).is_ok() {
        return give(store, actor, "hand over", (&before, account.id), now).await;
    }
    if before.owner_id.as_ref() == Some(&account.id) {
        return Err(Refusal::Conflict(format!("{project:?} belongs to {to:?} already")).into());
    }
    let after = Registration {
        next_owner_id: Some(account.id),
        ..before.clone()
    };
    change(store, actor, "begin hand-over", (&before, after), now).await
}

/// Accepts a project that its owner hands over, or ends the hand-over: the owner or a maintainer withdraws it, or the
/// receiver declines. Only the receiver can accept, and only if it has room for another project.
pub async fn answer_hand_over(
    store: &Store,
    actor: &Actor,
    project: &str,
    answer: HandOverAnswer,
    now: Timestamp,
) -> Result<Registration> {
    actor.require(Permission::Recipes)?;
    let before = registration(store, project).await?;
    let is_receiver = actor.account.is_some() && actor.account == before.next_owner_id;
    if answer == HandOverAnswer::Withdraw && !is_receiver {
        actor.require_for(Permission::Recipes, before.owner_id.as_ref())?;
    }
    let Some(receiver) = before.next_owner_id.clone() else {
        return Err(Refusal::Conflict(format!("nobody hands {project:?} over")).into());
    };
    match answer {
        HandOverAnswer::Accept if is_receiver => {
            check_room(store, actor).await?;
            give(store, actor, "accept hand-over", (&before, receiver), now).await
        }
        HandOverAnswer::Accept => {
            let message = format!("{project:?} is handed over to another account, which alone can accept it");
            Err(Refusal::NotAllowed(message).into())
        }
        HandOverAnswer::Withdraw => {
            let after = Registration {
                next_owner_id: None,
                ..before.clone()
            };
            change(store, actor, "withdraw hand-over", (&before, after), now).await
        }
    }
}

/// Makes an account the owner of a project. Ends a hand-over that was not accepted.
async fn give(
    store: &Store,
    actor: &Actor,
    action: &str,
    (before, to): (&Registration, AccountId),
    now: Timestamp,
) -> Result<Registration> {
    let after = Registration {
        owner_id: Some(to),
        next_owner_id: None,
        ..before.clone()
    };
    change(store, actor, action, (before, after), now).await
}

async fn change(
    store: &Store,
    actor: &Actor,
    action: &str,
    (before, after): (&Registration, Registration),
    now: Timestamp,
) -> Result<Registration> {
    let mut tx = store.begin().await?;
    if !store.set_registration(&mut tx, before, &after).await? {
        return Err(changed(&before.project).into());
    }
    let entry = AuditedChange {
        action,
        subject: format!("project {}", before.project),
        before: Some(shown(before)),
        after: Some(shown(&after)),
    };
    record(store, &mut tx, actor, entry, now).await?;
    tx.commit().await?;
    Ok(after)
}
