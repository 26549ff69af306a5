//! Registered hosts: how one is added, what its token is, and what a maintainer may do with it.

use crate::domain::host::{HostState, is_name};
use crate::profile::digest;
use crate::store::hosts::HostRow;
use crate::store::{Store, new_id};
use anyhow::{Result, bail};

/// What a host shows at each call. It is handed over once; the store has its digest only.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// By which people and scanners of repositories know what it is.
const PREFIX: &str = "pybots_";

impl Token {
    /// 256 bits of chance.
    pub fn new() -> Result<Self> {
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
        Ok(Self(format!("{PREFIX}{}", hex::encode(secret))))
    }

    pub fn secret(&self) -> &str {
        &self.0
    }

    /// As it is stored. The token is 256 bits of chance, so that no list of words finds it: one round of SHA-256
    /// protects it as well as a slow digest, which each call would have to wait for.
    pub fn digest(secret: &str) -> String {
        digest(&[secret.as_bytes()])
    }
}

/// Adds a host, and gives it its first token.
pub async fn add(store: &Store, name: &str, owner: &str, builds: bool, now: i64) -> Result<(HostRow, Token)> {
    if !is_name(name) {
        bail!("a host can't be called {name:?}; take up to 64 letters, digits, `-`, `_` and `.`");
    }
    if !owner.contains('@') {
        bail!("{owner:?} is no mail address; the owner gets to know there when the host falls silent");
    }
    if !store.insert_host(&new_id(), name, owner, builds, now).await? {
        bail!("there is a host {name:?} already; `pybots host rotate {name}` gives it another token");
    }
    rotate(store, name, now).await
}

/// Gives a host a new token; the one before holds no longer.
pub async fn rotate(store: &Store, name: &str, now: i64) -> Result<(HostRow, Token)> {
    let host = find(store, name).await?;
    let token = Token::new()?;
    if !store
        .set_host_token(&host.id, Some(&Token::digest(token.secret())), now)
        .await?
    {
        bail!("host {name:?} was removed; add it under another name");
    }
    Ok((host, token))
}

/// Lets no token of a host hold any more.
pub async fn revoke(store: &Store, name: &str, now: i64) -> Result<HostRow> {
    let host = find(store, name).await?;
    store.set_host_token(&host.id, None, now).await?;
    Ok(host)
}

/// Brings a host into a state, from whichever it is in; one that was removed stays so.
pub async fn bring(store: &Store, name: &str, to: HostState) -> Result<HostRow> {
    let host = find(store, name).await?;
    let from = host.state();
    if from == HostState::Removed && to != HostState::Removed {
        bail!("host {name:?} was removed; add it under another name");
    }
    // a host that rests is active, and is to work at once
    let changes = from != to || to == HostState::Active;
    if changes && !store.move_host(&host.id, from, to).await? {
        bail!("host {name:?} has just been changed by somebody else; look at `pybots host list`, and try again");
    }
    Ok(host)
}

/// Says whether a host may build images.
pub async fn trust(store: &Store, name: &str, builds: bool) -> Result<HostRow> {
    let host = find(store, name).await?;
    store.trust_host(&host.id, builds).await?;
    Ok(host)
}

/// The host of this very process, under its own id; it may do everything.
pub async fn own(store: &Store, id: &str, now: i64) -> Result<Token> {
    let name = format!("local-{}", &id[id.len().saturating_sub(6)..]);
    store.insert_host(id, &name, "", true, now).await?;
    let (_, token) = rotate(store, id, now).await?;
    Ok(token)
}

async fn find(store: &Store, name: &str) -> Result<HostRow> {
    match store.host(name).await? {
        Some(host) => Ok(host),
        None => bail!("there is no host {name:?}; `pybots host list` shows those that there are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_256_bits_of_chance() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert_ne!(one.secret(), other.secret());
        assert_eq!(one.secret().len(), PREFIX.len() + 64);
        assert_ne!(Token::digest(one.secret()), Token::digest(other.secret()));
        assert!(!Token::digest(one.secret()).contains(&one.secret()[PREFIX.len()..]));
    }
}
