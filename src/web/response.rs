//! Builds responses with their headers.

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

/// Responds with text that a browser shows as it is.
pub fn plain(text: String) -> Response {
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

const SCRIPT: &str = include_str!("static/live.js");

/// The JSON Schema of recipes. A test compares the file with the types.
const RECIPE_SCHEMA: &str = include_str!("../../docs/recipe.schema.json");

/// The version of the style sheet, derived from its content. Pages link to an address with this version, so a browser's
/// cache never mixes two versions.
pub static STYLE_TAG: LazyLock<String> = LazyLock::new(|| tag(STYLE));
pub static SCRIPT_TAG: LazyLock<String> = LazyLock::new(|| tag(SCRIPT));
static RECIPE_SCHEMA_TAG: LazyLock<String> = LazyLock::new(|| tag(RECIPE_SCHEMA));

fn tag(content: &str) -> String {
    hex::encode(&Sha256::digest(content)[..8])
}

/// The policy of a page. The browser may send its forms to us; every page has one for searches.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The policy of a page with our script. It also allows the script's requests to us.
const SCRIPT_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The headers of all responses. Logs are untrusted output, so a page runs no script, loads nothing from other sites,
/// and can't be framed.
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

/// An extension of a response that the server may end early: the client then asks again and misses nothing.
#[derive(Clone, Copy)]
pub struct Resumable;

/// Adds the headers that every response has, unless the response sets them itself.
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

/// Builds a page. `has_script` is true if it needs our script.
pub fn html(html: String, has_script: bool) -> Response {
    let policy = if has_script { SCRIPT_POLICY } else { PAGE_POLICY };
    let mut response = warp::reply::html(html).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Builds a page for one person, so caches must not store it.
pub fn html_for_one(html: String, has_script: bool) -> Response {
    let mut response = self::html(html, has_script);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub fn json(values: &impl Serialize) -> Response {
    warp::reply::json(values).into_response()
}

/// Builds a response with problem details (RFC 9457), for `/api/v1`.
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

/// Responds with the style sheet, or "not modified" if the browser's copy is current.
pub async fn style(request: HeaderMap) -> HandlerResult {
    Ok(fixed(STYLE, "text/css; charset=utf-8", &STYLE_TAG, &request))
}

/// Responds with the script of pages that follow their content or a growing log.
pub async fn script(request: HeaderMap) -> HandlerResult {
    Ok(fixed(SCRIPT, "text/javascript; charset=utf-8", &SCRIPT_TAG, &request))
}

/// Responds with the JSON Schema of recipes, for editors.
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

/// The most bytes of lost text that are replaced at a time.
const FILL: usize = 256 << 10;

/// Streams the first `length` bytes of a log unchanged, as a file for download. Omits the text that a growing log gains
/// during the download. Replaces lost text by a line that reports it, and zeros.
pub fn download(reader: LogReader, length: u64, name: &str) -> HandlerResult {
    let text = stream::try_unfold((reader, None::<Lost>, 0), move |(reader, filling, at)| async move {
        if at >= length {
            return Ok(None);
        }
        let (reader, part) = match filling {
            Some(lost) => (reader, Some(LogPart::Lost(lost))),
            None => reader.step().await?,
        };
        // damage at the end of the file extends to `length`
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
    // no charset, because a log may have any bytes
    let response = warp::http::Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .header(header::CONTENT_LENGTH, length)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        .body(body)
        .context("failed to make the headers of a download");
    response.map_err(Error::from)
}
