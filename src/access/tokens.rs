//! Access tokens: how they are issued, checked and revoked.

use super::accounts::find;
use super::actor::Actor;
use super::audit::{AuditedChange, record};
use crate::domain::access::{Permission, Permissions};
use crate::domain::id::TokenId;
use crate::domain::refusal::Refusal;
use crate::domain::text::is_odd;
use crate::domain::time::{DAY_MS, Timestamp};
use crate::enrolment::Token;
use crate::store::tokens::{AccessToken, NewToken};
use crate::store::{Store, Tx};
use anyhow::Result;
use serde_json::json;

/// The most days for which a token can be valid.
const DAYS_MOST: i64 = 366;
/// The most valid tokens of one account.
const TOKENS_MOST: i64 = 50;
/// The most characters in the name of a token.
const NAME_MOST: usize = 60;

/// Returns the actor of a token's secret, and records the use of the token. Returns `None` if no valid token of an
/// active account has the secret.
pub async fn authenticate(store: &Store, secret: &str, address: &str, now: Timestamp) -> Result<Option<Actor>> {
    let found = store.token_of(&Token::digest(secret), now).await?;
    let Some((token, account)) = found else {
        return Ok(None);
    };
    store.note_use(&token, now).await?;
    Ok(Some(Actor::of(account, &token, address)))
}

/// A token to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The name of the account that gets the token.
    pub account: String,
    /// The name of the token, which says what it is for.
    pub name: String,
    /// The permissions of the token. If `None`, it gets every permission that both the actor's token carries and the
    /// account has.
    pub permissions: Option<Permissions>,
    pub days: i64,
}

/// Issues a token for the actor's own account, or for another account if the actor manages accounts. The token never
/// carries more permissions than the actor's own token, which must carry all permissions of its account. Returns the
/// secret too, which can't be read again.
pub async fn issue(
    store: &Store,
    actor: &Actor,
    request: &TokenRequest,
    now: Timestamp,
) -> Result<(AccessToken, Token)> {
    if request.account != actor.name || actor.account.is_none() {
        actor.require_all(Permission::Accounts)?;
    }
    check(request).map_err(Refusal::Invalid)?;
    let account = find(store, &request.account).await?;
    require_whole(actor)?;
    if account.disabled {
        return Err(Refusal::Conflict(format!("the account {:?} is disabled", account.name)).into());
    }
    let permissions = match &request.permissions {
        Some(permissions) => permissions.clone(),
        None => {
            let granted = account.roles.permissions().0;
            granted.intersection(&actor.permissions.0).copied().collect()
        }
    };
    if let Some(more) = permissions.0.difference(&actor.permissions.0).next() {
        let message = format!("your own token does not carry the permission `{more}`, so it can't issue one that does");
        return Err(Refusal::NotAllowed(message).into());
    }
    let secret = Token::new()?;
    let mut tx = store.begin().await?;
    // the account or the actor's token may have been disabled meanwhile
    let is_active = store
        .lock_account(&mut tx, &account.id)
        .await?
        .is_some_and(|account| !account.disabled);
    if !is_active || !is_valid(store, &mut tx, actor, now).await? {
        return Err(Refusal::NotAllowed("the account or the token has just been disabled".to_owned()).into());
    }
    if store.valid_tokens(&mut tx, &account.id, now).await? >= TOKENS_MOST {
        let message = format!("{} has {TOKENS_MOST} valid tokens; revoke one first", account.name);
        return Err(Refusal::Conflict(message).into());
    }
    let new = NewToken {
        account: &account.id,
        name: &request.name,
        digest: &Token::digest(secret.secret()),
        permissions: &permissions,
        expires_at: now + request.days * DAY_MS,
        login: false,
    };
    let token = store.insert_token(&mut tx, &new, now).await?;
    let change = AuditedChange {
        action: "issue token",
        subject: format!("account {}", account.name),
        before: None,
        after: Some(json!({
            "id": token.id, "name": token.name, "permissions": token.permissions.list(), "expires_at": token.expires_at,
        })),
    };
    record(store, &mut tx, actor, change, now).await?;
    tx.commit().await?;
    Ok((token, secret))
}

/// Fails if the actor's token carries only some of its account's permissions. Such a token must not issue a token that
/// outlives it, or revoke others.
fn require_whole(actor: &Actor) -> Result<(), Refusal> {
    let missing = actor.roles.permissions();
    match missing.0.difference(&actor.permissions.0).next() {
        None => Ok(()),
        Some(missing) => Err(Refusal::NotAllowed(format!(
            "this token does not carry `{missing}`, which your account has; only one that carries everything issues and revokes tokens"
        ))),
    }
}

/// Returns whether the actor's token is valid, and locks it so that nobody revokes it before the transaction ends.
async fn is_valid(store: &Store, tx: &mut Tx, actor: &Actor, now: Timestamp) -> Result<bool> {
    match &actor.token {
        Some(token) => store.lock_token(tx, token, now).await,
        None => Ok(true),
    }
}

fn check(request: &TokenRequest) -> Result<(), String> {
    if request.name.trim().is_empty() || request.name.chars().count() > NAME_MOST {
        return Err(format!(
            "a token has a name of 1 to {NAME_MOST} characters that says what it is for"
        ));
    }
    if request
        .name
        .chars()
        .any(|c| is_odd(c) || c == '\u{200b}' || c == '\u{feff}')
    {
        return Err("the name of a token has no control characters and no invisible ones".to_owned());
    }
    match (1..=DAYS_MOST).contains(&request.days) {
        true => Ok(()),
        false => Err(format!("a token is valid for 1 to {DAYS_MOST} days")),
    }
}

/// Revokes a token of the actor's own account, or of another account if the actor manages accounts. Ends the sessions
/// that began with it. The actor's own token must carry all permissions of its account.
pub async fn revoke(store: &Store, actor: &Actor, id: &TokenId, now: Timestamp) -> Result<AccessToken> {
    let unknown = || Refusal::NotFound(format!("there is no token {id:?}", id = id.as_str()));
    let token = store.token(id).await?.ok_or_else(unknown)?;
    if actor.account.as_ref() != Some(&token.account_id) && actor.require_all(Permission::Accounts).is_err() {
        // the actor must not learn which tokens other accounts have
        return Err(unknown().into());
    }
    require_whole(actor)?;
    let owner = store.account_name(&token.account_id).await?.unwrap_or_default();
    let mut tx = store.begin().await?;
    if store.revoke_token(&mut tx, id, now).await? {
        let change = AuditedChange {
            action: "revoke token",
            subject: format!("account {owner}"),
            before: Some(json!({ "id": token.id, "name": token.name })),
            after: None,
        };
        record(store, &mut tx, actor, change, now).await?;
    }
    tx.commit().await?;
    Ok(token)
}
