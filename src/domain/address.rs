//! Addresses of repositories, package indexes, proxies and databases. They may hold a login, which nobody must see.

mod login;
mod mask;

pub use mask::{Secrets, StreamMask};

use super::login::Login;
use login::MASK;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// An address that may hold a login: a URL, an address like `user@host:path`, or a path. All ways to print it mask a
/// secret login and the values of its query, so that no page, log, message or database holds it. Only
/// [`Address::with_login`] returns the whole text.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the whole text, for the program or the library that connects. Never print it or store it.
    pub fn with_login(&self) -> &str {
        &self.0
    }

    /// Returns the address without a secret login, and with masked values in its query. The text stays the same when
    /// the login changes, so it can identify a repository, and a reader with a login of their own can use it.
    pub fn without_login(&self) -> String {
        self.printed("")
    }

    /// Returns the address with `masked_login` in place of a secret login. A login that is no secret stays, such as the
    /// user of SSH.
    fn printed(&self, masked_login: &str) -> String {
        let parts = login::Parts::of(&self.0);
        let login = match parts.secret_login() {
            Some(_) => masked_login.to_owned(),
            None => parts.login.map_or_else(String::new, |login| format!("{login}@")),
        };
        format!("{}{login}{}{}", parts.scheme, parts.place, parts.masked_query())
    }

    /// Replaces the secrets of this address in a text of another program, such as an error of git. The text may hold
    /// them raw or percent-encoded, within the address or alone.
    pub fn mask_in(&self, text: &str) -> String {
        login::mask(text, &login::Parts::of(&self.0).secrets())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the address without its secret login, and the decoded login, for a program that takes the two
    /// separately. Unlike [`Address::without_login`], the query stays.
    pub fn apart(&self) -> (String, Option<Login>) {
        let Some(login) = login::Parts::of(&self.0).secret_login() else {
            return (self.0.clone(), None);
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decoded = |text: &str| String::from_utf8_lossy(&login::decoded(text)).into_owned();
        let both = Login {
            user: decoded(user),
            password: decoded(password),
        };
        (self.0.replacen(&format!("{login}@"), "", 1), Some(both))
    }

    /// Returns whether the address has a query, which may contain a secret.
    pub fn has_query(&self) -> bool {
        self.0.contains('?')
    }

    /// Returns whether whoever reads from the address identifies themselves: it has a login or a query, or is for SSH.
    pub fn is_identified(&self) -> bool {
        let is_ssh = self
            .0
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.ends_with("ssh"))
            || (!self.0.contains("://") && self.0.contains('@'));
        self.has_login() || self.has_query() || is_ssh
    }

    /// Returns whether the address has a secret login.
    pub fn has_login(&self) -> bool {
        login::Parts::of(&self.0).secret_login().is_some()
    }
}

/// Replaces the logins of all URLs in a text and the values in their queries. Each byte becomes an asterisk, so that
/// positions in the text stay the same. This is for texts whose secrets are in no list.
pub fn starred(text: &str) -> String {
    with_starred_queries(&with_starred_logins(text))
}

/// Returns the position at which the URL at the beginning of a text ends.
fn end_of_url(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c))
        .unwrap_or(text.len())
}

fn with_starred_queries(text: &str) -> String {
    let starred_pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", "*".repeat(value.len())),
        None => "*".repeat(pair.len()),
    };
    let mut starred = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://").map(|at| at + 3) {
        let (before, after) = rest.split_at(at);
        let (url, others) = after.split_at(end_of_url(after));
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        starred.push_str(before);
        starred.push_str(place);
        if url.len() > place.len() {
            starred.push('?');
        }
        starred.push_str(&query.split('&').map(starred_pair).collect::<Vec<_>>().join("&"));
        rest = others;
    }
    starred + rest
}

fn with_starred_logins(text: &str) -> String {
    let mut starred = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://").map(|at| at + 3) {
        starred.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = end_of_url(rest);
        // a `/` in a password should be encoded, but it must not reveal the password
        if let Some(login) = rest[..end].rfind('@').filter(|at| is_login(&rest[..*at])) {
            starred.push_str(&"*".repeat(login));
            rest = &rest[login..];
        }
    }
    starred + rest
}

/// Returns whether the text between `://` and `@` is a login, rather than a part of a path that contains an `@`.
fn is_login(text: &str) -> bool {
    !text.contains('/')
        || text
            .split('/')
            .next()
            .is_some_and(|host| host.contains(':') && !has_port(host))
}

fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

impl Secrets {
    /// Collects the secret logins of addresses, and the values in their queries.
    pub fn of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Self {
        let of_one = |address: &'a Address| login::Parts::of(&address.0).secrets();
        Self::new(addresses.into_iter().flat_map(of_one).collect())
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.printed(&format!("{MASK}@")))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
