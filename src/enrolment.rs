//! Enrolment: how a host is registered and gets its token, and what an operator may do with it.

use crate::domain::access::check_mail;
use crate::domain::digest::digest;
use crate::domain::host::{HostState, is_name};
use crate::domain::id::HostId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::store::hosts::HostRow;
use crate::store::{Store, new_id};
use anyhow::Result;

/// The secret that a host sends with each call. It is shown once; the store has only its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The prefix by which people and secret scanners recognize a token.
const PREFIX: &str = "pybots_";

impl Token {
    /// Creates a token of 256 random bits.
    pub fn new() -> Result<Self> {
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
        Ok(Self(format!("{PREFIX}{}", hex::encode(secret))))
    }

    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Returns the digest of a token, which the store has. Nobody can guess the 256 random bits of a token. So one
    /// round of SHA-256 protects it as well as a slow digest, for which every call would have to wait.
    pub fn digest(secret: &str) -> String {
        digest(&[secret.as_bytes()])
    }
}

/// Registers a host and gives it its first token. Fails if the name or the owner's address is not valid, or if a host
/// has the name already.
pub async fn add(store: &Store, name: &str, owner: &str, builds: bool, now: Timestamp) -> Result<(HostRow, Token)> {
    // an id is a UUID, and hosts are found by their ids too
    if !is_name(name) || uuid::Uuid::parse_str(name).is_ok() {
        return Err(Refusal::Invalid(format!(
            "a host can't be called {name:?}; take up to 64 letters, digits, `-`, `_` and `.`"
        ))
        .into());
    }
    check_mail(owner).map_err(Refusal::Invalid)?;
    if !store
        .insert_host(&HostId::from(new_id()), name, owner, builds, now)
        .await?
    {
        return Err(Refusal::Conflict(format!(
            "there is a host {name:?} already; `pybots host rotate {name}` gives it a new token"
        ))
        .into());
    }
    rotate(store, name, now).await
}

/// Gives a host a new token; the old one is no longer valid.
pub async fn rotate(store: &Store, name: &str, now: Timestamp) -> Result<(HostRow, Token)> {
    let host = find(store, name).await?;
    let token = Token::new()?;
    if !store
        .set_host_token(&host.id, Some(&Token::digest(token.secret())), now)
        .await?
    {
        return Err(Refusal::Conflict(format!("host {name:?} was removed; add it under another name")).into());
    }
    Ok((host, token))
}

/// Makes the token of a host invalid.
pub async fn revoke(store: &Store, name: &str, now: Timestamp) -> Result<HostRow> {
    let host = find(store, name).await?;
    store.set_host_token(&host.id, None, now).await?;
    Ok(host)
}

/// Moves a host to a state. Fails if the host was removed.
pub async fn bring(store: &Store, name: &str, to: HostState) -> Result<HostRow> {
    let host = find(store, name).await?;
    let from = host.state;
    if from == HostState::Removed && to != HostState::Removed {
        return Err(Refusal::Conflict(format!("host {name:?} was removed; add it under another name")).into());
    }
    // resuming an active host ends its back-off
    let changes = from != to || to == HostState::Active;
    if changes && !store.move_host(&host.id, from, to).await? {
        return Err(Refusal::Conflict(format!(
            "somebody else has just changed host {name:?}; look at `pybots host list`, and try again"
        ))
        .into());
    }
    Ok(host)
}

/// Sets whether a host may build images.
pub async fn trust(store: &Store, name: &str, builds: bool) -> Result<HostRow> {
    let host = find(store, name).await?;
    store.trust_host(&host.id, builds).await?;
    Ok(host)
}

/// Registers the host that runs in the coordinator's process, with permission to build images, unless it is registered
/// already. Returns a new token; the old one is no longer valid.
pub async fn own(store: &Store, id: &HostId, now: Timestamp) -> Result<Token> {
    let name = format!("local-{}", &id.as_str()[id.as_str().len().saturating_sub(6)..]);
    store.insert_host(id, &name, "", true, now).await?;
    let (_, token) = rotate(store, id.as_str(), now).await?;
    Ok(token)
}

async fn find(store: &Store, name: &str) -> Result<HostRow> {
    match store.host(name).await? {
        Some(host) => Ok(host),
        None => Err(Refusal::NotFound(format!("there is no host {name:?}; `pybots host list` shows all hosts")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_random_bits() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert_ne!(one.secret(), other.secret());
        assert_eq!(one.secret().len(), PREFIX.len() + 64);
        assert_ne!(Token::digest(one.secret()), Token::digest(other.secret()));
        assert!(!Token::digest(one.secret()).contains(&one.secret()[PREFIX.len()..]));
    }
}
