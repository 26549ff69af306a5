//! The calls of hosts. docs/protocol.md describes each, in the order in which a host makes them.

mod attempts;
mod caller;
mod claim;
mod images;
mod log;
mod registration;
mod trees;
mod turns;

use super::body::json;
use crate::coordinator::Coordinator;
use crate::domain::host::Capabilities;
use crate::logfile::frame::FRAME_MOST;
use crate::web::{Error, HandlerResult};
use warp::filters::BoxedFilter;
use warp::reject::{LengthRequired, PayloadTooLarge};
use warp::{Filter, Rejection, reply::Response};

/// Bytes of the largest report: outcomes, phases, 4 MiB of tests, and a lock.
const REPORT_MOST: u64 = 8 << 20;
/// Bytes of the largest inventory: about 500 for each image and volume.
const INVENTORY_MOST: u64 = 8 << 20;

/// Routes the calls under `/api/host`. Refuses a caller that is no registered host before it reads any body. Rejects a
/// registered host's call that does not exist, so that other routes answer it. Other callers can't find out which calls
/// exist.
pub fn host(coordinator: Coordinator) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "host" / ..)
        .and(calls(coordinator))
        .map(|outcome: HandlerResult| outcome.unwrap_or_else(|error| respond(&error)))
        .recover(rejected)
        .unify()
        .boxed()
}

/// Builds the routes, one line for each call.
#[rustfmt::skip]
fn calls(coordinator: Coordinator) -> BoxedFilter<(HandlerResult,)> {
    use warp::{body, get, header, path, post, query};
    let caller = caller::caller(coordinator);
    let newest = caller::newest(caller.clone());
    let (caller, newest) = (|| caller.clone(), || newest.clone());
    let calls = [
        path!("hello").and(post()).and(caller()).and(capabilities()).then(registration::hello).boxed(),
        path!("hello").and(get()).and(caller()).then(registration::who).boxed(),
        path!("capabilities").and(post()).and(newest()).and(capabilities()).then(registration::capabilities).boxed(),
        path!("claim").and(post()).and(newest()).and(capabilities()).then(claim::claim).boxed(),
        path!("attempts" / String / "renew").and(post()).and(newest()).and(json(REPORT_MOST)).then(attempts::renew).boxed(),
        path!("attempts" / String / "finish").and(post()).and(caller()).and(json(REPORT_MOST)).then(attempts::finish).boxed(),
        path!("attempts" / String / "log").and(post()).and(caller()).and(query())
            .and(body::content_length_limit(FRAME_MOST as u64)).and(header("content-length")).and(body::stream())
            .then(log::append).boxed(),
        path!("trees" / String).and(post()).and(caller()).and(json(REPORT_MOST)).then(trees::tree).boxed(),
        path!("trees" / String / "changes" / String).and(post()).and(caller()).and(json(REPORT_MOST)).then(trees::changes).boxed(),
        path!("images").and(post()).and(caller()).and(json(INVENTORY_MOST)).then(images::inventory).boxed(),
        path!("images" / String / "pushed").and(post()).and(caller()).and(json(REPORT_MOST)).then(images::pushed).boxed(),
        path!("folders" / String).and(get()).and(caller()).then(trees::folder).boxed(),
    ];
    let none = path::tail().and(caller()).and_then(|_, _| async { Err(warp::reject::not_found()) }).boxed();
    calls.into_iter().rev().fold(none, |later, call| call.or(later).unify().boxed())
}

/// Reads the capabilities of a host from the body. Rejects values that make no sense.
fn capabilities() -> impl Filter<Extract = (Capabilities,), Error = Rejection> + Copy {
    json(REPORT_MOST).and_then(|capabilities: Capabilities| async move {
        match capabilities.sane() {
            Ok(()) => Ok(capabilities),
            Err(reason) => Err(warp::reject::custom(Error::BadRequest(reason.into()))),
        }
    })
}

/// Responds with an error as plain text.
fn respond(error: &Error) -> Response {
    error.log("/api/host");
    error.respond(error.to_string())
}

/// Responds to a call that a filter refused. A call that does not exist stays rejected.
async fn rejected(rejection: Rejection) -> Result<Response, Rejection> {
    if let Some(error) = rejection.find::<Error>() {
        Ok(respond(error))
    } else if rejection.find::<PayloadTooLarge>().is_some() {
        Ok(respond(&Error::TooLarge("the body is too large".into())))
    } else if rejection.find::<LengthRequired>().is_some() {
        Ok(respond(&Error::LengthRequired))
    } else {
        Err(rejection)
    }
}
