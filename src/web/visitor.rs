//! The visitor of a page or caller of the API: the account of an access token or of a session's cookie.

use super::error::{Error, HandlerResult};
use super::peer::{Peer, peer};
use super::route::{Route, Web};
use crate::access::{self, Actor};
use crate::clock::now;
use std::convert::Infallible;
use warp::filters::BoxedFilter;
use warp::http::header::{self, HeaderMap, HeaderValue};
use warp::path::FullPath;
use warp::{Filter, Rejection};

/// The header with the form token of a session, for scripts of our own pages.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The name of a session's cookie.
const COOKIE: &str = "pybots_session";
/// The name over TLS. Browsers accept it only with `Secure`, from this host, for all paths.
const SECURE_COOKIE: &str = "__Host-pybots_session";

/// The names of the cookie of a login by the identity provider, without and with TLS.
const LOGIN_COOKIE: &str = "pybots_login";
const SECURE_LOGIN_COOKIE: &str = "__Host-pybots_login";

/// A cookie that the coordinator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The cookie of a session.
    Session,
    /// The cookie of a login at the identity provider.
    PendingLogin,
}

impl Cookie {
    fn name(self, is_tls: bool) -> &'static str {
        match (self, is_tls) {
            (Cookie::Session, true) => SECURE_COOKIE,
            (Cookie::Session, false) => COOKIE,
            (Cookie::PendingLogin, true) => SECURE_LOGIN_COOKIE,
            (Cookie::PendingLogin, false) => LOGIN_COOKIE,
        }
    }

    /// Returns the value that a browser sent. Over TLS, only the secure name counts, which no other site and no plain
    /// connection can set.
    pub fn of(self, headers: &HeaderMap, is_tls: bool) -> Option<&str> {
        let texts = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut pairs = texts
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == self.name(is_tls)).then_some(value))
    }

    /// Returns the header that sets the cookie, or removes it if `secret` is `None`. Without `seconds`, the cookie
    /// lasts until the browser closes. Returns `None` if a header can't hold the secret.
    pub fn set(self, secret: Option<&str>, seconds: Option<i64>, is_tls: bool) -> Option<HeaderValue> {
        let name = self.name(is_tls);
        let secure = if is_tls { "; Secure" } else { "" };
        let seconds = if secret.is_none() { Some(0) } else { seconds };
        let age = seconds
            .map(|seconds| format!("; Max-Age={seconds}"))
            .unwrap_or_default();
        let value = secret.unwrap_or_default();
        HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")).ok()
    }
}

/// The visitor who makes a request.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The account. `None` without a login.
    pub actor: Option<Actor>,
    /// The secret of the session's cookie. `None` for a caller with an access token.
    pub cookie: Option<String>,
    /// The secret that forms of the session carry. Empty without a session.
    pub csrf: String,
}

impl Visitor {
    /// Returns the account that makes the request. Fails without a login.
    pub fn actor(&self) -> Result<&Actor, Error> {
        self.actor.as_ref().ok_or_else(unauthorized)
    }

    /// Fails for a change that another site made the browser send. Always succeeds without a session: no other site can
    /// add an access token to a request, and a visitor without a login can change nothing.
    pub fn check_form(&self, sent: &str) -> Result<(), Error> {
        match self.cookie.is_none() || (!self.csrf.is_empty() && self.csrf == sent) {
            true => Ok(()),
            false => Err(Error::Forbidden(
                "the form does not belong to this session; load its page again, and send it from there".into(),
            )),
        }
    }
}

/// Returns the error for a request without a login.
pub fn unauthorized() -> Error {
    Error::Unauthorized("log in first: send `Authorization: Bearer TOKEN`, or open /login in a browser".into())
}

/// An extension of a request: the name of a person on the coordinator's machine. Only code in this process can add it.
#[derive(Clone, Debug)]
pub struct LocalPerson(pub String);

/// Looks up the visitor of a request.
fn looked_up(web: &Web) -> impl Filter<Extract = (Result<Visitor, Error>,), Error = Infallible> + Clone + use<> {
    let web = web.clone();
    warp::header::headers_cloned()
        .and(peer())
        .and(warp::ext::optional::<LocalPerson>())
        .then(move |headers: HeaderMap, peer: Peer, local: Option<LocalPerson>| {
            let web = web.clone();
            async move {
                if let Some(LocalPerson(name)) = local {
                    return Ok(Visitor {
                        actor: Some(Actor::local(&name)),
                        ..Visitor::default()
                    });
                }
                find(&web, &headers, &peer).await
            }
        })
}

