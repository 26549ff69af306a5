//! Logins by the identity provider: redirects to the provider, and handles the return.

use super::account::with_cookie;
use super::error::{Error, HandlerResult};
use super::forms::{is_own_site, own_path, see_other, to_login};
use super::peer::Peer;
use super::route::{Query, Web};
use super::visitor::{Cookie, Visitor};
use crate::access::{self, VouchedPerson};
use crate::clock::now;
use crate::enrolment::Token;
use crate::oidc::{LOGIN_MS, PendingLogin, Provider, ProviderError};
use warp::http::header::{HeaderMap, SET_COOKIE};

/// The most characters of a provider's error that are shown.
const ERROR_MOST: usize = 60;

/// Redirects the browser to the identity provider, or to the login page if another site sent the browser here. Fails if
/// too many logins come from the address.
pub async fn begin(web: Web, query: Query, site: Option<String>, peer: Peer) -> HandlerResult {
    let provider = provider(&web)?;
    let next = query.get("next").map(String::as_str).unwrap_or_default();
    // the login ends an earlier session, so another site must not begin one: users press the button themselves
    if !is_own_site(site.as_deref()) {
        return to_login(own_path(next));
    }
    web.rates.login(&peer)?;
    let login = PendingLogin::new(&Token::new()?, own_path(next), now());
    let url = provider.begin(&login).await.map_err(failed)?;
    let mut response = see_other(&url)?;
    let seconds = Some(LOGIN_MS / 1000);
    if let Some(cookie) = Cookie::PendingLogin.set(Some(login.cookie()), seconds, web.door.is_tls) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Handles the return of the browser from the identity provider. Begins a session, and ends the browser's earlier
/// session.
pub async fn end(
    web: Web,
    query: Query,
    headers: HeaderMap,
    visitor: Result<Visitor, Error>,
    peer: Peer,
) -> HandlerResult {
    let visitor = visitor?;
    let provider = provider(&web)?;
    web.rates.login(&peer)?;
    let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let login = Cookie::PendingLogin.of(&headers, web.door.is_tls);
    let login = login.and_then(|cookie| PendingLogin::read(cookie, now()));
    // another site can send a browser here, but does not have the state that belongs to its cookie
    let login = login.filter(|login| Token::digest(&login.state()) == Token::digest(field("state")));
    let login = login.filter(|login| provider.spend(login, now())).ok_or_else(stale)?;
    // the response may name its issuer (RFC 9207), which must be this provider
    if !["", provider.issuer()].contains(&field("iss")) {
        return Err(stale());
    }
    if !field("error").is_empty() {
        return Err(refused(field("error")));
    }
    let vouched = provider.finish(field("code"), &login).await.map_err(failed)?;
    let person = VouchedPerson {
        issuer: &vouched.issuer,
        subject: &vouched.subject,
        mail: vouched.mail.as_deref(),
        name: &vouched.name,
    };
    let address = peer.network.address().to_string();
    let cookie = access::begin_by_identity(&web.store, &person, provider.new_accounts(), &address, now()).await?;
    if let Some(earlier) = &visitor.cookie {
        access::end(&web.store, earlier, now()).await?;
    }
    let mut response = with_cookie(see_other(own_path(&login.next))?, Some(cookie.secret()), &web)?;
    if let Some(ended) = Cookie::PendingLogin.set(None, None, web.door.is_tls) {
        response.headers_mut().append(SET_COOKIE, ended);
    }
    Ok(response)
}

fn provider(web: &Web) -> Result<&Provider, Error> {
    web.provider.as_deref().ok_or_else(Error::not_found)
}

fn stale() -> Error {
    Error::BadRequest(
        "this login was not begun in this browser, has ended already, or took longer than 10 minutes; begin again at /login".into(),
    )
}

/// Returns the error for a login that the provider refused. Shows the characters of its error code only.
fn refused(error: &str) -> Error {
    let fits = |c: &char| c.is_ascii_lowercase() || *c == '_';
    let word: String = error.chars().filter(fits).take(ERROR_MOST).collect();
    Error::Forbidden(format!("the identity provider refused the login: {word}").into())
}

fn failed(error: ProviderError) -> Error {
    tracing::warn!("a login failed: {error}");
    match error {
        ProviderError::Away(_) => Error::Unavailable(
            "the identity provider does not answer; try again in a minute, or log in with an access token".into(),
        ),
        ProviderError::Unusable(_) | ProviderError::Secret(_) => Error::Unavailable(
            "the login by the identity provider does not work; the coordinator's log has the reason for its operator"
                .into(),
        ),
        ProviderError::Token(_) => Error::Forbidden(
            "the identity provider's answer does not prove who you are; the coordinator's log has the reason".into(),
        ),
    }
}
