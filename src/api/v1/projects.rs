//! Projects whose recipes were submitted, and their versions.

use super::responses::Part;
use super::tags::project_tag;
use super::types::{DiffView, Page, ProblemDetails, RegistrationView, VersionView};
use crate::clock::now;
use crate::domain::digest::digest;
use crate::store::Store;
use crate::store::submissions::Registration;
use crate::submissions;
use crate::web::{Error, HandlerResult, Query, Web, json};
use anyhow::Result;
use warp::http::header::{self, HeaderValue};

/// Returns the API's view of a project.
pub async fn view(store: &Store, registration: Registration) -> Result<RegistrationView> {
    let [owner, next_owner] = submissions::owners(store, &registration).await?;
    Ok(RegistrationView::new(registration, owner, next_owner))
}

/// List the projects whose recipes were submitted.
#[utoipa::path(
    get, path = "/api/v1/projects", tag = "projects",
    params(
        ("after" = Option<String>, Query, description = "`next` of the part before"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100),
    ),
    responses((status = 200, body = Page<RegistrationView>), (status = 400, body = ProblemDetails)),
)]
pub async fn all(web: Web, query: Query) -> HandlerResult {
    let part = Part::of(&query)?;
    let after = part.after.clone().unwrap_or_default();
    let mut views = Vec::new();
    for registration in web.store.registrations(None, &after, part.limit + 1).await? {
        views.push(view(&web.store, registration).await?);
    }
    part.list("/api/v1/projects", views, |project| project.project.clone())
}

/// Show one project.
///
/// Send the entity tag of the response as `If-Match` with a submission.
#[utoipa::path(
    get, path = "/api/v1/projects/{project}", tag = "projects", params(("project" = String, Path)),
    responses((status = 200, body = RegistrationView), (status = 404, body = ProblemDetails)),
)]
pub async fn one(project: String, web: Web) -> HandlerResult {
    let found = submissions::registration(&web.store, &project).await?;
    let mut view = view(&web.store, found).await?;
    let newest = web.store.versions(&project, i64::MAX, 1).await?.pop();
    view.newest = Some(newest.as_ref().map_or(0, |version| version.number));
    view.agreeing = web.store.burn_in(&project).await?.map(|row| row.agreeing);
    let text = serde_json::to_string(&view).map_err(anyhow::Error::from)?;
    let mut response = json(&view);
    let tag = project_tag(newest.as_ref(), &digest(&[text.as_bytes()]));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// List the versions of a recipe, the newest first.
#[utoipa::path(
    get, path = "/api/v1/projects/{project}/versions", tag = "projects",
    params(
        ("project" = String, Path),
        ("after" = Option<i64>, Query, description = "`next` of the part before"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100),
    ),
    responses(
        (status = 200, body = Page<VersionView>), (status = 400, body = ProblemDetails), (status = 404, body = ProblemDetails),
    ),
)]
pub async fn versions(project: String, web: Web, query: Query) -> HandlerResult {
    let part = Part::of(&query)?;
    submissions::registration(&web.store, &project).await?;
    let before = part.number()?.unwrap_or(i64::MAX);
    let found = web.store.versions(&project, before, part.limit + 1).await?;
    let views = found.into_iter().map(VersionView::from).collect();
    let path = format!("/api/v1/projects/{project}/versions");
    part.list(&path, views, |version| version.number.to_string())
}

/// Show one version of a recipe, with its text.
#[utoipa::path(
    get, path = "/api/v1/projects/{project}/versions/{number}", tag = "projects",
    params(("project" = String, Path), ("number" = i64, Path)),
    responses((status = 200, body = VersionView), (status = 404, body = ProblemDetails)),
)]
pub async fn version(project: String, number: i64, web: Web) -> HandlerResult {
    let found = submissions::version(&web.store, &project, number).await?;
    let text = web.store.recipe_text(&found.digest).await?;
    let mut view = VersionView {
        text,
        ..VersionView::from(found)
    };
    if let Some(run) = view.trial_run.as_deref().filter(|_| view.trial.is_empty())
        && let Some(waiting) = web.store.waiting_of(run).await?
    {
        view.trial = format!("waits: {}", waiting.reason(now()));
    }
    Ok(json(&view))
}

/// Compare two versions of a recipe.
#[utoipa::path(
    get, path = "/api/v1/projects/{project}/versions/{number}/diff", tag = "projects",
    params(
        ("project" = String, Path), ("number" = i64, Path),
        ("from" = Option<i64>, Query, description = "The older version; the one before if absent"),
    ),
    responses(
        (status = 200, body = DiffView), (status = 400, body = ProblemDetails), (status = 404, body = ProblemDetails),
    ),
)]
pub async fn diff(project: String, number: i64, web: Web, query: Query) -> HandlerResult {
    let from = match query.get("from").map(|text| text.parse::<i64>()) {
        None => number.saturating_sub(1),
        Some(Ok(from)) => from,
        Some(Err(_)) => return Err(Error::BadRequest("`from` is the number of a version".into())),
    };
    let diff = submissions::difference(&web.store, &project, from, number).await?;
    Ok(json(&DiffView {
        project,
        from,
        to: number,
        diff,
    }))
}
