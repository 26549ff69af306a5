//! Submits recipes, decides about versions, and manages their projects.

use super::caller::Person;
use super::responses::{Part, created};
use super::tags::version_of_tag;
use super::types::{
    HandOverAnswerBody, HandOverBody, Page, ProblemDetails, ProjectMoveBody, RegistrationView, SubmitBody,
    VersionDecision, VersionView,
};
use crate::clock::now;
use crate::domain::recipe_version::{HandOverAnswer, ProjectMove, VersionState};
use crate::submissions::{self, Submission, VersionMove};
use crate::web::{Error, HandlerResult, Query, Web, json};
use utoipa::ToSchema;

/// Submit a recipe.
///
/// The coordinator checks it, stores it as the next version of its project, and tries it on the newest image.
#[utoipa::path(
    post, path = "/api/v1/recipes", tag = "recipes", request_body = SubmitBody,
    params(("if-match" = Option<String>, Header, description = "The entity tag of the project as you have seen it")),
    responses(
        (status = 201, body = VersionView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 409, body = ProblemDetails),
        (status = 412, body = ProblemDetails, description = "There is another version by now"),
        (status = 422, body = ProblemDetails, description = "The recipe has problems"),
    ),
    security(("token" = ["recipes"])),
)]
pub async fn submit(person: Person, seen: Option<String>, body: SubmitBody) -> HandlerResult {
    let (base, digest) = match (body.base, &seen) {
        (Some(base), _) => (Some(base), None),
        (None, Some(tag)) => {
            let (number, digest) = version_of_tag(tag)?;
            (Some(number), Some(digest))
        }
        (None, None) => (None, None),
    };
    let submission = Submission {
        text: &body.text,
        base,
        digest,
    };
    let version = submissions::submit(&person.desk.store, &person.actor, submission, now()).await?;
    person.desk.nudge();
    created(&VersionView::from(version))
}

/// The states of a version that nobody has decided about.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code)] // only the document has it; the handler reads a `VersionState`
enum OpenState {
    Trial,
    Waiting,
}

/// List the versions that nobody has decided about.
#[utoipa::path(
    get, path = "/api/v1/recipes", tag = "recipes",
    params(
        ("state" = inline(Option<OpenState>), Query, description = "`waiting` if absent"),
        ("after" = Option<i64>, Query, description = "`next` of the part before"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100),
    ),
    responses((status = 200, body = Page<VersionView>), (status = 400, body = ProblemDetails)),
)]
pub async fn open(web: Web, query: Query) -> HandlerResult {
    let part = Part::of(&query)?;
    let state = match query.get("state").map(|name| name.parse::<VersionState>()) {
        None => VersionState::Waiting,
        Some(Ok(state)) if state.is_open() => state,
        Some(_) => return Err(Error::BadRequest("`state` is `trial` or `waiting`".into())),
    };
    let skip = part.number()?.unwrap_or(0).max(0);
    let found = web.store.versions_in(state, skip, part.limit + 1).await?;
    let views = found.into_iter().map(VersionView::from).collect();
    let path = format!("/api/v1/recipes?state={state}");
    part.list(&path, views, |_| skip.saturating_add(part.limit).to_string())
}

/// Approve or refuse a version.
#[utoipa::path(
    post, path = "/api/v1/projects/{project}/versions/{number}/decision", tag = "recipes", request_body = VersionDecision,
    params(("project" = String, Path), ("number" = i64, Path)),
    responses(
        (status = 200, body = VersionView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
        (status = 412, body = ProblemDetails),
    ),
    security(("token" = ["approvals"])),
)]
pub async fn decide(project: String, number: i64, person: Person, body: VersionDecision) -> HandlerResult {
    let (decision, reason) = match body {
        VersionDecision::Approve { reason, without_trial } => (VersionMove::Approve { without_trial }, reason),
        VersionDecision::Refuse { reason } => (VersionMove::Refuse, reason),
    };
    let of = (project.as_str(), number);
    let version = submissions::decide(&person.desk.store, &person.actor, of, (&decision, &reason), now()).await?;
    person.desk.nudge();
    Ok(json(&VersionView::from(version)))
}

/// Pause, resume or retire a project.
#[utoipa::path(
    post, path = "/api/v1/projects/{project}/state", tag = "recipes", request_body = ProjectMoveBody,
    params(("project" = String, Path)),
    responses(
        (status = 200, body = RegistrationView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
        (status = 412, body = ProblemDetails),
    ),
    security(("token" = ["recipes"])),
)]
pub async fn set_state(project: String, person: Person, body: ProjectMoveBody) -> HandlerResult {
    let action: ProjectMove = body
        .action
        .parse()
        .map_err(|error: String| Error::Unprocessable(error.into()))?;
    let store = &person.desk.store;
    let moved = submissions::move_project(store, &person.actor, &project, (action, &body.reason), now()).await?;
    person.desk.nudge();
    Ok(json(&super::projects::view(store, moved).await?))
}

/// Hand a project over to another account.
///
/// If its owner does this, the other account has to accept. If a maintainer does, it takes effect at once.
#[utoipa::path(
    post, path = "/api/v1/projects/{project}/owner", tag = "recipes", request_body = HandOverBody,
    params(("project" = String, Path)),
    responses(
        (status = 200, body = RegistrationView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
        (status = 412, body = ProblemDetails),
    ),
    security(("token" = ["recipes"])),
)]
pub async fn hand_over(project: String, person: Person, body: HandOverBody) -> HandlerResult {
    let store = &person.desk.store;
    let moved = submissions::hand_over(store, &person.actor, &project, &body.to, now()).await?;
    Ok(json(&super::projects::view(store, moved).await?))
}

/// Accept a project that its owner hands over, or withdraw the hand-over.
///
/// The receiving account can accept or withdraw; the owner can withdraw.
#[utoipa::path(
    post, path = "/api/v1/projects/{project}/hand-over", tag = "recipes", request_body = HandOverAnswerBody,
    params(("project" = String, Path)),
    responses(
        (status = 200, body = RegistrationView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
        (status = 412, body = ProblemDetails),
    ),
    security(("token" = ["recipes"])),
)]
pub async fn answer_hand_over(project: String, person: Person, body: HandOverAnswerBody) -> HandlerResult {
    let answer: HandOverAnswer = body
        .action
        .parse()
        .map_err(|error: String| Error::Unprocessable(error.into()))?;
    let store = &person.desk.store;
    let moved = submissions::answer_hand_over(store, &person.actor, &project, answer, now()).await?;
    Ok(json(&super::projects::view(store, moved).await?))
}
