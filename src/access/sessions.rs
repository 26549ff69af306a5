//! Sessions: browsers that are logged in.

use super::actor::Actor;
use crate::domain::digest::digest;
use crate::domain::time::{HOUR_MS, Timestamp};
use crate::enrolment::Token;
use crate::store::Store;
use anyhow::Result;

/// The longest time that a session lasts, in milliseconds.
pub(super) const SESSION_MS: i64 = 12 * HOUR_MS;

/// A browser that is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub actor: Actor,
    /// The secret that each form of the session carries, so that no other site can send one.
    pub csrf: String,
}

/// Begins a session by an access token. Returns the secret of its cookie, or `None` if the token is not valid. The
/// secret is new each time, so nobody can prepare a session for another person.
pub async fn begin(store: &Store, secret: &str, now: Timestamp) -> Result<Option<Token>> {
    let Some((token, _)) = store.token_of(&Token::digest(secret), now).await? else {
        return Ok(None);
    };
    let cookie = Token::new()?;
    let until = (now + SESSION_MS).min(token.expires_at);
    let mut tx = store.begin().await?;
    let digest = Token::digest(cookie.secret());
    store.insert_session(&mut tx, &digest, &token, (now, until)).await?;
    tx.commit().await?;
    store.note_use(&token, now).await?;
    Ok(Some(cookie))
}

/// Returns the session of a cookie's secret, or `None` if no valid session has it, or its token or account is no longer
/// valid.
pub async fn session(store: &Store, cookie: &str, address: &str, now: Timestamp) -> Result<Option<Session>> {
    let found = store.session_of(&Token::digest(cookie), now).await?;
    Ok(found.map(|(token, account)| Session {
        actor: Actor::of(account, &token, address),
        csrf: csrf_of(cookie),
    }))
}

/// Returns the secret that the session's forms carry. It does not reveal the cookie.
fn csrf_of(cookie: &str) -> String {
    digest(&[b"form", cookie.as_bytes()])
}

pub async fn end(store: &Store, cookie: &str, now: Timestamp) -> Result<()> {
    let mut tx = store.begin().await?;
    store.end_session(&mut tx, &Token::digest(cookie), now).await?;
    tx.commit().await
}
