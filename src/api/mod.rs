//! What a host asks the coordinator, over HTTP. docs/ARCHITECTURE.md, "The host protocol", has the
//! calls in the order in which a host makes them.

mod bodies;
mod caller;
mod claim;
mod log;

pub use bodies::{FinishRequest, PushedRequest, RenewRequest, Renewed, Welcome};
pub use caller::PROTOCOL_HEADER;
pub use log::Hole;

use crate::clock::now_ms;
use crate::coordinator::Coordinator;
use crate::domain::host::Offer;
use crate::domain::results::Tests;
use crate::domain::retention::Inventory;
use crate::domain::tree::{Change, Wanted};
use crate::logfile::frame::FRAME_MOST;
use crate::store::hosts::HostRow;
use caller::{Caller, Refused};
use serde::de::DeserializeOwned;
use std::time::Duration;
use warp::http::StatusCode;
use warp::{Filter, Reply, reply::Response};

/// For so long an answer to a renewal waits at most: well below the time that a lease holds.
const HOLD_MOST: Duration = Duration::from_secs(20);
/// Largest report: outcomes, phases and a lock.
const REPORT_MOST: u64 = 4 << 20;
/// Characters of what an interpreter says of itself.
const INTERPRETER_MOST: usize = 300;
/// Names that a tree may be asked for without, and with only.
const IGNORED_MOST: usize = 1_000;
const ONLY_MOST: usize = 100_000;
/// Largest inventory: some 500 bytes for each image.
const INVENTORY_MOST: u64 = 16 << 20;

/// The calls under `/api/host`. Who is no registered host is refused before a body is read.
pub fn routes(coordinator: Coordinator) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
    let at = warp::path!("api" / "host" / ..);
    // behind the path: who calls is looked up once. Boxed, or the type of all routes together is too deep to compile.
    let known = caller::caller(coordinator).boxed();
    let hello = at
        .and(warp::path!("hello"))
        .and(warp::post())
        .and(known.clone())
        .and(offered())
        .then(hello);
    let who = at
        .and(warp::path!("hello"))
        .and(warp::get())
        .and(known.clone())
        .then(who);
    let offer = at
        .and(warp::path!("offer"))
        .and(warp::post())
        .and(known.clone())
        .and(offered())
        .then(offer);
    let claim = at
        .and(warp::path!("claim"))
        .and(warp::post())
        .and(known.clone())
        .and(offered())
        .then(claim::claim);
    let renew = at
        .and(warp::path!("attempts" / String / "renew"))
        .and(warp::post())
        .and(known.clone())
        .and(json(REPORT_MOST))
        .then(renew);
    let finish = at
        .and(warp::path!("attempts" / String / "finish"))
        .and(warp::post())
        .and(known.clone())
        .and(json(REPORT_MOST))
        .then(finish);
    let log = at
        .and(warp::path!("attempts" / String / "log"))
        .and(warp::post())
        .and(known.clone())
        .and(warp::query())
        .and(warp::body::content_length_limit(FRAME_MOST as u64))
        .and(warp::header("content-length"))
        .and(warp::body::stream())
        .then(log::append);
    let tree = at
        .and(warp::path!("trees" / String))
        .and(warp::post())
        .and(known.clone())
        .and(json(REPORT_MOST))
        .then(tree);
    let changes = at
        .and(warp::path!("trees" / String / "changes" / String))
        .and(warp::post())
        .and(known.clone())
        .and(json(REPORT_MOST))
        .then(changes);
    let images = at
        .and(warp::path!("images"))
        .and(warp::post())
        .and(known.clone())
        .and(json(INVENTORY_MOST))
        .then(images);
    let pushed = at
        .and(warp::path!("images" / String / "pushed"))
        .and(warp::post())
        .and(known.clone())
        .and(json(REPORT_MOST))
        .then(pushed);
    let folder = at
        .and(warp::path!("folders" / String))
        .and(warp::get())
        .and(known.clone())
        .then(folder);
    // who is no host learns nothing of which calls there are
    let no_call = at
        .and(warp::path::tail())
        .and(known)
        .and_then(|_, _| async { Err::<Response, _>(warp::reject::not_found()) });
    hello
        .or(who)
        .unify()
        .or(offer)
        .unify()
        .or(claim)
        .unify()
        .or(renew)
        .unify()
        .or(finish)
        .unify()
        .boxed()
        .or(log)
        .unify()
        .or(tree)
        .unify()
        .or(changes)
        .unify()
        .or(images)
        .unify()
        .or(pushed)
        .unify()
        .or(folder)
        .unify()
        .or(no_call)
        .unify()
        .boxed()
}

