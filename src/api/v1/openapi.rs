//! The OpenAPI document, made of the handlers and their types.

use super::{accounts, decisions, projects, submissions};
use crate::api::public::{self, logs};
use crate::web::{Error, Outcome, Web, json, problem, secure};
use std::sync::LazyLock;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use warp::http::Method;
use warp::http::header::{self, HeaderValue};
use warp::path::FullPath;
use warp::reply::Response;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pybots",
        description = "Finds the CPython revision that broke a project. docs/api.md has the rules that hold for all calls."
    ),
    modifiers(&Token),
    paths(
        accounts::me, accounts::all, accounts::add, accounts::change, accounts::tokens, accounts::issue, accounts::revoke,
        accounts::audit, decisions::incident, decisions::job, decisions::hosts, decisions::add_host, decisions::host,
        projects::all, projects::one, projects::versions, projects::version, projects::diff,
        public::results, public::incidents, public::incident, public::comparison, logs::pieces, page,
        submissions::submit, submissions::open, submissions::decide, submissions::set_state, submissions::hand_over,
    )
)]
struct Document;

/// How callers show who they are.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
    }
}

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Document::openapi);

/// The document as JSON.
pub fn document() -> &'static utoipa::openapi::OpenApi {
    &DOCUMENT
}

/// Show this document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "document", responses((status = 200, body = Object)),
)]
pub async fn page(_: Web) -> Outcome {
    Ok(json(document()))
}

/// Answers a call that does not exist, or that has another method.
pub fn none(path: FullPath, method: Method) -> Response {
    let allowed = methods_of(path.as_str());
    if allowed.is_empty() || allowed.contains(&method) {
        return secure(problem(&Error::not_found()));
    }
    let mut response = problem(&Error::MethodNotAllowed);
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(header::ALLOW, names);
    }
    secure(response)
}

/// The methods that a path has. Empty if the document has no such path.
fn methods_of(path: &str) -> Vec<Method> {
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == asked.len()
            && parts
                .iter()
                .zip(&asked)
                .all(|(part, one)| part.starts_with('{') || part == one)
    };
    let items = document().paths.paths.iter().filter(|(template, _)| fits(template));
    items.flat_map(|(_, item)| methods(item)).collect()
}

fn methods(item: &PathItem) -> Vec<Method> {
    let all = [
        (&item.get, Method::GET),
        (&item.get, Method::HEAD),
        (&item.post, Method::POST),
        (&item.patch, Method::PATCH),
        (&item.delete, Method::DELETE),
    ];
    let present = all.into_iter().filter(|(operation, _)| operation.is_some());
    present.map(|(_, method)| method).collect()
}
