//! Accounts, access tokens and the audit log.

use super::caller::Person;
use super::responses::{Part, created};
use super::types::{
    AccountBody, AccountChangeBody, AccountView, AuditView, IdentityView, MeView, Page, ProblemDetails, TokenBody,
    TokenView,
};
use crate::access::{self, AccountChange, TokenRequest};
use crate::clock::now;
use crate::domain::access::{Names, Permission};
use crate::domain::id::TokenId;
use crate::web::{Error, HandlerResult, Query, json};
use std::str::FromStr;
use warp::Reply;
use warp::http::StatusCode;

/// Days for which a token is valid if the request does not set them.
const DAYS: i64 = 90;

/// Show who you are.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "accounts",
    responses((status = 200, body = MeView), (status = 401, body = ProblemDetails)),
    security(("token" = [])),
)]
pub async fn me(person: Person) -> HandlerResult {
    Ok(json(&MeView::from(&person.actor)))
}

/// List the accounts.
#[utoipa::path(
    get, path = "/api/v1/accounts", tag = "accounts",
    params(
        ("after" = Option<String>, Query, description = "`next` of the part before"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100),
    ),
    responses(
        (status = 200, body = Page<AccountView>), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails),
    ),
    security(("token" = ["accounts"])),
)]
pub async fn all(person: Person, query: Query) -> HandlerResult {
    person.actor.require_all(Permission::Accounts)?;
    let part = Part::of(&query)?;
    let after = part.after.clone().unwrap_or_default();
    let found = person.desk.store.accounts(&after, part.limit + 1).await?;
    let views = found.into_iter().map(AccountView::from).collect();
    part.list("/api/v1/accounts", views, |account| account.name.clone())
}

/// Add an account.
#[utoipa::path(
    post, path = "/api/v1/accounts", tag = "accounts", request_body = AccountBody,
    responses(
        (status = 201, body = AccountView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 409, body = ProblemDetails),
    ),
    security(("token" = ["accounts"])),
)]
pub async fn add(person: Person, body: AccountBody) -> HandlerResult {
    let roles = names(&body.roles)?;
    let store = &person.desk.store;
    let account = access::add(store, &person.actor, (&body.name, &body.mail), &roles, now()).await?;
    created(&AccountView::from(account))
}

/// Change an account.
#[utoipa::path(
    patch, path = "/api/v1/accounts/{name}", tag = "accounts", request_body = AccountChangeBody,
    params(("name" = String, Path)),
    responses(
        (status = 200, body = AccountView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
        (status = 412, body = ProblemDetails),
    ),
    security(("token" = ["accounts"])),
)]
pub async fn change(name: String, person: Person, body: AccountChangeBody) -> HandlerResult {
    let change = AccountChange {
        mail: body.mail,
        roles: body.roles.as_deref().map(names).transpose()?,
        disabled: body.disabled,
    };
    let account = access::change(&person.desk.store, &person.actor, &name, change, now()).await?;
    Ok(json(&AccountView::from(account)))
}

/// Show an account, with its identities.
#[utoipa::path(
    get, path = "/api/v1/accounts/{name}", tag = "accounts",
    params(("name" = String, Path)),
    responses(
        (status = 200, body = AccountView), (status = 401, body = ProblemDetails), (status = 403, body = ProblemDetails),
        (status = 404, body = ProblemDetails),
    ),
    security(("token" = ["accounts"])),
)]
pub async fn one(name: String, person: Person) -> HandlerResult {
    person.actor.require_all(Permission::Accounts)?;
    let store = &person.desk.store;
    let unknown = || Error::NotFound(format!("there is no account {name:?}").into());
    let account = store.account(&name).await?.ok_or_else(unknown)?;
    let identities = store.identities(&account.id).await?;
    Ok(json(&AccountView {
        identities: identities.into_iter().map(IdentityView::from).collect(),
        ..AccountView::from(account)
    }))
}

/// Remove the identities of an account. Sessions that began with them end.
#[utoipa::path(
    delete, path = "/api/v1/accounts/{name}/identities", tag = "accounts",
    params(("name" = String, Path)),
    responses(
        (status = 200, body = AccountView), (status = 401, body = ProblemDetails), (status = 403, body = ProblemDetails),
        (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
    ),
    security(("token" = ["accounts"])),
)]
pub async fn unlink(name: String, person: Person) -> HandlerResult {
    let account = access::unlink(&person.desk.store, &person.actor, &name, now()).await?;
    Ok(json(&AccountView::from(account)))
}

fn names<T: Ord + FromStr<Err = String>>(list: &[String]) -> Result<Names<T>, Error> {
    let names = list.iter().map(|name| name.parse::<T>()).collect::<Result<_, _>>();
    names.map_err(|error: String| Error::Unprocessable(error.into()))
}

/// List the newest access tokens of an account.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "accounts",
    params(("account" = Option<String>, Query, description = "Your own account if absent")),
    responses(
        (status = 200, body = Page<TokenView>), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails),
    ),
    security(("token" = [])),
)]
pub async fn tokens(person: Person, query: Query) -> HandlerResult {
    let part = Part::of(&query)?;
    let store = &person.desk.store;
    let account = match query.get("account") {
        Some(name) if *name != person.actor.name => {
            person.actor.require_all(Permission::Accounts)?;
            let unknown = || Error::NotFound(format!("there is no account {name:?}").into());
            Some(store.account(name).await?.ok_or_else(unknown)?.id)
        }
        _ => person.actor.account.clone(),
    };
    let items = match account {
        Some(account) => store.tokens(&account, part.limit).await?,
        None => Vec::new(),
    };
    Ok(json(&Page {
        items: items.into_iter().map(TokenView::from).collect(),
        next: None,
    }))
}

/// Issue an access token.
///
/// The response contains the secret, which is not shown again.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "accounts", request_body = TokenBody,
    responses(
        (status = 201, body = TokenView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
    ),
    security(("token" = [])),
)]
pub async fn issue(person: Person, body: TokenBody) -> HandlerResult {
    let request = TokenRequest {
        account: body.account.unwrap_or_else(|| person.actor.name.clone()),
        name: body.name,
        permissions: body.permissions.as_deref().map(names).transpose()?,
        days: body.days.unwrap_or(DAYS),
    };
    let (token, secret) = access::issue(&person.desk.store, &person.actor, &request, now()).await?;
    created(&TokenView {
        secret: Some(secret.secret().to_owned()),
        ..TokenView::from(token)
    })
}

/// Revoke an access token.
///
/// Sessions that began with it end.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "accounts", params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = ProblemDetails), (status = 404, body = ProblemDetails)),
    security(("token" = [])),
)]
pub async fn revoke(id: String, person: Person) -> HandlerResult {
    access::revoke(&person.desk.store, &person.actor, &TokenId::from(id), now()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Read the audit log, the newest entry first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "accounts",
    params(
        ("subject" = Option<String>, Query, description = "Such as `project flask` or `account ann`"),
        ("after" = Option<String>, Query, description = "`next` of the part before"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100),
    ),
    responses(
        (status = 200, body = Page<AuditView>), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails),
    ),
    security(("token" = ["audit"])),
)]
pub async fn audit(person: Person, query: Query) -> HandlerResult {
    person.actor.require_all(Permission::Audit)?;
    let part = Part::of(&query)?;
    let subject = query.get("subject").map(String::as_str);
    let found = person
        .desk
        .store
        .audit(subject, part.after.as_deref(), part.limit + 1)
        .await?;
    let views = found.into_iter().map(AuditView::from).collect();
    part.list("/api/v1/audit", views, |entry| entry.id.clone())
}
