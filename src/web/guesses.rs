//! How many wrong tokens an address may send.

use super::error::Error;
use super::peer::Peer;
use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Wrong secrets that one address may send in a minute.
const GUESSES: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// Addresses that are remembered for that; above this, those that have been quiet are forgotten.
const ADDRESSES_MOST: usize = 10_000;

/// Counts wrong secrets by address.
pub struct Guesses(RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, DefaultClock>);

impl Default for Guesses {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(GUESSES)))
    }
}

impl Guesses {
    /// The error for a wrong secret: unauthorized, or too many of them.
    pub fn wrong(&self, peer: &Peer) -> Error {
        if self.0.len() > ADDRESSES_MOST {
            self.0.retain_recent();
        }
        match self.0.check_key(&peer.network.address()) {
            Ok(()) => Error::Unauthorized(
                "this token is unknown, expired or revoked; `pybots login` takes another one, and docs/access.md says where to get it".into(),
            ),
            Err(_) => Error::TooMany("too many wrong tokens came from this address; wait a minute".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_waits() {
        let guesses = Guesses::default();
        let peer = Peer::default();
        let wrong = (0..GUESSES.get())
            .filter(|_| matches!(guesses.wrong(&peer), Error::Unauthorized(_)))
            .count();
        assert_eq!(wrong, 30);
        assert!(matches!(guesses.wrong(&peer), Error::TooMany(_)));
    }
}
