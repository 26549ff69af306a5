//! A typed client of `/api/v1`: over HTTP, or in this process on the coordinator's machine. Both ways use the same
//! handlers, so a command does the same on every machine.

mod calls;
mod transport;

use crate::api::v1::types::ProblemDetails;
use crate::domain::refusal::Refusal;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use transport::Transport;
use warp::http::{Method, StatusCode};

/// A client of the API of one coordinator.
pub struct Client {
    transport: Transport,
}

/// The body of a call without one.
const NOTHING: Option<&()> = None;

impl Client {
    /// Builds a client of the coordinator at an address. `token` is an access token; without one, the client can read
    /// only what is public.
    pub fn remote(server: &str, token: Option<&str>) -> Result<Self> {
        Ok(Self {
            transport: Transport::remote(server, token)?,
        })
    }

    /// Builds a client of the coordinator whose store this machine can open. `name` is the person who makes the
    /// changes.
    pub fn local(web: crate::web::Web, name: &str) -> Self {
        Self {
            transport: Transport::local(web, name),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, NOTHING).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Makes a call. `path` is relative to `/api/v1`, and includes the query. If the coordinator refuses the call, the
    /// error is a [`Refusal`] where one fits.
    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<T> {
        let body = body.map(serde_json::to_vec).transpose()?;
        let path = format!("/api/v1/{path}");
        let (status, answer) = self.transport.send(method, &path, body).await?;
        match status.is_success() {
            true => read(&answer),
            false => Err(refusal(status, &answer)),
        }
    }
}

fn read<T: DeserializeOwned>(answer: &Bytes) -> Result<T> {
    // an empty response is `null` in JSON
    let text: &[u8] = if answer.is_empty() { b"null" } else { answer };
    serde_json::from_slice(text).context("the coordinator sent what this version of Pybots can't read")
}

/// Returns the error that problem details describe: a [`Refusal`] if one has the status, otherwise only the text.
fn refusal(status: StatusCode, answer: &Bytes) -> anyhow::Error {
    let Ok(problem) = serde_json::from_slice::<ProblemDetails>(answer) else {
        return anyhow!(
            "the coordinator answered {status}, without a reason; check the address, and that it runs this version of Pybots"
        );
    };
    let detail = problem.detail;
    match status {
        StatusCode::UNPROCESSABLE_ENTITY if !problem.problems.is_empty() => Refusal::Problems(problem.problems).into(),
        StatusCode::UNAUTHORIZED => Refusal::NotLoggedIn(detail).into(),
        StatusCode::FORBIDDEN => Refusal::NotAllowed(detail).into(),
        StatusCode::NOT_FOUND => Refusal::NotFound(detail).into(),
        StatusCode::CONFLICT => Refusal::Conflict(detail).into(),
        StatusCode::PRECONDITION_FAILED => Refusal::Stale(detail).into(),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Refusal::Invalid(detail).into(),
        _ => anyhow!(detail),
    }
}
