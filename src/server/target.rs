//! Which requests reach the routes: those with a plain path, for a name of this coordinator, without NUL.

use crate::config::HttpSettings;
use crate::web::Error;
use warp::http::header::{self, HeaderMap};
use warp::http::{Method, Request, Uri, Version};

/// Characters of a client's text that a message repeats.
const SHOWN: usize = 100;

/// Checks everything of a request but its body. The error says what is wrong, and which setting to change.
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

/// Only a path is served. `CONNECT` and absolute addresses are for proxies, and `*` means the server as a whole.
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

/// The header `Host`. HTTP/1.0 has requests without it, and no browser makes such.
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

/// Whether a path or query has a NUL once it is decoded. No database stores one.
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
