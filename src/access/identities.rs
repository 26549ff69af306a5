//! Logins by an identity provider: finds the account of an identity.

use super::accounts::{added, find};
use super::actor::Actor;
use super::audit::{AuditedChange, record};
use super::sessions::SESSION_MS;
use crate::domain::access::{NewAccounts, Permission, Permissions, Roles, name_from};
use crate::domain::refusal::Refusal;
use crate::domain::time::{HOUR_MS, Timestamp};
use crate::enrolment::Token;
use crate::store::accounts::Account;
use crate::store::identities::Identity;
use crate::store::tokens::NewToken;
use crate::store::{Store, Tx};
use anyhow::Result;
use serde_json::{Value, json};

/// The most accounts that logins may create in an hour.
const MADE_MOST: i64 = 20;
/// The most names to try for such an account.
const NAMES_MOST: u32 = 100;
/// Names that only an operator can give to an account.
const RESERVED: [&str; 4] = ["operator", "policy", "root", "admin"];

/// A person whom an identity provider has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VouchedPerson<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    /// A mail address that the provider has verified.
    pub mail: Option<&'a str>,
    /// The name that the person prefers. Empty if the provider does not state one.
    pub name: &'a str,
}

/// Begins a session in the account of the person's identity. If no account has the identity, the only account with the
/// person's mail address gets it or, if none has the address, a new account without roles if `new_accounts` allows
/// that. Fails otherwise, and if the account is disabled. Returns the secret of the session's cookie.
pub async fn begin_by_identity(
    store: &Store,
    person: &VouchedPerson<'_>,
    new_accounts: NewAccounts,
    address: &str,
    now: Timestamp,
) -> Result<Token> {
    let mut tx = store.begin().await?;
    // serializes two logins of one person, and logins with changes of accounts
    store.lock_accounts(&mut tx).await?;
    let (account, is_linked) = match store.identity(&mut tx, person.issuer, person.subject).await? {
        Some(identity) => {
            store.note_login(&mut tx, &identity, now).await?;
            (store.lock_account(&mut tx, &identity.account_id).await?, true)
        }
        None => {
            let found = by_mail(store, &mut tx, person).await?;
            match (found, new_accounts) {
                (MailMatch::One(account), _) => (Some(account), false),
                (MailMatch::None, NewAccounts::Create) => {
                    (Some(make(store, &mut tx, person, address, now).await?), false)
                }
                _ => (None, false),
            }
        }
    };
    let account = account.ok_or_else(unknown)?;
    if account.disabled {
        let message = format!(
            "the account {} is disabled; ask an operator of this coordinator",
            account.name
        );
        return Err(Refusal::NotAllowed(message).into());
    }
    let new = NewToken {
        account: &account.id,
        name: "login by identity",
        digest: &Token::digest(Token::new()?.secret()),
        permissions: &Permissions::all(),
        expires_at: now + SESSION_MS,
        login: true,
    };
    let token = store.insert_token(&mut tx, &new, now).await?;
    if !is_linked {
        let actor = Actor::of(account.clone(), &token, address);
        link(store, &mut tx, (&actor, &account), person, now).await?;
    }
    let cookie = Token::new()?;
    let digest = Token::digest(cookie.secret());
    store
        .insert_session(&mut tx, &digest, &token, (now, token.expires_at))
        .await?;
    store.remove_ended_logins(&mut tx, &account.id).await?;
    tx.commit().await?;
    Ok(cookie)
}

fn unknown() -> Refusal {
    Refusal::NotAllowed(
        "there is no account for you here; ask an operator of this coordinator to add one with the mail address that your identity \
         provider has verified"
            .to_owned(),
    )
}

enum MailMatch {
    None,
    One(Account),
    /// More than one account has the mail address.
    Several,
}

async fn by_mail(store: &Store, tx: &mut Tx, person: &VouchedPerson<'_>) -> Result<MailMatch> {
    let Some(mail) = person.mail else {
        return Ok(MailMatch::None);
    };
    let mut found = store.accounts_with_mail(tx, mail, 2).await?;
    Ok(match (found.pop(), found.is_empty()) {
        (None, _) => MailMatch::None,
        (Some(account), true) => MailMatch::One(account),
        (Some(_), false) => MailMatch::Several,
    })
}

async fn link(
    store: &Store,
    tx: &mut Tx,
    (actor, account): (&Actor, &Account),
    person: &VouchedPerson<'_>,
    now: Timestamp,
) -> Result<()> {
    let identity = Identity {
        issuer: person.issuer.to_owned(),
        subject: person.subject.to_owned(),
        account_id: account.id.clone(),
        linked_at: now,
        used_at: Some(now),
    };
    // a mail address can pass to another person: the account stays with the first
    if !store.insert_identity(tx, &identity).await? {
        let message = format!(
            "the account {} belongs to another identity of your provider; if it is yours, ask an operator to unlink that one",
            account.name
        );
        return Err(Refusal::NotAllowed(message).into());
    }
    let change = AuditedChange {
        action: "link identity",
        subject: format!("account {}", account.name),
        before: None,
        after: Some(shown(&identity)),
    };
    record(store, tx, actor, change, now).await
}

fn shown(identity: &Identity) -> Value {
    json!({ "issuer": identity.issuer, "subject": identity.subject })
}

/// Adds an account without roles for a person.
async fn make(
    store: &Store,
    tx: &mut Tx,
    person: &VouchedPerson<'_>,
    address: &str,
    now: Timestamp,
) -> Result<Account> {
    if store.accounts_made(tx, now - HOUR_MS).await? >= MADE_MOST {
        let message =
            format!("{MADE_MOST} people got an account within the last hour; try again in an hour, or ask an operator");
        return Err(Refusal::NotAllowed(message).into());
    }
    let local = person.mail.and_then(|mail| mail.split('@').next()).unwrap_or_default();
    let base = [person.name, local].into_iter().find_map(name_from);
    let base = base.unwrap_or_else(|| "person".to_owned());
    let mail = person.mail.unwrap_or_default();
    let numbered = (2..=NAMES_MOST).map(|number| format!("{base}-{number}"));
    let plain = Some(base.clone()).filter(|name| !RESERVED.contains(&name.as_str()));
    for name in plain.into_iter().chain(numbered) {
        if let Some(account) = store.insert_account(tx, &name, mail, &Roles::default(), now).await? {
            let actor = Actor {
                address: address.to_owned(),
                ..Actor::policy()
            };
            added(store, tx, &actor, &account, now).await?;
            return Ok(account);
        }
    }
    Err(Refusal::NotAllowed(format!(
        "all names like {base:?} are taken; ask an operator for an account"
    ))
    .into())
}

/// Removes the identities of an account, and ends the sessions that began with them. The next login with a verified
/// mail address links the account again.
pub async fn unlink(store: &Store, actor: &Actor, name: &str, now: Timestamp) -> Result<Account> {
    actor.require_all(Permission::Accounts)?;
    let account = find(store, name).await?;
    let mut tx = store.begin().await?;
    // a login at the same moment either ends first, and its session ends here, or finds no identity
    store.lock_accounts(&mut tx).await?;
    let removed = store.remove_identities(&mut tx, &account.id, now).await?;
    if removed.is_empty() {
        return Err(Refusal::Conflict(format!("the account {name:?} has no identity")).into());
    }
    let change = AuditedChange {
        action: "unlink identity",
        subject: format!("account {name}"),
        before: Some(removed.iter().map(shown).collect()),
        after: None,
    };
    record(store, &mut tx, actor, change, now).await?;
    tx.commit().await?;
    Ok(account)
}
