//! Logging in and out, and the page of an account with its access tokens.

use super::error::{Error, HandlerResult};
use super::forms::{Form, own_path, see_other, to_login};
use super::frame;
use super::route::{Query, Web};
use super::template::Template;
use super::visitor::{Cookie, Visitor};
use super::wording::{Time, time};
use crate::access::{self, Actor, TokenRequest};
use crate::clock::now;
use crate::domain::id::TokenId;
use crate::store::tokens::AccessToken;
use serde::Serialize;
use warp::http::header::SET_COOKIE;
use warp::reply::Response;

/// The number of tokens on the page.
const TOKENS: i64 = 50;

#[derive(Default, Serialize)]
pub struct LoginPage {
    /// The page to show after the login.
    pub next: String,
    /// The reason why the last attempt failed.
    pub error: Option<String>,
    /// The identity provider by which people log in.
    pub provider: Option<ProviderButton>,
}

/// The button for a login by the identity provider.
#[derive(Default, Serialize)]
pub struct ProviderButton {
    pub name: String,
    pub href: String,
}

impl Template for LoginPage {
    const NAME: &'static str = "login";
}

#[derive(Default, Serialize)]
pub struct AccountPage {
    pub csrf: String,
    pub name: String,
    pub mail: String,
    pub roles: String,
    pub permissions: String,
    pub tokens: Vec<TokenLine>,
    /// The secret of a token that was just issued.
    pub secret: Option<String>,
    /// The reason why a request failed.
    pub error: Option<String>,
}

impl Template for AccountPage {
    const NAME: &'static str = "account";
}

#[derive(Default, Serialize)]
pub struct TokenLine {
    pub id: String,
    pub name: String,
    pub permissions: String,
    pub used: Option<Time>,
    pub expires: Time,
    /// Why the token is no longer valid. `None` while it is valid.
    pub ended: Option<&'static str>,
}

pub async fn login_page(web: Web, query: Query) -> HandlerResult {
    let next = query.get("next").map(String::as_str).unwrap_or_default();
    let page = login_of(&web, own_path(next), None);
    frame::respond_form(&web, "Log in", page).await
}

fn login_of(web: &Web, next: &str, error: Option<String>) -> LoginPage {
    let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    LoginPage {
        next: next.to_owned(),
        error,
        provider: web.provider.as_ref().map(|provider| ProviderButton {
            name: provider.name().to_owned(),
            href: format!("/login/oidc?next={encoded}"),
        }),
    }
}

pub async fn login(form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let next = own_path(form.field("next")).to_owned();
    let begun = access::begin(&form.web.store, form.field("token").trim(), now()).await?;
    match begun {
        Some(cookie) => {
            if let Some(earlier) = &form.visitor.cookie {
                access::end(&form.web.store, earlier, now()).await?;
            }
            with_cookie(see_other(&next)?, Some(cookie.secret()), &form.web)
        }
        None => {
            let error = form.web.rates.wrong_token(&form.peer);
            let page = login_of(&form.web, &next, Some(error.to_string()));
            let mut response = frame::respond_form(&form.web, "Log in", page).await?;
            *response.status_mut() = error.status();
            Ok(response)
        }
    }
}

pub async fn logout(form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    if let Some(cookie) = &form.visitor.cookie {
        access::end(&form.web.store, cookie, now()).await?;
    }
    with_cookie(see_other("/")?, None, &form.web)
}

pub(super) fn with_cookie(mut response: Response, secret: Option<&str>, web: &Web) -> HandlerResult {
    if let Some(cookie) = Cookie::Session.set(secret, None, web.door.is_tls) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

pub async fn page(web: Web, visitor: Result<Visitor, Error>) -> HandlerResult {
    let visitor = visitor?;
    respond(&web, &visitor, None, None).await
}

async fn respond(web: &Web, visitor: &Visitor, secret: Option<String>, error: Option<String>) -> HandlerResult {
    let Some(actor) = &visitor.actor else {
        return to_login("/account");
    };
    let tokens = match &actor.account {
        Some(account) => web.store.tokens(account, TOKENS).await?,
        None => Vec::new(),
    };
    let page = AccountPage {
        csrf: visitor.csrf.clone(),
        name: actor.name.clone(),
        mail: actor.mail.clone(),
        roles: actor.roles.list().join(", "),
        permissions: permissions(actor),
        tokens: tokens.iter().map(token_line).collect(),
        secret,
        error,
    };
    frame::respond_form(web, "Account", page).await
}

fn permissions(actor: &Actor) -> String {
    let usable = actor
        .permissions
        .0
        .iter()
        .filter(|permission| actor.reach(**permission).is_some());
    usable.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn token_line(token: &AccessToken) -> TokenLine {
    let now = now();
    TokenLine {
        id: token.id.to_string(),
        name: token.name.clone(),
        permissions: token.permissions.list().join(", "),
        used: token.used_at.map(|at| time(at, now)),
        expires: time(token.expires_at, now),
        ended: match token.revoked_at {
            Some(_) => Some("revoked"),
            None if token.expires_at <= now => Some("expired"),
            None => None,
        },
    }
}

pub async fn issue(form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let actor = form.visitor.actor()?;
    let days = form.field("days").trim().parse().unwrap_or(0);
    let request = TokenRequest {
        account: actor.name.clone(),
        name: form.field("name").trim().to_owned(),
        permissions: None,
        days,
    };
    match access::issue(&form.web.store, actor, &request, now())
        .await
        .map_err(Error::from)
    {
        Ok((_, secret)) => respond(&form.web, &form.visitor, Some(secret.secret().to_owned()), None).await,
        Err(error @ (Error::BadRequest(_) | Error::Unprocessable(_) | Error::Conflict(_))) => {
            let mut response = respond(&form.web, &form.visitor, None, Some(error.to_string())).await?;
            *response.status_mut() = error.status();
            Ok(response)
        }
        Err(error) => Err(error),
    }
}

pub async fn revoke(id: String, form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    access::revoke(&form.web.store, form.visitor.actor()?, &TokenId::from(id), now()).await?;
    see_other("/account")
}
