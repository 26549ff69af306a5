//! Rate limits: wrong tokens and logins of an address, and changes of an account.

use super::error::Error;
use super::peer::Peer;
use crate::access::Actor;
use crate::domain::access::{CHANGES_PER_MINUTE, WRONG_TOKENS_PER_MINUTE};
use crate::domain::id::AccountId;
use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// The most steps of logins by the identity provider that one address can make in a minute.
const LOGINS: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

/// The number of addresses or accounts above which inactive ones are dropped.
const KEYS_MOST: usize = 10_000;

/// A rate limit per minute, for each key.
struct PerMinute<K: Hash + Eq + Clone>(RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>);

impl<K: Hash + Eq + Clone> PerMinute<K> {
    fn new(most: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(most)))
    }

    /// Counts an event. Returns `false` if the limit is exceeded.
    fn count(&self, key: &K) -> bool {
        if self.0.len() > KEYS_MOST {
            self.0.retain_recent();
        }
        self.0.check_key(key).is_ok()
    }
}

/// The rate limits of a coordinator.
pub struct Rates {
    guesses: PerMinute<IpAddr>,
    logins: PerMinute<IpAddr>,
    changes: PerMinute<AccountId>,
    /// The most changes of one account in a minute, for the message.
    changes_most: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self::new(WRONG_TOKENS_PER_MINUTE, CHANGES_PER_MINUTE)
    }
}

impl Rates {
    /// Builds the limits. `guesses` is the number of wrong tokens of an address in a minute, `changes` the number of
    /// changes of an account.
    pub fn new(guesses: NonZeroU32, changes: NonZeroU32) -> Self {
        Self {
            guesses: PerMinute::new(guesses),
            logins: PerMinute::new(LOGINS),
            changes: PerMinute::new(changes),
            changes_most: changes,
        }
    }

    /// Counts a wrong token. Returns the error: unauthorized, or too many.
    pub fn wrong_token(&self, peer: &Peer) -> Error {
        match self.guesses.count(&peer.network.address()) {
            true => Error::Unauthorized(
                "this token is unknown, expired or revoked; `pybots login` takes another one, and docs/access.md says where to get it".into(),
            ),
            false => Error::TooMany("too many wrong tokens came from this address; wait a minute".into()),
        }
    }

    /// Counts a step of a login by the identity provider. Fails if there are too many.
    pub fn login(&self, peer: &Peer) -> Result<(), Error> {
        match self.logins.count(&peer.network.address()) {
            true => Ok(()),
            false => Err(Error::TooMany(
                "too many logins were begun from this address; wait a minute".into(),
            )),
        }
    }

    /// Counts a change. Fails if there are too many. A person on the coordinator's machine has no limit.
    pub fn change(&self, actor: Option<&Actor>) -> Result<(), Error> {
        let account = actor.and_then(|actor| actor.account.as_ref());
        match account.is_none_or(|account| self.changes.count(account)) {
            true => Ok(()),
            false => Err(Error::TooMany(
                format!("an account makes {} changes a minute; wait a while", self.changes_most).into(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_waits() {
        let (rates, peer) = (Rates::default(), Peer::default());
        let wrong = (0..100).filter(|_| matches!(rates.wrong_token(&peer), Error::Unauthorized(_)));
        assert_eq!(wrong.count(), 30);
        assert!(matches!(rates.wrong_token(&peer), Error::TooMany(_)));
    }

    #[test]
    fn who_changes_too_much_waits_and_others_go_on() {
        let rates = Rates::default();
        let of = |account: &str| Actor {
            account: Some(account.into()),
            ..Actor::local("a")
        };
        assert_eq!((0..200).filter(|_| rates.change(Some(&of("a"))).is_ok()).count(), 120);
        rates.change(Some(&of("b"))).unwrap();
        rates.change(Some(&Actor::local("a"))).unwrap();
        rates.change(None).unwrap();
    }
}
