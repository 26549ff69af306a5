//! Decisions of maintainers, operators and host owners.

use super::caller::Person;
use super::responses::created;
use super::types::{Effect, HostBody, HostView, Page, ProblemDetails};
use crate::clock::now;
use crate::decisions::{self, HostMove, HostRequest, IncidentDecision, JobMove};
use crate::web::{Error, HandlerResult, Web, json};

/// Decide about an incident.
#[utoipa::path(
    post, path = "/api/v1/incidents/{number}/decision", tag = "incidents", request_body = IncidentDecision,
    params(("number" = i64, Path)),
    responses(
        (status = 200, body = Effect), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
    ),
    security(("token" = ["incidents"])),
)]
pub async fn incident(number: i64, person: Person, body: IncidentDecision) -> HandlerResult {
    let effect = decisions::decide(&person.desk.store, &person.actor, number, &body, now()).await?;
    Ok(json(&Effect { effect }))
}

/// Cancel or rerun the job of a run or an image.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/{action}", tag = "jobs",
    params(("id" = String, Path, description = "The id of a run or an image"), ("action" = inline(JobMove), Path)),
    responses(
        (status = 200, body = Effect), (status = 401, body = ProblemDetails), (status = 403, body = ProblemDetails),
        (status = 404, body = ProblemDetails),
    ),
    security(("token" = ["jobs"])),
)]
pub async fn job(id: String, action: String, person: Person) -> HandlerResult {
    let action: JobMove = action.parse().map_err(|error: String| Error::NotFound(error.into()))?;
    let desk = &person.desk;
    let effect = decisions::move_job((&desk.store, &desk.queue), &person.actor, &id, action, now()).await?;
    Ok(json(&Effect { effect }))
}

/// List the registered hosts.
#[utoipa::path(get, path = "/api/v1/hosts", tag = "hosts", responses((status = 200, body = Page<HostView>)))]
pub async fn hosts(web: Web) -> HandlerResult {
    let hosts = web.store.hosts().await?;
    Ok(json(&Page {
        items: hosts.into_iter().map(HostView::from).collect(),
        next: None,
    }))
}

/// Register a host.
///
/// The response contains its token, which is not shown again.
#[utoipa::path(
    post, path = "/api/v1/hosts", tag = "hosts", request_body = HostBody,
    responses(
        (status = 201, body = HostView), (status = 400, body = ProblemDetails), (status = 401, body = ProblemDetails),
        (status = 403, body = ProblemDetails), (status = 409, body = ProblemDetails),
    ),
    security(("token" = ["hosts"])),
)]
pub async fn add_host(person: Person, body: HostBody) -> HandlerResult {
    let request = HostRequest {
        name: body.name,
        owner: body.owner,
        builds: body.builds,
    };
    let (host, token) = decisions::add_host(&person.desk.store, &person.actor, &request, now()).await?;
    created(&HostView {
        token: Some(token.secret().to_owned()),
        has_token: true,
        ..HostView::from(host)
    })
}

/// Change the state or the token of a host, or whether it may build images.
#[utoipa::path(
    post, path = "/api/v1/hosts/{name}/{action}", tag = "hosts",
    params(
        ("name" = String, Path),
        ("action" = inline(HostMove), Path),
    ),
    responses(
        (status = 200, body = HostView), (status = 401, body = ProblemDetails), (status = 403, body = ProblemDetails),
        (status = 404, body = ProblemDetails), (status = 409, body = ProblemDetails),
    ),
    security(("token" = ["hosts"])),
)]
pub async fn host(name: String, action: String, person: Person) -> HandlerResult {
    let action: HostMove = action.parse().map_err(|error: String| Error::NotFound(error.into()))?;
    let (host, token) = decisions::move_host(&person.desk.store, &person.actor, &name, action, now()).await?;
    Ok(json(&HostView {
        token: token.map(|token| token.secret().to_owned()),
        ..HostView::from(host)
    }))
}
