//! Decides which requests reach the routes. Such a request has a plain path without NUL, and a name of this
//! coordinator.

use crate::config::HttpSettings;
use crate::web::Error;
use warp::http::header::{self, HeaderMap};
use warp::http::{Method, Request, Uri, Version};

/// The most characters of a client's text that a message quotes.
const SHOWN: usize = 100;

/// Checks all of a request except its body. The error names the problem, and the setting to change.
pub fn check<B>(request: &Request<B>, settings: &HttpSettings) -> Result<(), Error> {
    is_plain(request.method(), request.uri())?;
    if let Some(host) = host(request.version(), request.headers())?
        && !settings.answers_to(without_port(host))
    {
        let host: String = without_port(host).chars().take(SHOWN).collect();
        let message = format!(
            "this coordinator does not answer to the name {host:?}; if that is its name, add it to `http.names` in the coordinator's settings and restart it"
        );
        return Err(Error::Misdirected(message.into()));
    }
    match request.uri().path_and_query() {
        Some(target) if has_nul(target.as_str()) => Err(Error::BadRequest(
            "the address has a NUL character (%00); no name, id or number has one".into(),
        )),
        _ => Ok(()),
    }
}

/// Fails unless the target is a path. `CONNECT` and absolute addresses are for proxies, and `*` means the whole server.
fn is_plain(method: &Method, uri: &Uri) -> Result<(), Error> {
    if *method == Method::CONNECT {
        return Err(Error::MethodNotAllowed);
    }
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(Error::BadRequest("this is no proxy; ask for a path, such as /".into()));
    }
    match uri.path().starts_with('/') {
        true => Ok(()),
        false => Err(Error::BadRequest("ask for a path that begins with /".into())),
    }
}

/// Returns the header `Host`. Only HTTP/1.0 allows requests without it, and no browser sends such requests.
fn host(version: Version, headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(Error::BadRequest("the header host is missing".into())),
        (Some(_), Some(_)) => Err(Error::BadRequest("there are several headers host".into())),
        (Some(host), None) => match host.to_str() {
            Ok(host) => Ok(Some(host)),
            Err(_) => Err(Error::BadRequest("the header host can't be read".into())),
        },
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Returns whether a path or query has a NUL after decoding. Not all databases can store one.
fn has_nul(target: &str) -> bool {
    target.contains("%00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_the_name() {
        for (host, name) in [
            ("localhost:8042", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("x:", "x"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
