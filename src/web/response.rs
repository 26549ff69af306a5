//! Responses and their headers.

use super::error::{Error, HandlerResult};
use crate::logfile::damage::Lost;
use crate::logfile::file::{LogPart, LogReader};
use anyhow::Context;
use futures_util::stream;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use warp::Reply;
use warp::http::StatusCode;
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::reply::Response;

const STYLE: &str = include_str!("static/style.css");

const SCRIPT: &str = include_str!("static/live.js");

/// A test compares the file with what recipes are.
const RECIPE_SCHEMA: &str = include_str!("../../docs/recipe.schema.json");

/// Versions of them, made of their content: an address that has one can be cached for good.
pub static STYLE_TAG: LazyLock<String> = LazyLock::new(|| tag(STYLE));
pub static SCRIPT_TAG: LazyLock<String> = LazyLock::new(|| tag(SCRIPT));
static RECIPE_SCHEMA_TAG: LazyLock<String> = LazyLock::new(|| tag(RECIPE_SCHEMA));

fn tag(content: &str) -> String {
    hex::encode(&Sha256::digest(content)[..8])
}

/// The policy of a page with a log that grows: it allows our script, and the script's requests to us.
const LIVE_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of a page with forms, which the browser may send to us.
const FORM_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Logs are other people's output, so a page runs no script, loads nothing from elsewhere, and can't be framed.
const SECURITY: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Marks a response, among its extensions, after whose end the client asks again and misses nothing. The server may end
/// it early.
#[derive(Clone, Copy)]
pub struct Resumable;

/// Adds the headers that every response has.
pub fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    response
}

/// A page; `live` if it has a log that grows.
pub fn html(html: String, live: bool) -> Response {
    let mut response = warp::reply::html(html).into_response();
    if live {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(LIVE_POLICY));
    }
    response
}

/// A page with forms. It shows what belongs to one person, so no cache keeps it.
pub fn html_with_forms(html: String) -> Response {
    let mut response = warp::reply::html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FORM_POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub fn json(values: &impl Serialize) -> Response {
    warp::reply::json(values).into_response()
}

/// An error as problem details (RFC 9457), for `/api/v1`.
pub fn problem(error: &Error) -> Response {
    let status = error.status();
    let mut body = serde_json::json!({
        "type": "about:blank", "title": status.canonical_reason().unwrap_or_default(), "status": status.as_u16(),
        "detail": error.to_string(),
    });
    if let Error::Problems(problems) = error {
        body["problems"] = serde_json::json!(problems);
    }
    let mut response = error.respond(json(&body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The style sheet; "not modified" if the browser's copy is current.
pub async fn style(request: HeaderMap) -> HandlerResult {
    Ok(fixed(STYLE, "text/css; charset=utf-8", &STYLE_TAG, &request))
}

/// The script of pages with a log that grows.
pub async fn script(request: HeaderMap) -> HandlerResult {
    Ok(fixed(SCRIPT, "text/javascript; charset=utf-8", &SCRIPT_TAG, &request))
}

/// The JSON Schema of recipes, for editors.
pub async fn recipe_schema(request: HeaderMap) -> HandlerResult {
    Ok(fixed(
        RECIPE_SCHEMA,
        "application/schema+json",
        &RECIPE_SCHEMA_TAG,
        &request,
    ))
}

fn fixed(content: &'static str, kind: &'static str, tag: &str, request: &HeaderMap) -> Response {
    let tag = format!("\"{tag}\"");
    let is_current = request
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|cached| cached.contains(&tag));
    let mut response = if is_current {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        content.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Bytes of lost text that are filled at a time.
const FILL: usize = 256 << 10;

/// Streams the first `length` bytes of a log as they are, under a file name. Of a log that grows, the rest is left out.
/// Text that is lost is replaced by a line that says so, and zeros.
pub fn download(reader: LogReader, length: u64, name: &str) -> HandlerResult {
    let text = stream::try_unfold((reader, None::<Lost>, 0), move |(reader, filling, at)| async move {
        if at >= length {
            return Ok(None);
        }
        let (reader, part) = match filling {
            Some(lost) => (reader, Some(LogPart::Lost(lost))),
            None => reader.step().await?,
        };
        // a damaged end has no end of its own
        let until = Some(length);
        let (text, filling) = match part.unwrap_or(LogPart::Lost(Lost { from: at, until })) {
            LogPart::Text(chunk) => (chunk.before(length).text, None),
            LogPart::Lost(lost) => {
                let room = usize::try_from(length - at).unwrap_or(FILL).min(FILL);
                let filler = lost.filler(room);
                let rest = lost.after(lost.from + filler.len() as u64);
                (filler.into(), rest)
            }
        };
        let at = at + text.len() as u64;
        Ok::<_, std::io::Error>(Some((text, (reader, filling, at))))
    });
    let body = warp::reply::stream(text).into_response().into_body();
    // no charset: a log is bytes
    let response = warp::http::Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .header(header::CONTENT_LENGTH, length)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        .body(body)
        .context("failed to make the headers of a download");
    response.map_err(Error::from)
}
