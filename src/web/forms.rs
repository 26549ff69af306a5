//! Forms: reads their fields, and checks where they come from.

use super::error::{Error, HandlerResult};
use super::peer::{Peer, peer};
use super::route::{Query, Web};
use super::visitor::{Visitor, guest};
use bytes::Bytes;
use std::convert::Infallible;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{self, HeaderValue};
use warp::{Filter, Reply};

/// The most bytes of a form. Its encoding can triple a recipe of 128 KiB.
const FORM_MOST: u64 = 512 << 10;

/// The field with the secret that ties a form to its session.
pub const CSRF_FIELD: &str = "csrf";

/// A form that a browser sent.
pub struct Form {
    pub web: Web,
    pub visitor: Visitor,
    pub peer: Peer,
    fields: Query,
}

impl Form {
    /// Returns a field, or an empty text if the form does not have it.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// Reads a form that a logged-in person sends, or returns the reason to refuse it. Counts it as a change of the
/// account, which has a rate limit.
pub fn form(web: &Web) -> BoxedFilter<(Result<Form, Error>,)> {
    sent(web, true)
}

/// Reads the login form, which belongs to no session yet.
pub fn login_form(web: &Web) -> BoxedFilter<(Result<Form, Error>,)> {
    sent(web, false)
}

fn sent(web: &Web, has_session: bool) -> BoxedFilter<(Result<Form, Error>,)> {
    let web = web.clone();
    let body = warp::body::content_length_limit(FORM_MOST)
        .and(warp::body::bytes())
        .map(Some)
        .or_else(|_| async { Ok::<_, Infallible>((None::<Bytes>,)) });
    guest(&web)
        .and(peer())
        .and(warp::header::optional::<String>(SITE))
        .and(body)
        .map(
            move |visitor: Result<Visitor, Error>, peer: Peer, site: Option<String>, body: Option<Bytes>| {
                let body =
                    body.ok_or_else(|| Error::TooLarge(format!("a form has {} KiB at most", FORM_MOST >> 10).into()))?;
                let fields: Query = url::form_urlencoded::parse(&body).into_owned().collect();
                if fields.values().any(|value| value.contains('\0')) {
                    return Err(Error::BadRequest(
                        "a field has a NUL character; no text may have one".into(),
                    ));
                }
                if !is_own_site(site.as_deref()) {
                    return Err(Error::Forbidden("this form was sent from another site".into()));
                }
                let visitor = visitor?;
                if has_session {
                    let sent = fields.get(CSRF_FIELD).map(String::as_str).unwrap_or_default();
                    visitor.check_form(sent)?;
                    web.rates.change(visitor.actor.as_ref())?;
                }
                Ok(Form {
                    web: web.clone(),
                    visitor,
                    peer,
                    fields,
                })
            },
        )
        .boxed()
}

/// The header in which a browser states the origin of a request: the same site, another site, or the user.
pub const SITE: &str = "sec-fetch-site";

/// Returns whether a request comes from one of our pages or from the user, and not from another site. Browsers without
/// this header do not send the cookie with a form of another site (`SameSite`).
pub fn is_own_site(site: Option<&str>) -> bool {
    matches!(site, None | Some("same-origin" | "none"))
}

/// Redirects the browser to another address by GET.
pub fn see_other(path: &str) -> HandlerResult {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(path).map_err(|_| Error::BadRequest("the address is not good".into()))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Returns the path if it leads to one of our pages, or else `/`. A link must not lead people to another site.
pub fn own_path(path: &str) -> &str {
    let is_own = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && path.is_ascii();
    match is_own && !path.chars().any(|c| c.is_control()) {
        true => path,
        false => "/",
    }
}

/// Redirects to the login, and after it back to a path.
pub fn to_login(path: &str) -> HandlerResult {
    let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
    see_other(&format!("/login?next={next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_own_pages_only() {
        for own in ["/", "/submit", "/recipe/a/1?x=y"] {
            assert_eq!(own_path(own), own);
        }
        for foreign in [
            "",
            "https://x.example",
            "//x.example",
            "/\\x.example",
            "x",
            "/a\nb",
            "javascript:x",
        ] {
            assert_eq!(own_path(foreign), "/", "{foreign:?}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        for own in [None, Some("same-origin"), Some("none")] {
            assert!(is_own_site(own));
        }
        for foreign in ["cross-site", "same-site", ""] {
            assert!(!is_own_site(Some(foreign)), "{foreign}");
        }
    }
}
