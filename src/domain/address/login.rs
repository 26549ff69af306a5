//! Finds the login in an address, and masks it in other texts.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The text that replaces a secret.
pub(super) const MASK: &str = "***";

/// The least bytes that a part of a login, or a value of a query, needs to be masked alone. A shorter one may be a
/// piece of any word, so a part is masked only together with the rest of the login, and a value not at all.
const SHORTEST: usize = 4;

/// An address in parts. Nothing is decoded: together with the `@` and the `?` between them, the parts are the whole
/// text.
pub(super) struct Parts<'a> {
    /// Up to `://`. Empty for an address like `user@host:path`, and for a path.
    pub scheme: &'a str,
    /// The text before the `@`: `user` or `user:password`.
    pub login: Option<&'a str>,
    /// Host and path.
    pub place: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    pub fn of(text: &'a str) -> Self {
        let Some(end) = text.find("://").map(|at| at + 3) else {
            // as for git, a slash before the `@` makes it a path
            let login = text.rsplit_once('@').filter(|(login, _)| !login.contains('/'));
            return Self {
                scheme: "",
                login: login.map(|(login, _)| login),
                place: login.map_or(text, |(_, place)| place),
                query: None,
            };
        };
        let (scheme, rest) = text.split_at(end);
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let at = match authority.rfind('@') {
            Some(at) => Some(at),
            // a `/`, `?` or `#` in a password should be encoded, but it must not reveal the password
            None if has_port(authority) => None,
            None => rest.rfind('@'),
        };
        let (login, rest) = at.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]));
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        Self {
            scheme,
            login,
            place,
            query,
        }
    }

    /// Returns the login if it is a secret. A user without a password counts as one, because it may be a token. With
    /// SSH it does not, because there the key is the secret.
    pub fn secret_login(&self) -> Option<&'a str> {
        let by_key = self.scheme.is_empty() || self.scheme.ends_with("ssh://");
        self.login
            .filter(|login| !login.is_empty() && (login.contains(':') || !by_key))
    }

    /// Returns the query with its values masked, or an empty text if there is none.
    pub fn masked_query(&self) -> String {
        let masked = |pair: &str| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            None => MASK.to_owned(),
        };
        let query = self.query.filter(|query| !query.is_empty());
        query.map_or_else(String::new, |query| {
            format!("?{}", query.split('&').map(masked).collect::<Vec<_>>().join("&"))
        })
    }

    /// Returns the decoded texts to mask in other places, the longest first. A user that is part of the host or the
    /// path is visible anyway, so it is not masked alone.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let login = self.secret_login();
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (None, None),
        };
        let values = self.query.into_iter().flat_map(|query| query.split('&'));
        let values = values.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let mut secrets: Vec<Vec<u8>> = user
            .filter(|user| !self.place.contains(user))
            .into_iter()
            .chain(password)
            .chain(values)
            .map(decoded)
            .filter(|secret| secret.len() >= SHORTEST)
            .collect();
        secrets.extend(login.map(|login| [decoded(login), b"@".to_vec()].concat()));
        // the login in the form that an HTTP header has
        let basic = login.filter(|login| login.contains(':')).map(decoded);
        secrets.extend(basic.map(|login| BASE64_STANDARD.encode(login).into_bytes()));
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// Returns whether an authority is a host with a port or without one, rather than the beginning of a login.
fn has_port(authority: &str) -> bool {
    let is_ipv6 = authority.starts_with('[');
    let port = authority.split_once(':').map_or("", |(_, port)| port);
    is_ipv6 || port.bytes().all(|b| b.is_ascii_digit())
}

/// Replaces secrets in a text. Both are compared decoded, since programs decode and encode addresses in their own ways.
pub(super) fn mask(text: &str, secrets: &[Vec<u8>]) -> String {
    let pieces = pieces(text.as_bytes());
    let plain: Vec<u8> = pieces.iter().map(|(byte, _)| *byte).collect();
    let mut masked = Vec::new();
    let mut at = 0;
    while let Some((_, raw)) = pieces.get(at) {
        match secrets.iter().find(|secret| plain[at..].starts_with(secret)) {
            Some(secret) => {
                masked.extend(MASK.bytes());
                if secret.ends_with(b"@") {
                    masked.push(b'@');
                }
                at += secret.len();
            }
            None => {
                masked.extend(*raw);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&masked).into_owned()
}

pub(super) fn decoded(text: &str) -> Vec<u8> {
    pieces(text.as_bytes()).into_iter().map(|(byte, _)| byte).collect()
}

/// Returns the bytes of a text, each with its spelling in the text: the byte itself, or `%XX`.
pub(super) fn pieces(text: &[u8]) -> Vec<(u8, &[u8])> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.first() {
        let code = rest.get(1..3).filter(|_| *first == b'%');
        let code = code.filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let byte = code
            .and_then(|code| std::str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        let length = if byte.is_some() { 3 } else { 1 };
        pieces.push((byte.unwrap_or(*first), &rest[..length]));
        rest = &rest[length..];
    }
    pieces
}
