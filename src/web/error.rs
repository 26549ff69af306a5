//! Errors of requests. Pages show them as HTML, `/api` as JSON, and hosts get them as text.

use crate::domain::refusal::{Located, Refusal};
use crate::store::presence;
use std::borrow::Cow;
use std::fmt;
use warp::Reply;
use warp::http::StatusCode;
use warp::http::header::{self, HeaderValue};
use warp::reply::Response;

/// The result of a handler.
pub type HandlerResult = Result<Response, Error>;

type Message = Cow<'static, str>;

/// An error of a request. Each variant is one status code, and its message is for the caller.
#[derive(Debug)]
pub enum Error {
    BadRequest(Message),
    /// The request is well-formed, but breaks a rule.
    Unprocessable(Message),
    Unauthorized(Message),
    Forbidden(Message),
    NotFound(Message),
    MethodNotAllowed,
    Timeout(Message),
    Conflict(Message),
    Gone(Message),
    /// Another change came before the caller's change.
    Stale(Message),
    LengthRequired,
    TooLarge(Message),
    TooMany(Message),
    Misdirected(Message),
    UpgradeRequired(Message),
    /// The problems of a recipe that can't be registered.
    Problems(Vec<Located>),
    Unavailable(Message),
    /// An internal failure. The cause is for the log, not for the caller.
    Internal(anyhow::Error),
}

impl Error {
    /// Returns the error for an address that leads to nothing.
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

    /// Logs an error that needs an operator. Call this once per request, where the response is made.
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

/// Formats the message for the caller.
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
