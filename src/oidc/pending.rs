//! A login in progress. Everything about it derives from the secret in the browser's cookie, so the coordinator stores
//! nothing, and no other browser can end it.

use crate::domain::digest::digest;
use crate::domain::time::Timestamp;
use crate::enrolment::Token;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The time limit for a login at the provider, in milliseconds.
pub const LOGIN_MS: i64 = 10 * 60_000;
/// How far the coordinator's clock may go back during a login, in milliseconds.
const SKEW_MS: i64 = 60_000;
/// The most bytes of the cookie.
const COOKIE_MOST: usize = 2048;
/// The most bytes of `next`. A longer path becomes `/`.
const NEXT_MOST: usize = 1024;

/// A login that has begun and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingLogin {
    cookie: String,
    /// The page to show after the login. It comes from the browser, so check it before use.
    pub next: String,
}

impl PendingLogin {
    pub fn new(secret: &Token, next: &str, now: Timestamp) -> Self {
        let next = if next.len() > NEXT_MOST { "/" } else { next };
        Self {
            cookie: format!("{now}.{}.{}", secret.secret(), URL_SAFE_NO_PAD.encode(next)),
            next: next.to_owned(),
        }
    }

    /// Reads the cookie of a login. Returns `None` if it is malformed, older than [`LOGIN_MS`], or from the future.
    pub fn read(cookie: &str, now: Timestamp) -> Option<Self> {
        if cookie.len() > COOKIE_MOST {
            return None;
        }
        let (begun, rest) = cookie.split_once('.')?;
        let (_, next) = rest.split_once('.')?;
        let begun = Timestamp::from_millis(begun.parse().ok()?);
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        let is_timely = begun > now - LOGIN_MS && begun < now + SKEW_MS;
        is_timely.then(|| Self {
            cookie: cookie.to_owned(),
            next,
        })
    }

    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Returns the parameter `state`, which the provider sends back with its response.
    pub fn state(&self) -> String {
        self.derive("state")
    }

    /// Returns the claim `nonce`, which the ID token must contain.
    pub fn nonce(&self) -> String {
        self.derive("nonce")
    }

    /// Returns the code verifier of PKCE (RFC 7636): 64 characters.
    pub fn verifier(&self) -> String {
        self.derive("verifier")
    }

    /// Returns the key of this login in the list of ended logins.
    pub fn mark(&self) -> String {
        self.derive("mark")
    }

    fn derive(&self, what: &str) -> String {
        digest(&[b"oidc", what.as_bytes(), self.cookie.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_from_its_cookie_for_a_while() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let login = PendingLogin::new(&Token::new().unwrap(), "/submit?project=a", now);
        let read = PendingLogin::read(login.cookie(), now + LOGIN_MS - 1).unwrap();
        assert_eq!(read, login);
        assert_eq!(read.next, "/submit?project=a");
        assert_eq!(PendingLogin::read(login.cookie(), now + LOGIN_MS), None);
        assert_eq!(PendingLogin::read(login.cookie(), now - SKEW_MS), None);
        let long = "x".repeat(COOKIE_MOST);
        for wrong in [
            "",
            ".",
            "1.2",
            "x.y.Lw",
            "1700000000000.y.!",
            &format!("{now}.y.{long}"),
        ] {
            assert_eq!(PendingLogin::read(wrong, now), None, "{wrong}");
        }
        assert_eq!(PendingLogin::new(&Token::new().unwrap(), &long, now).next, "/");
    }

    #[test]
    fn no_part_of_a_login_leads_to_another() {
        let new = || PendingLogin::new(&Token::new().unwrap(), "/", Timestamp::default());
        let (login, other) = (new(), new());
        let all = [
            login.state(),
            login.nonce(),
            login.verifier(),
            login.mark(),
            other.state(),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        // RFC 7636 asks for 43 to 128 characters
        assert_eq!(login.verifier().len(), 64);
    }
}
