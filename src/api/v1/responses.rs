//! Responses: JSON with an entity tag, and problem details.

use super::types::Page;
use crate::web::{Error, HandlerResult, Query, problem, secure};
use http_body::Body;
use http_body_util::BodyExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use warp::http::StatusCode;
use warp::http::header::{self, HeaderValue};
use warp::path::FullPath;
use warp::reject::{LengthRequired, PayloadTooLarge};
use warp::reply::Response;
use warp::{Rejection, Reply};

/// The most items in a part of a list, and the number without `?limit=N`.
pub const ITEMS_MOST: i64 = 100;

/// The position and the length of a part of a list.
pub struct Part {
    pub after: Option<String>,
    pub limit: i64,
}

impl Part {
    pub fn of(query: &Query) -> Result<Self, Error> {
        let limit = match query.get("limit").map(|text| text.parse::<i64>()) {
            None => ITEMS_MOST,
            Some(Ok(limit)) if (1..=ITEMS_MOST).contains(&limit) => limit,
            Some(_) => {
                return Err(Error::BadRequest(
                    format!("`limit` is a number from 1 to {ITEMS_MOST}").into(),
                ));
            }
        };
        Ok(Self {
            after: query.get("after").cloned(),
            limit,
        })
    }

    /// Parses `after` as a number.
    pub fn number(&self) -> Result<Option<i64>, Error> {
        let number = self.after.as_deref().map(str::parse).transpose();
        number.map_err(|_| Error::BadRequest("`after` is not what `next` of the part before was".into()))
    }

    /// Responds with at most `limit` of the items, and a link to the next part if there are more. Read one item more
    /// than `limit` for this.
    pub fn list<T: Serialize>(&self, path: &str, mut items: Vec<T>, cursor: impl Fn(&T) -> String) -> HandlerResult {
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = items.len() > most;
        items.truncate(most);
        let next = items.last().map(cursor).filter(|_| has_more);
        let link = next.as_ref().and_then(|next| {
            let joint = if path.contains('?') { '&' } else { '?' };
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            HeaderValue::from_str(&format!(
                "<{path}{joint}after={next}&limit={}>; rel=\"next\"",
                self.limit
            ))
            .ok()
        });
        let mut response = crate::web::json(&Page { items, next });
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// Responds with status 201 and the created value.
pub fn created(value: &impl Serialize) -> HandlerResult {
    Ok(warp::reply::with_status(crate::web::json(value), StatusCode::CREATED).into_response())
}

/// The most bytes of a body that gets an entity tag. Logs are streams, and get none.
const TAGGED_MOST: u64 = 1 << 20;

/// Responds to a call. A body of at most [`TAGGED_MOST`] bytes gets an entity tag, and the response is "not modified"
/// if the caller's copy is current. An error becomes problem details.
pub async fn respond(path: FullPath, cached: Option<String>, outcome: HandlerResult) -> Response {
    let response = match outcome {
        Ok(response) => tagged(response, cached.as_deref()).await,
        Err(error) => {
            error.log(path.as_str());
            problem(&error)
        }
    };
    secure(response)
}

async fn tagged(response: Response, cached: Option<&str>) -> Response {
    let exact = response.body().size_hint().exact();
    if response.status() != StatusCode::OK || exact.is_none_or(|size| size > TAGGED_MOST) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return problem(&Error::Internal(error.into())),
    };
    if !parts.headers.contains_key(header::ETAG) {
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..8]));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            parts.headers.insert(header::ETAG, tag);
        }
    }
    let tag = parts
        .headers
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok())
        .unwrap_or_default();
    let is_current =
        cached.is_some_and(|cached| cached.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    if is_current {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, "".into_response().into_body());
    }
    Response::from_parts(parts, bytes.to_vec().into_response().into_body())
}

/// Responds to a call that a filter refused. A call that does not exist stays rejected.
pub async fn rejected(rejection: Rejection) -> Result<Response, Rejection> {
    let error = if let Some(error) = rejection.find::<Error>() {
        return Ok(secure(problem(error)));
    } else if rejection.find::<PayloadTooLarge>().is_some() {
        Error::TooLarge("the body is too large".into())
    } else if rejection.find::<LengthRequired>().is_some() {
        Error::LengthRequired
    } else {
        return Err(rejection);
    };
    Ok(secure(problem(&error)))
}
