//! Decisions about registered hosts: adds them, and changes their state, token and trust.

use crate::access::{Actor, AuditedChange, record};
use crate::domain::access::{Permission, Reach};
use crate::domain::host::HostState;
use crate::domain::names::names;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::enrolment::{self, Token};
use crate::store::Store;
use crate::store::hosts::HostRow;
use anyhow::Result;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The most hosts that a host owner can register.
const HOSTS_MOST: i64 = 50;

/// A host to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRequest {
    pub name: String,
    /// The mail address of the owner.
    pub owner: String,
    /// Whether the host may build images, which other hosts then run.
    pub builds: bool,
}

/// A change of a registered host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum HostMove {
    /// Give the host a new token.
    Rotate,
    /// Revoke the host's token.
    Revoke,
    /// Let the host build images from now on.
    Trust,
    /// Let the host build no more images.
    Distrust,
    /// Give the host no new jobs.
    Drain,
    /// Give the host jobs again.
    Resume,
    /// Remove the host for good.
    Remove,
}

names!(
    HostMove,
    "action on a host": Rotate = "rotate",
    Revoke = "revoke",
    Trust = "trust",
    Distrust = "distrust",
    Drain = "drain",
    Resume = "resume",
    Remove = "remove",
);

/// Registers a host. Returns it with its token, whose secret can't be read again. A host owner registers hosts for its
/// own account, and only an operator lets a host build images.
pub async fn add_host(store: &Store, actor: &Actor, request: &HostRequest, now: Timestamp) -> Result<(HostRow, Token)> {
    let reach = actor.require(Permission::Hosts)?;
    let owner = match reach {
        Reach::All => request.owner.as_str(),
        Reach::Own => own_mail(actor)?,
    };
    if request.builds {
        actor.require_all(Permission::Hosts)?;
    }
    if reach == Reach::Own && store.hosts_of(owner).await? >= HOSTS_MOST {
        let message = format!(
            "{} has {HOSTS_MOST} hosts, which is the most; ask an operator, or remove one",
            actor.name
        );
        return Err(Refusal::Conflict(message).into());
    }
    let (host, token) = enrolment::add(store, &request.name, owner, request.builds, now).await?;
    audit(store, actor, "add host", (&host.name, None, Some(shown(&host))), now).await?;
    Ok((host, token))
}

/// Changes a host. A host owner changes only its own hosts, and only an operator changes trust or ends a quarantine.
/// Returns the host, with its new token if it got one.
pub async fn move_host(
    store: &Store,
    actor: &Actor,
    name: &str,
    action: HostMove,
    now: Timestamp,
) -> Result<(HostRow, Option<Token>)> {
    let unknown = || Refusal::NotFound(format!("there is no host {name:?}"));
    let reach = actor.require(Permission::Hosts)?;
    let before = store.host(name).await?.ok_or_else(unknown)?;
    if reach == Reach::Own && before.owner != own_mail(actor)? {
        return Err(Refusal::NotAllowed(format!("the host {name:?} belongs to somebody else")).into());
    }
    if matches!(action, HostMove::Trust | HostMove::Distrust) {
        actor.require_all(Permission::Hosts)?;
    }
    // only an operator may end a quarantine, not the owner of the host
    if matches!(action, HostMove::Resume | HostMove::Drain) && before.state == HostState::Quarantined {
        actor.require_all(Permission::Hosts)?;
    }
    let mut token = None;
    let done = match action {
        HostMove::Rotate => enrolment::rotate(store, name, now).await.map(|(host, new)| {
            token = Some(new);
            host
        }),
        HostMove::Revoke => enrolment::revoke(store, name, now).await,
        HostMove::Trust => enrolment::trust(store, name, true).await,
        HostMove::Distrust => enrolment::trust(store, name, false).await,
        HostMove::Drain => enrolment::bring(store, name, HostState::Draining).await,
        HostMove::Resume => enrolment::bring(store, name, HostState::Active).await,
        HostMove::Remove => enrolment::bring(store, name, HostState::Removed).await,
    };
    done?;
    let after = store.host(name).await?.ok_or_else(unknown)?;
    let states = (name, Some(shown(&before)), Some(shown(&after)));
    audit(store, actor, action.name(), states, now).await?;
    Ok((after, token))
}

/// Returns the mail address by which hosts belong to the actor's account. Fails if the account has none.
fn own_mail(actor: &Actor) -> Result<&str, Refusal> {
    match actor.mail.is_empty() {
        false => Ok(&actor.mail),
        true => Err(Refusal::Conflict(format!(
            "the account {} has no mail address, by which hosts belong to it; an operator sets it",
            actor.name
        ))),
    }
}

async fn audit(
    store: &Store,
    actor: &Actor,
    action: &str,
    (name, before, after): (&str, Option<Value>, Option<Value>),
    now: Timestamp,
) -> Result<()> {
    let mut tx = store.begin().await?;
    let change = AuditedChange {
        action,
        subject: format!("host {name}"),
        before,
        after,
    };
    record(store, &mut tx, actor, change, now).await?;
    tx.commit().await
}

fn shown(host: &HostRow) -> Value {
    json!({
        "owner": host.owner, "state": host.state.name(), "builds": host.builds, "has_token": host.token.is_some(),
    })
}
