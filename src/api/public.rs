//! Results, incidents, comparisons and logs as JSON, for programs.

pub(super) mod logs;
mod range;

use super::v1::types::ProblemDetails;
use crate::clock::now;
use crate::compare::{self, Comparison};
use crate::domain::id::RevisionId;
use crate::incidents::IncidentView;
use crate::store::views::{ResultCell, Scope};
use crate::web::{self, Error, HandlerResult, Query, Route, Web, json, peer, query, read_only, secure, with};
pub(super) use range::in_range;
use reqwest::Url;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderValue;
use warp::http::header::LINK;
use warp::path::FullPath;
use warp::reply::Response;

/// The most revisions in one response of `/api/results`, and the number without `?revisions=N`.
const REVISIONS_MOST: i64 = 100;

/// At most two requests that read a lot are answered at the same time. The others wait up to `TURN_WITHIN` for their
/// turn.
static HEAVY: Semaphore = Semaphore::const_new(2);
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// The number of closed incidents that `/api/incidents` returns.
const CLOSED: i64 = 30;

/// The body of every error.
#[derive(Serialize)]
struct ErrorBody {
    error: String,
}

/// Routes the addresses under `/api`. Responds to every request there, if need be with an error as JSON, so place the
/// routes of hosts before it.
pub fn public(web: Web) -> BoxedFilter<(Response,)> {
    let gate = gate(&web).or(read_only(routes(&web))).unify();
    warp::path("api")
        .and(warp::path::full())
        .and(gate)
        .map(|path: FullPath, outcome: HandlerResult| {
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

/// Rejects callers without a login unless everybody may read.
pub(super) fn gate(web: &Web) -> Route {
    web::gate(web, &[], |_| Err(web::unauthorized()))
}

/// Builds the routes, one line for each address.
#[rustfmt::skip]
pub(super) fn routes(web: &Web) -> Vec<Route> {
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

/// Waits for the turn of a request that reads a lot. Fails if none is free in time.
async fn turn(turns: &Semaphore, within: Duration) -> Result<SemaphorePermit<'_>, Error> {
    match tokio::time::timeout(within, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Error::Unavailable(
            "too many clients read results; try again in a few seconds".into(),
        )),
    }
}

/// Returns the number of revisions that a request asks for, within the bounds.
fn revisions_asked(query: &Query) -> i64 {
    let asked = query.get("revisions").and_then(|text| text.parse().ok());
    asked.unwrap_or(REVISIONS_MOST).clamp(1, REVISIONS_MOST)
}

/// Returns the header that links to the next page of results.
fn next_page(path: &str, query: &Query, older: &RevisionId) -> Option<HeaderValue> {
    let kept = query.iter().filter(|(name, _)| *name != "before");
    let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
    let url = Url::parse_with_params(
        &format!("http://localhost{path}"),
        kept.chain([("before", older.as_str())]),
    )
    .ok()?;
    let link = format!("<{}?{}>; rel=\"next\"", url.path(), url.query().unwrap_or_default());
    HeaderValue::from_str(&link).ok()
}

#[utoipa::path(
    get, path = "/api/v1/results", tag = "results", summary = "List the cells of the newest revisions",
    description = "The header `link` names the next part.",
    params(
        ("branch" = Option<String>, Query), ("variant" = Option<String>, Query),
        ("revisions" = Option<i64>, Query, minimum = 1, maximum = 100),
        ("before" = Option<String>, Query, description = "As the header `link` has it"),
    ),
    responses((status = 200, body = Vec<ResultCell>), (status = 404, body = ProblemDetails), (status = 503, body = ProblemDetails)),
)]
/// Responds with the cells of the newest revisions. Unlike `/api/results`, refuses a `?revisions=N` that is out of
/// range.
pub(super) async fn checked_results(web: Web, query: Query) -> HandlerResult {
    in_range(&query, "revisions", 1..=REVISIONS_MOST)?;
    results_at("/api/v1/results", web, query).await
}

/// Responds with the cells of the newest revisions: `?branch=NAME`, `?variant=NAME`, `?revisions=N`, and `?before=ID`
/// as the header `link` contains it.
async fn results(web: Web, query: Query) -> HandlerResult {
    results_at("/api/results", web, query).await
}

/// Responds with the cells of the newest revisions. `path` begins the link to the next page.
async fn results_at(path: &str, web: Web, query: Query) -> HandlerResult {
    let _turn = turn(&HEAVY, TURN_WITHIN).await?;
    let branch = query.get("branch").map(String::as_str);
    if let Some(name) = branch
        && !web.store.has_branch(name).await?
    {
        return Err(Error::NotFound(format!("no branch is called {name:?}").into()));
    }
    let scope = branch.map_or(Scope::All, |name| Scope::Branch(name.to_owned()));
    let before = query.get("before").map(|id| RevisionId::from(id.as_str()));
    let matrix = web
        .store
        .matrix(&scope, revisions_asked(&query), before.as_ref())
        .await?;
    let mut cells = matrix.results(now());
    if let Some(variant) = query.get("variant") {
        cells.retain(|cell| cell.variant == *variant);
    }
    let mut response = json(&cells);
    if let Some(link) = matrix.older.as_ref().and_then(|older| next_page(path, &query, older)) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", summary = "List the open incidents, and those that were closed lately",
    responses((status = 200, body = Vec<IncidentView>)),
)]
pub(super) async fn incidents(web: Web) -> HandlerResult {
    let all = web.incidents().all(CLOSED, now()).await?;
    Ok(json(&all))
}

#[utoipa::path(
    get, path = "/api/v1/incidents/{number}", tag = "incidents", summary = "Show one incident",
    params(("number" = i64, Path)),
    responses((status = 200, body = IncidentView), (status = 404, body = ProblemDetails)),
)]
pub(super) async fn incident(number: i64, web: Web) -> HandlerResult {
    let found = web.incidents().one(number, now()).await?;
    Ok(json(&found.ok_or_else(Error::not_found)?))
}

#[utoipa::path(
    get, path = "/api/v1/compare/{base}/{now}", tag = "results", summary = "Compare two revisions, branches or variants",
    params(("base" = String, Path, description = "`REVISION[:VARIANT]`"), ("now" = String, Path)),
    responses((status = 200, body = Comparison), (status = 404, body = ProblemDetails), (status = 503, body = ProblemDetails)),
)]
/// `/api/compare/BASE[:VARIANT]/NOW[:VARIANT]`: responds with the comparison.
pub(super) async fn comparison(base: String, now: String, web: Web) -> HandlerResult {
    let _turn = turn(&HEAVY, TURN_WITHIN).await?;
    match compare::of(&web.store, &web.objects, &base, &now).await? {
        Ok(compared) => Ok(json(&compared)),
        Err(_) => Err(Error::not_found()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_requests_that_read_a_lot_are_answered_at_a_time() {
        let turns = Semaphore::const_new(2);
        let first = turn(&turns, Duration::ZERO).await;
        let second = turn(&turns, Duration::ZERO).await;
        assert!(first.is_ok() && second.is_ok());
        let third = turn(&turns, Duration::ZERO).await.map(drop);
        assert!(matches!(third, Err(Error::Unavailable(_))));
        drop(first);
        assert!(turn(&turns, Duration::ZERO).await.is_ok());
    }

    #[test]
    fn a_response_has_a_hundred_revisions_at_most() {
        let asked = |text: &str| revisions_asked(&Query::from([("revisions".to_owned(), text.to_owned())]));
        assert_eq!(["7", "1000", "-1", "x"].map(asked), [7, 100, 1, 100]);
        assert_eq!(revisions_asked(&Query::new()), 100);
    }
}
