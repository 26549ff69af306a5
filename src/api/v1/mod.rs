//! `/api/v1`: the calls by which people and their programs read and change. docs/api.md describes them, and
//! `openapi.rs` generates the OpenAPI document from the handlers.

mod accounts;
mod caller;
mod decisions;
mod desk;
mod events;
mod openapi;
mod projects;
mod queue;
mod responses;
mod submissions;
mod tags;
pub mod types;

pub use desk::Desk;
pub use openapi::document;

use super::body::object;
use super::public;
use crate::web::{HandlerResult, Web, peer, query};
use caller::{person, reader};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

/// The most bytes of a submitted recipe as JSON. Its text has up to 128 KiB, and JSON can double them.
const SUBMISSION_MOST: u64 = 512 << 10;
/// The most bytes of any other body.
const BODY_MOST: u64 = 16 << 10;

/// Routes the addresses under `/api/v1`, and responds to every request there.
pub fn v1(desk: &Desk, web: Web) -> BoxedFilter<(Response,)> {
    let calls = calls(desk, &web).into_iter();
    let reading = std::iter::once(public::gate(&web)).chain(public::routes(&web));
    let reading = reading.map(|route| read().and(route).boxed());
    let none = warp::any()
        .and_then(|| async { Err(warp::reject::not_found()) })
        .boxed();
    let found = calls
        .chain(reading)
        .rev()
        .fold(none, |later, call| call.or(later).unify().boxed());
    // comes after `recover`: a call that a filter refused, as for a wrong token, gets that error and not "not found"
    let missing = warp::path!("api" / "v1" / ..)
        .and(warp::path::full())
        .and(warp::method())
        .map(openapi::none);
    warp::path!("api" / "v1" / ..)
        .and(warp::path::full())
        .and(warp::header::optional::<String>("if-none-match"))
        .and(found)
        .then(|path: FullPath, cached: Option<String>, outcome: HandlerResult| {
            responses::respond(path, cached, outcome)
        })
        .recover(responses::rejected)
        .unify()
        .or(missing)
        .unify()
        .boxed()
}

/// Accepts GET and HEAD.
fn read() -> impl Filter<Extract = (), Error = warp::Rejection> + Copy {
    warp::get().or(warp::head()).unify()
}

/// Builds the routes, one line for each call. Each authenticates the caller before it reads a body.
#[rustfmt::skip]
fn calls(desk: &Desk, web: &Web) -> Vec<BoxedFilter<(HandlerResult,)>> {
    use warp::{delete, header, patch, path, post};
    let reader = || reader(web);
    let person = || person(desk, web);
    let one = events::Feed::new(&web.store);
    let feed = || {
        let one = one.clone();
        warp::any().map(move || one.clone())
    };
    vec![
        path!("openapi.json").and(read()).and(reader()).then(openapi::page).boxed(),
        path!("results").and(read()).and(reader()).and(query()).then(public::checked_results).boxed(),
        path!("queue").and(read()).and(reader()).then(queue::queue).boxed(),
        path!("projects" / String / "tests").and(read()).and(reader()).and(query()).then(queue::tests).boxed(),
        path!("logs" / String).and(read()).and(reader()).and(query()).and(peer()).then(public::logs::checked_pieces).boxed(),
        path!("events").and(read()).and(feed()).and(reader()).and(query()).and(header::headers_cloned()).and(peer()).then(events::follow).boxed(),
        path!("me").and(read()).and(person()).then(accounts::me).boxed(),
        path!("recipes").and(post()).and(person()).and(header::optional("if-match")).and(object(SUBMISSION_MOST)).then(submissions::submit).boxed(),
        path!("recipes").and(read()).and(reader()).and(query()).then(submissions::open).boxed(),
        path!("projects").and(read()).and(reader()).and(query()).then(projects::all).boxed(),
        path!("projects" / String).and(read()).and(reader()).then(projects::one).boxed(),
        path!("projects" / String / "versions").and(read()).and(reader()).and(query()).then(projects::versions).boxed(),
        path!("projects" / String / "versions" / i64).and(read()).and(reader()).then(projects::version).boxed(),
        path!("projects" / String / "versions" / i64 / "diff").and(read()).and(reader()).and(query()).then(projects::diff).boxed(),
        path!("projects" / String / "versions" / i64 / "decision").and(post()).and(person()).and(object(BODY_MOST)).then(submissions::decide).boxed(),
        path!("projects" / String / "state").and(post()).and(person()).and(object(BODY_MOST)).then(submissions::set_state).boxed(),
        path!("projects" / String / "owner").and(post()).and(person()).and(object(BODY_MOST)).then(submissions::hand_over).boxed(),
        path!("projects" / String / "hand-over").and(post()).and(person()).and(object(BODY_MOST)).then(submissions::answer_hand_over).boxed(),
        path!("accounts").and(read()).and(person()).and(query()).then(accounts::all).boxed(),
        path!("accounts").and(post()).and(person()).and(object(BODY_MOST)).then(accounts::add).boxed(),
        path!("accounts" / String).and(read()).and(person()).then(accounts::one).boxed(),
        path!("accounts" / String / "identities").and(delete()).and(person()).then(accounts::unlink).boxed(),
        path!("accounts" / String).and(patch()).and(person()).and(object(BODY_MOST)).then(accounts::change).boxed(),
        path!("tokens").and(read()).and(person()).and(query()).then(accounts::tokens).boxed(),
        path!("tokens").and(post()).and(person()).and(object(BODY_MOST)).then(accounts::issue).boxed(),
        path!("tokens" / String).and(delete()).and(person()).then(accounts::revoke).boxed(),
        path!("audit").and(read()).and(person()).and(query()).then(accounts::audit).boxed(),
        path!("incidents" / i64 / "decision").and(post()).and(person()).and(object(BODY_MOST)).then(decisions::incident).boxed(),
        path!("jobs" / String / String).and(post()).and(person()).then(decisions::job).boxed(),
        path!("hosts").and(read()).and(reader()).then(decisions::hosts).boxed(),
        path!("hosts").and(post()).and(person()).and(object(BODY_MOST)).then(decisions::add_host).boxed(),
        path!("hosts" / String / String).and(post()).and(person()).then(decisions::host).boxed(),
    ]
}
