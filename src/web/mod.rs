//! Pages: the matrix of check-ins x projects, and behind each cell its run with the log. Everything
//! is read from the store at each request; nothing needs a script in the browser. With one, a log that grows is
//! shown as it comes.

mod ansi;
mod answer;
mod attempts;
mod compare;
mod grid;
mod hosts;
mod incidents;
mod live;
mod pages;
mod projects;
mod render;
mod standing;
mod window;
mod words;

use crate::store::Store;
use crate::store::logs::Objects;
use answer::Answer;
use std::collections::BTreeMap;
use std::convert::Infallible;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::path::FullPath;
use warp::{Filter, Reply};

/// What the pages are drawn from.
#[derive(Clone)]
pub struct Web {
    pub store: Store,
    pub objects: Objects,
}

type Query = BTreeMap<String, String>;

/// All pages. Answers every request, if only by saying that there is no such page: other routes
/// belong before it.
pub fn routes(web: Web) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let query = warp::query::<Query>().or_else(|_| async { Ok::<_, Infallible>((Query::new(),)) });
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .then(
            move |method: Method, path: FullPath, query: Query, headers: HeaderMap| {
                let web = web.clone();
                async move { answer::secure(answer(&web, &method, path.as_str(), &query, &headers).await) }
            },
        )
}

async fn answer(web: &Web, method: &Method, path: &str, query: &Query, headers: &HeaderMap) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = failed(web, StatusCode::METHOD_NOT_ALLOWED, path).await;
        answer
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match page(web, path, query, headers).await {
        Ok(Some(answer)) => answer,
        Ok(None) => failed(web, StatusCode::NOT_FOUND, path).await,
        Err(error) => {
            tracing::error!(path, error = format!("{error:#}"), "failed to make a page");
            failed(web, StatusCode::INTERNAL_SERVER_ERROR, path).await
        }
    }
}

async fn page(web: &Web, path: &str, query: &Query, headers: &HeaderMap) -> anyhow::Result<Option<Answer>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => pages::matrix(web, None, query).await,
        ["branch", name] => pages::matrix(web, Some(name), query).await,
        ["revision", sha] => pages::revision(web, sha).await,
        ["run", id] => pages::run(web, id, query).await,
        ["run" | "image", id, "log"] => pages::newest_log(web, id, query).await,
        ["attempt", id, "log"] => pages::log(web, id).await,
        ["image", id] => pages::image(web, id, query).await,
        ["project", name] => projects::project(web, name, query).await,
        ["hosts"] => hosts::all(web).await,
        ["host", name] => hosts::host(web, name).await,
        ["incidents"] => incidents::all(web).await,
        ["incident", number] => incidents::one(web, number).await,
        ["incident", number, "reproduce.sh"] => incidents::script(web, number).await,
        ["recipes"] => projects::recipes(web).await,
        ["api", "results"] => pages::results(web, query).await.map(Some),
        ["api", "incidents"] => incidents::all_json(web).await,
        ["api", "incidents", number] => incidents::one_json(web, number).await,
        ["compare"] => compare::choose(web).await,
        ["compare", base, now] => compare::page(web, base, now).await,
        ["api", "compare", base, now] => compare::json(web, base, now).await,
        ["attempt", id, "events"] => live::events(web, id, query, headers).await,
        ["api", "logs", id] => live::pieces(web, id, query).await,
        ["live.js"] => Ok(Some(answer::script(headers))),
        ["style.css"] => Ok(Some(answer::style(headers))),
        ["healthz"] => pages::healthz(web).await.map(Some),
        _ => Ok(None),
    }
}

/// The page that says what went wrong. It must come also where the store is what went wrong.
async fn failed(web: &Web, status: StatusCode, path: &str) -> Answer {
    if path.starts_with("/api/") {
        let reason = status.canonical_reason().unwrap_or("failed").to_lowercase();
        return answer::json(&serde_json::json!({ "error": reason }), status);
    }
    let page = match pages::error(web, status, path).await {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(path, error = format!("{error:#}"), "failed to make the error page");
            answer::text("Pybots could not make this page; its log says why.\n")
        }
    };
    warp::reply::with_status(page, status).into_response()
}
