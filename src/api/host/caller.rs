//! Authenticates calls by the token of a registered host, and checks the version of the protocol.

use super::turns::CostlyCalls;
use crate::clock::now;
use crate::coordinator::Coordinator;
use crate::domain::time::Timestamp;
use crate::enrolment::Token;
use crate::protocol::{CLOCK_HEADER, INSTANCE_HEADER, PROTOCOL, PROTOCOL_HEADER};
use crate::store::attempts::Attempt;
use crate::store::hosts::HostRow;
use crate::web::{Error, Peer, peer};
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection};

/// The host that makes a call, and the coordinator that it calls.
#[derive(Clone)]
pub struct Caller {
    pub coordinator: Coordinator,
    pub host: HostRow,
    /// The instance of the host's daemon that makes the call.
    pub instance: Option<String>,
    /// The turns in costly calls, shared by all hosts.
    pub costly: Arc<CostlyCalls>,
}

/// Returns a filter that accepts a call with the token of a registered host, in this version of the protocol, unless
/// too many calls of the host are in progress. Records when the host called, and its clock offset. Place the filter
/// before the filter that reads the body.
pub fn caller(coordinator: Coordinator) -> BoxedFilter<(Caller,)> {
    let costly = Arc::new(CostlyCalls::default());
    warp::header::optional::<String>("authorization")
        .and(warp::header::optional::<String>(PROTOCOL_HEADER))
        .and(warp::header::optional::<String>(INSTANCE_HEADER))
        .and(warp::header::optional::<String>(CLOCK_HEADER))
        .and(peer())
        .and_then(
            move |authorization: Option<String>,
                  protocol: Option<String>,
                  instance: Option<String>,
                  clock: Option<String>,
                  peer: Peer| {
                let headers = Headers {
                    authorization,
                    protocol,
                    instance,
                    clock,
                };
                let (coordinator, costly) = (coordinator.clone(), costly.clone());
                async move {
                    let caller = authenticate(coordinator, costly, headers, &peer).await;
                    caller.map_err(|error| -> Rejection { warp::reject::custom(error) })
                }
            },
        )
        .boxed()
}

/// Returns a filter that accepts a call from the instance that sent the last hello. Calls about attempts do not need
/// it, because they carry a fence.
pub fn newest(caller: BoxedFilter<(Caller,)>) -> BoxedFilter<(Caller,)> {
    caller
        .and_then(|caller: Caller| async move {
            match caller.is_replaced_in(&caller.host) {
                false => Ok(caller),
                true => Err(warp::reject::custom(replaced())),
            }
        })
        .boxed()
}

/// Returns the error for an instance that another one has replaced.
pub fn replaced() -> Error {
    let message = "another daemon with this token has started since, and took the place of this one; run one daemon for each \
                   token, and add a host for each machine";
    Error::Gone(message.into())
}

/// The headers that a host sends with each call.
struct Headers {
    authorization: Option<String>,
    protocol: Option<String>,
    instance: Option<String>,
    clock: Option<String>,
}

async fn authenticate(
    coordinator: Coordinator,
    costly: Arc<CostlyCalls>,
    headers: Headers,
    peer: &Peer,
) -> Result<Caller, Error> {
    let Headers {
        authorization,
        protocol,
        instance,
        clock,
    } = headers;
    let token = authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
    let digest = Token::digest(token.ok_or_else(unauthorized)?);
    let host = coordinator.store.host_of_token(&digest).await?;
    let host = host.ok_or_else(unauthorized)?;
    let protocol = protocol.and_then(|protocol| protocol.parse().ok());
    if protocol != Some(PROTOCOL) {
        return Err(upgrade_required(protocol));
    }
    let slots = host.capabilities.as_ref().map_or(1, |capabilities| capabilities.slots);
    if !peer.note_host(host.id.as_str(), slots) {
        return Err(too_many());
    }
    let now = now();
    let theirs = clock.and_then(|clock| clock.parse().ok()).map(Timestamp::from_millis);
    let clock_offset_ms = theirs.map(|theirs| theirs - now);
    coordinator.store.saw_host(&host, clock_offset_ms, now).await?;
    let is_plain = |text: &String| text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    Ok(Caller {
        coordinator,
        host,
        instance: instance.filter(is_plain),
        costly,
    })
}

fn too_many() -> Error {
    let message = "this host has more calls in work than its slots take; wait for the answer to one before the next";
    Error::TooMany(message.into())
}

fn unauthorized() -> Error {
    Error::Unauthorized("this token is unknown; an operator issues another one with `pybots host rotate NAME`".into())
}

fn upgrade_required(theirs: Option<u32>) -> Error {
    let version = env!("CARGO_PKG_VERSION");
    let remedy = match theirs {
        Some(theirs) if theirs > PROTOCOL => {
            format!("update the coordinator, or install Pybots {version} as the coordinator has it on the host")
        }
        _ => format!("install the coordinator's Pybots, {version}, on the host and start it again"),
    };
    let theirs = theirs.map_or("none".to_owned(), |theirs| theirs.to_string());
    let message = format!("this host speaks protocol {theirs}, and the coordinator speaks {PROTOCOL}; {remedy}");
    Error::UpgradeRequired(message.into())
}

impl Caller {
    /// Returns whether another instance has sent its hello after this one, according to the current row of the host. A
    /// caller that names no instance is never replaced.
    pub fn is_replaced_in(&self, host: &HostRow) -> bool {
        self.instance.is_some() && host.instance.is_some() && self.instance != host.instance
    }

    /// Returns an attempt of this host. For another host's attempt, the error is the same as for an attempt that does
    /// not exist.
    pub async fn own(&self, attempt: &str) -> Result<Attempt, Error> {
        let found = self.coordinator.store.attempt(&attempt.into()).await?;
        let own = found.filter(|found| found.host == self.host.id);
        own.ok_or_else(|| Error::NotFound("this host has leased no such attempt".into()))
    }
}
