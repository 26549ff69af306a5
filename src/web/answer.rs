//! Responses and their headers.

use super::render::render;
use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use warp::Reply;
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Response, StatusCode};

/// What every handler returns.
pub type Answer = warp::reply::Response;

const STYLE: &str = include_str!("static/style.css");

/// Names the style sheet's content, so that a browser may keep it for good.
pub static STYLE_TAG: LazyLock<String> = LazyLock::new(|| hex::encode(&Sha256::digest(STYLE)[..8]));

/// Logs are other people's output: a page runs no script, loads nothing from elsewhere, and can't be framed.
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

/// Adds the headers that every answer has.
pub fn secure(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    answer
}

/// A page by its template.
pub fn page(template: &str, values: &impl Serialize) -> Result<Answer> {
    Ok(warp::reply::html(render(template, values)?).into_response())
}

pub fn json(values: &impl Serialize, status: StatusCode) -> Answer {
    warp::reply::with_status(warp::reply::json(values), status).into_response()
}

pub fn text(body: &'static str) -> Answer {
    body.into_response()
}

/// The style sheet, or the word that the browser's copy is still good.
pub fn style(asked: &HeaderMap) -> Answer {
    let tag = format!("\"{}\"", *STYLE_TAG);
    let same = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known.contains(&tag));
    let mut answer = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        STYLE.into_response()
    };
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/css; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    answer
}

/// A log as it is, streamed: its length now is what is sent, also while it grows.
pub async fn download(file: File, name: &str) -> Result<Answer> {
    let length = file.metadata().await?.len();
    let body = warp::reply::stream(ReaderStream::with_capacity(file.take(length), 64 * 1024))
        .into_response()
        .into_body();
    // no charset: a log is bytes
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .header(header::CONTENT_LENGTH, length)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        .body(body)?)
}
