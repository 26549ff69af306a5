//! How many changes an account may make in a minute.

use super::error::Error;
use crate::access::Actor;
use crate::domain::id::AccountId;
use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;

/// Changes of one account in a minute.
const CHANGES: NonZeroU32 = NonZeroU32::MIN.saturating_add(119);
/// Accounts that are remembered for that; above this, those that have been quiet are forgotten.
const ACCOUNTS_MOST: usize = 10_000;

/// Counts changes by account.
pub struct Changes(RateLimiter<AccountId, DefaultKeyedStateStore<AccountId>, DefaultClock>);

impl Default for Changes {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(CHANGES)))
    }
}

impl Changes {
    /// Counts a change, and fails if there are too many. A person on the coordinator's machine is not counted.
    pub fn check(&self, actor: Option<&Actor>) -> Result<(), Error> {
        let Some(account) = actor.and_then(|actor| actor.account.as_ref()) else {
            return Ok(());
        };
        if self.0.len() > ACCOUNTS_MOST {
            self.0.retain_recent();
        }
        self.0
            .check_key(account)
            .map_err(|_| Error::TooMany(format!("an account makes {CHANGES} changes a minute; wait a while").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_too_much_waits() {
        let changes = Changes::default();
        let of = |account: &str| Actor {
            account: Some(account.into()),
            ..Actor::local("a")
        };
        assert_eq!((0..200).filter(|_| changes.check(Some(&of("a"))).is_ok()).count(), 120);
        changes.check(Some(&of("b"))).unwrap();
        changes.check(None).unwrap();
    }
}
