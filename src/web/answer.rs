//! Responses and their headers.

use super::render::render;
use crate::logfile::file::Reader;
use anyhow::Result;
use futures_util::stream;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use warp::Reply;
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Response, StatusCode};

/// What every handler returns.
pub type Answer = warp::reply::Response;

const STYLE: &str = include_str!("static/style.css");

const SCRIPT: &str = include_str!("static/live.js");

/// Names the style sheet's content, so that a browser may keep it for good.
pub static STYLE_TAG: LazyLock<String> = LazyLock::new(|| hex::encode(&Sha256::digest(STYLE)[..8]));
pub static SCRIPT_TAG: LazyLock<String> = LazyLock::new(|| hex::encode(&Sha256::digest(SCRIPT)[..8]));

/// The policy of a page with a log that grows: our one script, and what that asks us for. All else as on every page.
const LIVE_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
        headers.entry(name).or_insert(HeaderValue::from_static(value));
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

/// A page with a log that grows.
pub fn live_page(template: &str, values: &impl Serialize) -> Result<Answer> {
    let mut answer = page(template, values)?;
    answer
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(LIVE_POLICY));
    Ok(answer)
}

pub fn json(values: &impl Serialize, status: StatusCode) -> Answer {
    warp::reply::with_status(warp::reply::json(values), status).into_response()
}

pub fn text(body: impl Reply) -> Answer {
    body.into_response()
}

/// The style sheet, or the word that the browser's copy is still good.
pub fn style(asked: &HeaderMap) -> Answer {
    fixed(STYLE, "text/css; charset=utf-8", &STYLE_TAG, asked)
}

/// The script of pages with a log that grows.
pub fn script(asked: &HeaderMap) -> Answer {
    fixed(SCRIPT, "text/javascript; charset=utf-8", &SCRIPT_TAG, asked)
}

fn fixed(content: &'static str, kind: &'static str, tag: &str, asked: &HeaderMap) -> Answer {
    let tag = format!("\"{tag}\"");
    let same = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known.contains(&tag));
    let mut answer = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        content.into_response()
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    answer
}

/// A log's text as it is, streamed: its length now is what is sent, also while it grows.
pub fn download(reader: Reader, length: u64, name: &str) -> Result<Answer> {
    let text = stream::try_unfold((reader, length), |(reader, length)| async move {
        let (reader, chunk) = reader.step().await?;
        let text = chunk
            .map(|chunk| chunk.before(length).text)
            .filter(|text| !text.is_empty());
        Ok::<_, std::io::Error>(text.map(|text| (text, (reader, length))))
    });
    let body = warp::reply::stream(text).into_response().into_body();
    // no charset: a log is bytes
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .header(header::CONTENT_LENGTH, length)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        .body(body)?)
}