/// Finds the visitor of a request. Rejects a wrong access token, which counts towards the rate limit, and ignores an
/// unknown cookie. A [`LocalPerson`] needs neither.
pub fn visitor(web: &Web) -> BoxedFilter<(Visitor,)> {
    looked_up(web)
        .and_then(|found: Result<Visitor, Error>| async {
            found.map_err(|error| -> Rejection { warp::reject::custom(error) })
        })
        .boxed()
}

async fn find(web: &Web, headers: &HeaderMap, peer: &Peer) -> Result<Visitor, Error> {
    let address = peer.network.address().to_string();
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let secret = authorization
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "));
        let actor = match secret {
            Some(secret) => access::authenticate(&web.store, secret.trim(), &address, now()).await?,
            None => None,
        };
        return Ok(Visitor {
            actor: Some(actor.ok_or_else(|| web.rates.wrong_token(peer))?),
            ..Visitor::default()
        });
    }
    let Some(cookie) = Cookie::Session.of(headers, web.door.is_tls) else {
        return Ok(Visitor::default());
    };
    let session = access::session(&web.store, cookie, &address, now()).await?;
    Ok(session.map_or_else(Visitor::default, |session| Visitor {
        actor: Some(session.actor),
        cookie: Some(cookie.to_owned()),
        csrf: session.csrf,
    }))
}

/// Finds the visitor of a page. A wrong access token counts as no login, because pages are for browsers. Every other
/// error is one of the page: while the store does not answer, nobody knows whether the visitor is logged in.
pub fn guest(web: &Web) -> impl Filter<Extract = (Result<Visitor, Error>,), Error = Infallible> + Clone + use<> {
    looked_up(web).map(|found| match found {
        Err(Error::Unauthorized(_) | Error::TooMany(_)) => Ok(Visitor::default()),
        found => found,
    })
}

/// Returns a filter to place before routes. It rejects the requests that the routes may answer. If reading needs a
/// login, it answers all requests without one by `refuse`, and those whose visitor can't be found with the error,
/// except for the paths in `open`.
pub fn gate(web: &Web, open: &'static [&'static str], refuse: fn(&str) -> HandlerResult) -> Route {
    if web.door.public_read {
        // everybody may read, so no token is looked up
        return warp::any()
            .and_then(|| async { Err(warp::reject::not_found()) })
            .boxed();
    }
    warp::path::full()
        .and(guest(web))
        .and_then(move |path: FullPath, visitor: Result<Visitor, Error>| async move {
            let is_open = open.contains(&path.as_str());
            match visitor {
                Ok(Visitor { actor: Some(_), .. }) => Err(warp::reject::not_found()),
                _ if is_open => Err(warp::reject::not_found()),
                Ok(_) => Ok(refuse(path.as_str())),
                Err(error) => Ok(Err(error)),
            }
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let of = |text: &str, is_tls| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(text).unwrap());
            Cookie::Session.of(&headers, is_tls).map(str::to_owned)
        };
        assert_eq!(of("a=b; pybots_session=x; c=d", false), Some("x".to_owned()));
        assert_eq!(of("xpybots_session=x; session=y; pybots_session", false), None);
        // another site on the same domain can set the plain name
        let both = "pybots_session=x; __Host-pybots_session=y";
        assert_eq!(of(both, true), Some("y".to_owned()));
        assert_eq!(of("pybots_session=x", true), None);
    }

    #[test]
    fn a_cookie_is_for_this_site_and_no_script() {
        let text = |secret, is_tls| {
            let set = Cookie::Session.set(secret, None, is_tls).unwrap();
            set.to_str().unwrap().to_owned()
        };
        assert_eq!(
            text(Some("s"), false),
            "pybots_session=s; Path=/; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            text(Some("s"), true),
            "__Host-pybots_session=s; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(text(None, false).ends_with("; Max-Age=0"));
        assert_eq!(
            Cookie::PendingLogin.set(Some("s"), Some(600), true).unwrap(),
            "__Host-pybots_login=s; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600"
        );
    }

    #[test]
    fn a_form_belongs_to_its_session() {
        let session = Visitor {
            cookie: Some("c".into()),
            csrf: "token".into(),
            ..Visitor::default()
        };
        session.check_form("token").unwrap();
        for wrong in ["", "tokem"] {
            assert!(matches!(session.check_form(wrong), Err(Error::Forbidden(_))), "{wrong}");
        }
        Visitor::default().check_form("").unwrap();
    }
}
