//! Accounts: how they are added and changed.

use super::actor::Actor;
use super::audit::{AuditedChange, record};
use crate::domain::access::{Permission, Permissions, Role, Roles, check_mail, check_name};
use crate::domain::refusal::Refusal;
use crate::domain::time::{DAY_MS, Timestamp};
use crate::enrolment::Token;
use crate::store::accounts::Account;
use crate::store::tokens::NewToken;
use crate::store::{Store, Tx};
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The name of the first account.
const FIRST: &str = "operator";
/// Days for which the first token of that account is valid.
const FIRST_DAYS: i64 = 30;

/// Adds the first operator and issues its token if the store has no account yet. Returns the token, whose secret can't
/// be read again, or `None` if there is an account.
pub async fn first_operator(store: &Store, now: Timestamp) -> Result<Option<Token>> {
    let mut tx = store.begin().await?;
    if store.has_accounts(&mut tx).await? {
        return Ok(None);
    }
    let roles: Roles = [Role::Operator].into_iter().collect();
    let Some(account) = store.insert_account(&mut tx, FIRST, "", &roles, now).await? else {
        return Ok(None);
    };
    let token = Token::new()?;
    let new = NewToken {
        account: &account.id,
        name: "first start",
        digest: &Token::digest(token.secret()),
        permissions: &Permissions::all(),
        expires_at: now + FIRST_DAYS * DAY_MS,
        login: false,
    };
    store.insert_token(&mut tx, &new, now).await?;
    added(store, &mut tx, &Actor::policy(), &account, now).await?;
    tx.commit().await?;
    Ok(Some(token))
}

/// Adds an account. It can't do anything before a token is issued for it, or its person logs in by an identity. Fails
/// if another account has the name or the mail address.
pub async fn add(
    store: &Store,
    actor: &Actor,
    (name, mail): (&str, &str),
    roles: &Roles,
    now: Timestamp,
) -> Result<Account> {
    actor.require_all(Permission::Accounts)?;
    check_name(name).map_err(Refusal::Invalid)?;
    if !mail.is_empty() {
        check_mail(mail).map_err(Refusal::Invalid)?;
    }
    let mut tx = store.begin().await?;
    store.lock_accounts(&mut tx).await?;
    check_free(store, &mut tx, mail).await?;
    let account = store.insert_account(&mut tx, name, mail, roles, now).await?;
    let account = account.ok_or_else(|| Refusal::Conflict(format!("there is an account {name:?} already")))?;
    added(store, &mut tx, actor, &account, now).await?;
    tx.commit().await?;
    Ok(account)
}

/// Fails if an account has this mail address already, in upper or lower case. Hosts belong to an account by its
/// address, and people log in by it.
async fn check_free(store: &Store, tx: &mut Tx, mail: &str) -> Result<()> {
    if mail.is_empty() {
        return Ok(());
    }
    match store.accounts_with_mail(tx, mail, 1).await?.pop() {
        None => Ok(()),
        Some(other) => Err(Refusal::Conflict(format!(
            "the account {:?} has the mail address {:?}, and no two accounts have the same one; give another address, or none",
            other.name, other.mail
        ))
        .into()),
    }
}

pub(super) async fn added(store: &Store, tx: &mut Tx, actor: &Actor, account: &Account, now: Timestamp) -> Result<()> {
    let change = AuditedChange {
        action: "add account",
        subject: format!("account {}", account.name),
        before: None,
        after: Some(shown(account)),
    };
    record(store, tx, actor, change, now).await
}

/// The changes that an operator makes to an account. A field that is `None` keeps its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    pub mail: Option<String>,
    pub roles: Option<Roles>,
    /// A disabled account loses its tokens and sessions for good.
    pub disabled: Option<bool>,
}

/// Changes an account. Fails if no active operator would be left, so that nobody is locked out, or if another account
/// has the new mail address.
pub async fn change(
    store: &Store,
    actor: &Actor,
    name: &str,
    change: AccountChange,
    now: Timestamp,
) -> Result<Account> {
    actor.require_all(Permission::Accounts)?;
    let before = find(store, name).await?;
    let after = Account {
        mail: change.mail.unwrap_or_else(|| before.mail.clone()),
        roles: change.roles.unwrap_or_else(|| before.roles.clone()),
        disabled: change.disabled.unwrap_or(before.disabled),
        ..before.clone()
    };
    if !after.mail.is_empty() {
        check_mail(&after.mail).map_err(Refusal::Invalid)?;
    }
    let mut tx = store.begin().await?;
    store.lock_accounts(&mut tx).await?;
    // older accounts may share an address, and can still be changed
    if !after.mail.eq_ignore_ascii_case(&before.mail) {
        check_free(store, &mut tx, &after.mail).await?;
    }
    if !store.set_account(&mut tx, &before, &after).await? {
        let message = format!("somebody else has just changed the account {name:?}; look at it, and try again");
        return Err(Refusal::Stale(message).into());
    }
    if store.active_with_role(&mut tx, Role::Operator.name()).await? == 0 {
        let message = format!("{name:?} is the last operator; give another account that role first");
        return Err(Refusal::Conflict(message).into());
    }
    if after.disabled {
        store.revoke_all(&mut tx, &after.id, now).await?;
    }
    let entry = AuditedChange {
        action: "change account",
        subject: format!("account {name}"),
        before: Some(shown(&before)),
        after: Some(shown(&after)),
    };
    record(store, &mut tx, actor, entry, now).await?;
    tx.commit().await?;
    Ok(after)
}

pub(super) async fn find(store: &Store, name: &str) -> Result<Account> {
    let account = store.account(name).await.context("failed to read an account")?;
    let unknown = || Refusal::NotFound(format!("there is no account {name:?}"));
    Ok(account.ok_or_else(unknown)?)
}

fn shown(account: &Account) -> Value {
    json!({ "mail": account.mail, "roles": account.roles.list(), "disabled": account.disabled })
}
