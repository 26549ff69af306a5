//! Why a request fails. Pages show it as HTML, `/api` as JSON, and hosts get it as text.

use crate::domain::refusal::{Located, Refusal};
use crate::store::presence;
use std::borrow::Cow;
use std::fmt;
use warp::Reply;
use warp::http::StatusCode;
use warp::http::header::{self, HeaderValue};
use warp::reply::Response;

/// What a handler returns.
pub type HandlerResult = Result<Response, Error>;

type Message = Cow<'static, str>;

/// Each variant is one status code; its message is for the caller.
#[derive(Debug)]
pub enum Error {
    BadRequest(Message),
    /// What was sent can be read, and is against a rule.
    Unprocessable(Message),
    Unauthorized(Message),
    Forbidden(Message),
    NotFound(Message),
    MethodNotAllowed,
    Timeout(Message),
    Conflict(Message),
    Gone(Message),
    /// Somebody else changed what the caller wants to change.
    Stale(Message),
    LengthRequired,
    TooLarge(Message),
    TooMany(Message),
    Misdirected(Message),
    UpgradeRequired(Message),
    /// A recipe that can't be registered.
    Problems(Vec<Located>),
    Unavailable(Message),
    /// The cause is for the log, not for the caller.
    Internal(anyhow::Error),
}

impl Error {
    /// The address names nothing that exists.
    pub fn not_found() -> Self {
        Error::NotFound("not found".into())
    }

    pub fn database_away() -> Self {
        Error::Unavailable("the database does not answer; try again in a minute".into())
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Error::BadRequest(_) => StatusCode::BAD_REQUEST,
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Gone(_) => StatusCode::GONE,
            Error::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Error::Unprocessable(_) | Error::Problems(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Error::UpgradeRequired(_) => StatusCode::UPGRADE_REQUIRED,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Writes to the log what an operator has to know about. Whoever answers the request calls this once.
    pub fn log(&self, path: &str) {
        if let Error::Internal(cause) = self {
            tracing::error!(path, error = format!("{cause:#}"), "failed to answer a request");
        }
    }

    /// Returns a response with this body, the status of the error, and its `Allow` or `Retry-After` header.
    pub fn respond(&self, body: impl Reply) -> Response {
        let mut response = warp::reply::with_status(body, self.status()).into_response();
        let (name, value) = match self {
            Error::MethodNotAllowed => (header::ALLOW, "GET, HEAD"),
            Error::TooMany(_) => (header::RETRY_AFTER, "5"),
            Error::Unavailable(_) => (header::RETRY_AFTER, "10"),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}

/// The message for the caller.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::BadRequest(message)
            | Error::Unprocessable(message)
            | Error::Unauthorized(message)
            | Error::Forbidden(message)
            | Error::NotFound(message)
            | Error::Timeout(message)
            | Error::Conflict(message)
            | Error::Gone(message)
            | Error::Stale(message)
            | Error::TooLarge(message)
            | Error::TooMany(message)
            | Error::Misdirected(message)
            | Error::UpgradeRequired(message)
            | Error::Unavailable(message) => message,
            Error::MethodNotAllowed => "method not allowed",
            Error::Problems(_) => "the recipe can't be registered",
            Error::LengthRequired => "the header content-length is missing",
            Error::Internal(_) => "the coordinator failed; its log has the reason",
        })
    }
}

impl From<anyhow::Error> for Error {
    fn from(cause: anyhow::Error) -> Self {
        match Refusal::of(&cause) {
            Some(refusal) => refusal.clone().into(),
            None if presence::is_away(&cause) => Error::database_away(),
            None => Error::Internal(cause),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => Error::Unprocessable(message.into()),
            Refusal::Problems(problems) => Error::Problems(problems),
            Refusal::NotLoggedIn(message) => Error::Unauthorized(message.into()),
            Refusal::NotAllowed(message) => Error::Forbidden(message.into()),
            Refusal::NotFound(message) => Error::NotFound(message.into()),
            Refusal::Conflict(message) => Error::Conflict(message.into()),
            Refusal::Stale(message) => Error::Stale(message.into()),
        }
    }
}

impl warp::reject::Reject for Error {}