/// What a refused host is told. What is no host's call at all is left to the pages.
pub async fn rejected(rejection: warp::Rejection) -> Result<Response, warp::Rejection> {
    if let Some(refused) = rejection.find::<Refused>() {
        Ok(refused.response())
    } else if let Some(error) = rejection.find::<warp::body::BodyDeserializeError>() {
        Ok(say(StatusCode::BAD_REQUEST, &error.to_string()))
    } else if rejection.find::<warp::reject::PayloadTooLarge>().is_some() {
        Ok(say(StatusCode::PAYLOAD_TOO_LARGE, "this body is too large"))
    } else if rejection.find::<warp::reject::LengthRequired>().is_some() {
        Ok(say(StatusCode::LENGTH_REQUIRED, "say how long the body is"))
    } else {
        Err(rejection)
    }
}

/// A host's offer, as far as it is one.
fn offered() -> impl Filter<Extract = (Offer,), Error = warp::Rejection> + Copy {
    json(REPORT_MOST).and_then(|offer: Offer| async move {
        match offer.sane() {
            Ok(()) => Ok(offer),
            Err(reason) => Err(warp::reject::custom(Refused::Offer(reason))),
        }
    })
}

fn json<T: DeserializeOwned + Send>(most: u64) -> impl Filter<Extract = (T,), Error = warp::Rejection> + Copy {
    warp::body::content_length_limit(most).and(warp::body::json())
}

async fn hello(caller: Caller, offer: Offer) -> Response {
    let Caller { coordinator, host } = caller;
    let welcomed = async {
        coordinator.store.host_offers(&host, &offer).await?;
        coordinator.queue.abandon(&host.id, now_ms()).await?;
        // whatever had failed the machinery may be mended on a host that starts
        coordinator.queue.revive(now_ms()).await
    };
    answer(welcomed.await, |revived| {
        if revived > 0 {
            tracing::info!(revived, "jobs that the machinery had failed wait again");
        }
        welcome(host)
    })
}

fn welcome(host: HostRow) -> Response {
    let welcome = Welcome {
        builds: host.builds == 1,
        id: host.id,
        name: host.name,
    };
    warp::reply::json(&welcome).into_response()
}

async fn who(caller: Caller) -> Response {
    welcome(caller.host)
}

/// What a host offers, said apart from a claim: it takes nothing at present, or does again.
async fn offer(caller: Caller, offer: Offer) -> Response {
    let Caller { coordinator, host } = caller;
    answer(coordinator.store.host_offers(&host, &offer).await, |()| {
        warp::reply::json(&true).into_response()
    })
}

async fn renew(attempt: String, caller: Caller, request: RenewRequest) -> Response {
    let attempt = match caller.own(&attempt).await {
        Ok(attempt) => attempt,
        Err(refused) => return refused,
    };
    let queue = &caller.coordinator.queue;
    match queue.renew(&attempt, &request.fence, now_ms()).await {
        Ok(Ok(())) => {
            let mut unwanted = queue.unwanted();
            let told = unwanted.wait_for(|unwanted| unwanted.contains(&attempt.id));
            let hold = Duration::from_secs(request.hold_s).min(HOLD_MOST);
            let wanted = tokio::time::timeout(hold, told).await.is_err();
            warp::reply::json(&Renewed { wanted }).into_response()
        }
        Ok(Err(conflict)) => say(StatusCode::CONFLICT, &conflict.to_string()),
        Err(error) => failed(&error),
    }
}

