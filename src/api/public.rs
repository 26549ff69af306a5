//! Results for programs, as JSON: what the pages show, and logs piece by piece.

mod logs;

use crate::clock::now;
use crate::compare;
use crate::web::{Error, Outcome, Query, Route, Web, json, peer, query, read_only, secure, with};
use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

/// Revisions whose cells `/api/results` returns, unless `?revisions=N` asks for another number, and at most.
const REVISIONS: i64 = 100;
const REVISIONS_MOST: i64 = 1000;

/// Closed incidents that `/api/incidents` returns.
const CLOSED: i64 = 30;

/// What every error looks like.
#[derive(Serialize)]
struct ErrorBody {
    error: String,
}

/// The addresses under `/api`. Answers every request below it, if need be with an error as JSON, so the routes of hosts
/// belong before it.
pub fn public(web: Web) -> BoxedFilter<(Response,)> {
    warp::path("api")
        .and(warp::path::full())
        .and(read_only(routes(&web)))
        .map(|path: FullPath, outcome: Outcome| {
            let failed = |error: Error| {
                error.log(path.as_str());
                let body = ErrorBody {
                    error: error.to_string(),
                };
                error.respond(json(&body))
            };
            secure(outcome.unwrap_or_else(failed))
        })
        .boxed()
}

/// A line for each address.
#[rustfmt::skip]
fn routes(web: &Web) -> Vec<Route> {
    use warp::path;
    let web = || with(web);
    vec![
        path!("results").and(web()).and(query()).then(results).boxed(),
        path!("incidents").and(web()).then(incidents).boxed(),
        path!("incidents" / i64).and(web()).then(incident).boxed(),
        path!("compare" / String / String).and(web()).then(comparison).boxed(),
        path!("logs" / String).and(web()).and(query()).and(peer()).then(logs::pieces).boxed(),
    ]
}

/// The cells of the newest revisions: `?branch=NAME`, `?variant=NAME`, `?revisions=N`.
async fn results(web: Web, query: Query) -> Outcome {
    let branch = query.get("branch").map(String::as_str);
    if let Some(name) = branch
        && !web.store.has_branch(name).await?
    {
        return Err(Error::NotFound(format!("no branch is called {name:?}").into()));
    }
    let asked = query.get("revisions").and_then(|text| text.parse().ok());
    let revisions = asked.unwrap_or(REVISIONS).clamp(1, REVISIONS_MOST);
    let mut cells = web.store.results(branch, revisions, now()).await?;
    if let Some(variant) = query.get("variant") {
        cells.retain(|cell| cell.variant == *variant);
    }
    Ok(json(&cells))
}

async fn incidents(web: Web) -> Outcome {
    let all = web.incidents().all(CLOSED, now()).await?;
    Ok(json(&all))
}

async fn incident(number: i64, web: Web) -> Outcome {
    let found = web.incidents().one(number, now()).await?;
    Ok(json(&found.ok_or_else(Error::not_found)?))
}

/// `/api/compare/BASE[:VARIANT]/NOW[:VARIANT]`
async fn comparison(base: String, now: String, web: Web) -> Outcome {
    match compare::of(&web.store, &web.objects, &base, &now).await? {
        Ok(compared) => Ok(json(&compared)),
        Err(_) => Err(Error::not_found()),
    }
}
