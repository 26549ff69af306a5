//! Who calls: the host whose token it is, under a protocol that both sides speak.

use super::say;
use crate::clock::now_ms;
use crate::coordinator::Coordinator;
use crate::domain::host::PROTOCOL;
use crate::registry::Token;
use crate::store::attempts::Attempt;
use crate::store::hosts::HostRow;
use warp::Filter;
use warp::http::StatusCode;
use warp::reply::Response;

/// The header in which a host says which protocol it speaks.
pub const PROTOCOL_HEADER: &str = "pybots-protocol";

/// A host, and whom it calls.
#[derive(Clone)]
pub struct Caller {
    pub coordinator: Coordinator,
    pub host: HostRow,
}

/// Why a call is not let in.
#[derive(Debug)]
pub enum Refused {
    Unknown,
    Protocol(Option<u32>),
    /// Not one that we can work with.
    Offer(String),
    Broken,
}
impl warp::reject::Reject for Refused {}

impl Refused {
    pub fn response(&self) -> Response {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            Refused::Unknown => say(
                StatusCode::UNAUTHORIZED,
                "this token is not known here; a maintainer gives a host another one by `pybots host rotate NAME`",
            ),
            Refused::Protocol(theirs) => {
                let which = match theirs {
                    Some(theirs) if *theirs > PROTOCOL => "this host is newer than the coordinator",
                    _ => "this host is too old for the coordinator",
                };
                let theirs = theirs.map_or("none".to_owned(), |theirs| theirs.to_string());
                say(
                    StatusCode::UPGRADE_REQUIRED,
                    &format!(
                        "{which}: it speaks protocol {theirs}, wanted is {PROTOCOL}; install Pybots {version} on the host"
                    ),
                )
            }
            Refused::Offer(reason) => say(StatusCode::BAD_REQUEST, reason),
            Refused::Broken => say(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the coordinator failed; its log says more",
            ),
        }
    }
}

/// Lets in who bears the token of a registered host, before any body is read.
pub fn caller(coordinator: Coordinator) -> impl Filter<Extract = (Caller,), Error = warp::Rejection> + Clone {
    warp::header::optional::<String>("authorization")
        .and(warp::header::optional::<String>(PROTOCOL_HEADER))
        .and_then(move |token: Option<String>, protocol: Option<String>| {
            let coordinator = coordinator.clone();
            async move { enter(coordinator, token, protocol).await.map_err(warp::reject::custom) }
        })
}

async fn enter(coordinator: Coordinator, token: Option<String>, protocol: Option<String>) -> Result<Caller, Refused> {
    let token = token.as_deref().and_then(|given| given.strip_prefix("Bearer "));
    let digest = Token::digest(token.ok_or(Refused::Unknown)?);
    let broken = |error: anyhow::Error| {
        tracing::error!(error = format!("{error:#}"), "failed to look up a host");
        Refused::Broken
    };
    let host = coordinator.store.host_of_token(&digest).await.map_err(broken)?;
    let host = host.ok_or(Refused::Unknown)?;
    let protocol = protocol.and_then(|protocol| protocol.parse().ok());
    if protocol != Some(PROTOCOL) {
        return Err(Refused::Protocol(protocol));
    }
    coordinator.store.saw_host(&host, now_ms()).await.map_err(broken)?;
    Ok(Caller { coordinator, host })
}

impl Caller {
    /// An attempt that this host made or makes; to others it says nothing of it.
    pub async fn own(&self, attempt: &str) -> Result<Attempt, Response> {
        match self.coordinator.store.attempt(attempt).await {
            Ok(Some(found)) if found.host == self.host.id => Ok(found),
            Ok(_) => Err(say(StatusCode::NOT_FOUND, "this host has leased no such attempt")),
            Err(error) => Err(super::failed(&error)),
        }
    }
}