async fn finish(attempt: String, caller: Caller, request: FinishRequest) -> Response {
    let attempt = match caller.own(&attempt).await {
        Ok(attempt) => attempt,
        Err(refused) => return refused,
    };
    let coordinator = &caller.coordinator;
    let mut report = request.report;
    if let Some(image) = &mut report.image {
        image.remote.take_if(|reference| !coordinator.is_ours(reference));
    }
    let tests = report.tests.take().map(Tests::plain).map(Tests::sorted);
    report.summary = tests.as_ref().map(Tests::summary);
    report.interpreter = report
        .interpreter
        .map(|text| text.chars().take(INTERPRETER_MOST).collect());
    let finished = coordinator
        .queue
        .finish(&attempt.id, &request.fence, &report, now_ms())
        .await;
    // of a report that was taken; a host that gets no answer sends it again
    if let (Ok(Ok(_)), Some(tests)) = (&finished, &tests)
        && let Err(error) = coordinator.objects.put_tests(&attempt.id, tests).await
    {
        return failed(&error);
    }
    coordinator.nudge();
    answer(finished, |decision| match decision {
        Ok(taken) => warp::reply::json(&taken).into_response(),
        Err(conflict) => say(StatusCode::CONFLICT, &conflict.to_string()),
    })
}

/// Each of these is compared with each file of a tree.
fn too_many(wanted: &Wanted) -> bool {
    wanted.ignore.len() > IGNORED_MOST || wanted.only.as_ref().is_some_and(|only| only.len() > ONLY_MOST)
}

async fn tree(revision: String, caller: Caller, wanted: Wanted) -> Response {
    let coordinator = caller.coordinator;
    if too_many(&wanted) {
        return say(StatusCode::PAYLOAD_TOO_LARGE, "this names too many files");
    }
    if !is_held(&coordinator, &revision).await {
        return say(StatusCode::NOT_FOUND, "there is no such check-in");
    }
    match coordinator.mirror.archive(&revision, &wanted) {
        Ok(stream) => warp::reply::stream(stream).into_response(),
        Err(error) => failed(&error.into()),
    }
}

async fn changes(to: String, from: String, caller: Caller, wanted: Wanted) -> Response {
    let coordinator = caller.coordinator;
    if too_many(&wanted) {
        return say(StatusCode::PAYLOAD_TOO_LARGE, "this names too many files");
    }
    if !is_held(&coordinator, &to).await {
        return say(StatusCode::NOT_FOUND, "there is no such check-in");
    }
    if !is_held(&coordinator, &from).await {
        return warp::reply::json(&None::<Vec<Change>>).into_response();
    }
    let changes = coordinator.mirror.changes(&from, &to, &wanted.ignore).await;
    answer(changes.map_err(anyhow::Error::from), |changes| {
        warp::reply::json(&Some(changes)).into_response()
    })
}

async fn is_held(coordinator: &Coordinator, revision: &str) -> bool {
    revision.bytes().all(|b| b.is_ascii_hexdigit()) && coordinator.mirror.holds(revision).await
}

/// What of all that a host holds may go.
async fn images(caller: Caller, inventory: Inventory) -> Response {
    let builds = caller.host.builds == 1;
    // each speaks of itself alone
    let inventory = Inventory {
        host: caller.host.id,
        ..inventory
    };
    answer(
        caller.coordinator.keeper().tell(&inventory, builds, now_ms()).await,
        |verdicts| warp::reply::json(&verdicts).into_response(),
    )
}

/// Only who may build says what an image is.
async fn pushed(build_key: String, caller: Caller, request: PushedRequest) -> Response {
    if caller.host.builds != 1 {
        return say(
            StatusCode::FORBIDDEN,
            "this host may not build images, and so push none",
        );
    }
    answer(
        caller.coordinator.pushed(&build_key, &request.reference).await,
        |noted| match noted {
            true => warp::reply::json(&true).into_response(),
            false => say(StatusCode::NOT_FOUND, "there is no such image, or no such repository"),
        },
    )
}

async fn folder(digest: String, caller: Caller) -> Response {
    answer(caller.coordinator.objects.folder(&digest).await, |bytes| match bytes {
        Some(bytes) => bytes.into_response(),
        None => say(StatusCode::NOT_FOUND, "there is no such folder"),
    })
}

fn answer<T>(result: anyhow::Result<T>, reply: impl FnOnce(T) -> Response) -> Response {
    match result {
        Ok(value) => reply(value),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> Response {
    tracing::error!(error = format!("{error:#}"), "failed to answer a host");
    say(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the coordinator failed; its log says more",
    )
}

fn say(status: StatusCode, text: &str) -> Response {
    warp::reply::with_status(text.to_owned(), status).into_response()
}
