//! The queue, and which tests failed on each revision.

use super::types::{Page, ProblemDetails, QueueView, TestedRevisionView};
use crate::api::public::in_range;
use crate::clock::now;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::RevisionId;
use crate::store::views::TestSeries;
use crate::web::{Error, HandlerResult, Query, Web, json};

/// The most results in one response, and the number without `?results=N`.
const RESULTS_MOST: i64 = 100;

#[utoipa::path(
    get, path = "/api/v1/queue", tag = "hosts", summary = "Show what runs and what waits",
    description = "Estimates take the durations of recent jobs.",
    responses((status = 200, body = QueueView)),
)]
pub(super) async fn queue(web: Web) -> HandlerResult {
    let queue = web.store.queue_forecast(now()).await?;
    Ok(json(&QueueView::from(&queue)))
}

#[utoipa::path(
    get, path = "/api/v1/projects/{project}/tests", tag = "results",
    summary = "List which tests of a project failed on each revision of a branch, newest first",
    params(
        ("project" = String, Path), ("branch" = String, Query),
        ("variant" = Option<String>, Query), ("platform" = Option<String>, Query),
        ("results" = Option<i64>, Query, minimum = 1, maximum = 100),
        ("after" = Option<String>, Query, description = "The value of `next`"),
    ),
    responses(
        (status = 200, body = Page<TestedRevisionView>), (status = 400, body = ProblemDetails), (status = 404, body = ProblemDetails),
    ),
)]
pub(super) async fn tests(project: String, web: Web, query: Query) -> HandlerResult {
    in_range(&query, "results", 1..=RESULTS_MOST)?;
    let text = |key: &str| query.get(key).map(String::as_str);
    let branch = text("branch").ok_or_else(|| Error::BadRequest("`branch` is missing".into()))?;
    if !web.store.has_project(&project).await? {
        return Err(Error::NotFound(format!("no project is called {project:?}").into()));
    }
    if !web.store.has_branch(branch).await? {
        return Err(Error::NotFound(format!("no branch is called {branch:?}").into()));
    }
    let series = TestSeries {
        project: &project,
        branch,
        variant: text("variant").unwrap_or(DEFAULT_VARIANT),
        platform: text("platform"),
    };
    let most = text("results").and_then(|number| number.parse().ok());
    let most: i64 = most.unwrap_or(RESULTS_MOST);
    let from = text("after").map(RevisionId::from);
    let mut results = web.store.test_history(series, from.as_ref(), most + 1).await?;
    // the next part begins with the result that does not fit
    let next = usize::try_from(most).ok().and_then(|most| results.get(most));
    let next = next.map(|tested| tested.result.revision_id.to_string());
    results.truncate(usize::try_from(most).unwrap_or(0));
    Ok(json(&Page {
        items: results.iter().map(TestedRevisionView::from).collect(),
        next,
    }))
}
