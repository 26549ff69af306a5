//! The OpenAPI document, generated from the handlers and their types.

use super::{accounts, decisions, events, projects, queue, submissions};
use crate::api::public::{self, logs};
use crate::web::{Error, HandlerResult, Web, json, problem, secure};
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder, Schema, Type};
use utoipa::{Modify, OpenApi};
use warp::http::Method;
use warp::http::header::{self, HeaderValue};
use warp::path::FullPath;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pybots",
        description = "Finds the CPython revision that broke a project. docs/api.md has the rules that hold for all calls."
    ),
    components(schemas(logs::LogPieceView<'static>, events::EventView)),
    modifiers(&Token, &Common),
    paths(
        accounts::me, accounts::all, accounts::add, accounts::one, accounts::change, accounts::unlink, accounts::tokens, accounts::issue, accounts::revoke,
        accounts::audit, decisions::incident, decisions::job, decisions::hosts, decisions::add_host, decisions::host,
        projects::all, projects::one, projects::versions, projects::version, projects::diff,
        public::checked_results, public::incidents, public::incident, public::comparison, logs::checked_pieces, page, events::follow,
        queue::queue, queue::tests,
        submissions::submit, submissions::open, submissions::decide, submissions::set_state, submissions::hand_over, submissions::answer_hand_over,
    )
)]
struct Document;

/// The way in which callers authenticate.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
    }
}

/// Adds the responses that every call can have.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                add_common(operation);
                let parameters = operation.parameters.iter_mut().flatten();
                parameters.for_each(never_null);
                operation.responses.responses.values_mut().for_each(name_type);
            }
        }
    }
}

/// The statuses of every call.
const COMMON: [(u16, &str); 5] = [
    (400, "What was sent can't be read"),
    (
        401,
        "No token, where one is needed, or one that is unknown, expired or revoked",
    ),
    (
        429,
        "Too many wrong tokens of this address, or too many changes of this account",
    ),
    (500, "The coordinator failed"),
    (503, "Too many clients, or no database; try again"),
];
const OF_BODIES: [(u16, &str); 3] = [
    (411, "The header content-length is missing"),
    (413, "The body is too long"),
    (422, "The body can be read, and is against a rule"),
];

/// Removes `null` from the type of a parameter: a parameter is present or absent, but never `null`.
fn never_null(parameter: &mut RefOr<Parameter>) {
    if let RefOr::T(parameter) = parameter
        && let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
        && let SchemaType::Array(types) = &object.schema_type
        && let [one] = *types.iter().filter(|one| **one != Type::Null).collect::<Vec<_>>()
    {
        object.schema_type = SchemaType::Type(one.clone());
    }
}

/// Sets the media type of errors.
fn name_type(response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    let is_problem = |content: &RefOr<Content>| {
        let content = serde_json::to_string(content).unwrap_or_default();
        content.contains("/ProblemDetails")
    };
    if let Some(content) = response
        .content
        .get(JSON)
        .filter(|content| is_problem(content))
        .cloned()
    {
        response.content.clear();
        response.content.insert(PROBLEM.to_owned(), content);
    }
}

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Adds the common statuses that the handler does not describe itself.
fn add_common(operation: &mut Operation) {
    let of_body = operation.request_body.iter().flat_map(|_| OF_BODIES);
    for (status, description) in COMMON.into_iter().chain(of_body) {
        let body = Content::new(Some(Ref::from_schema_name("ProblemDetails")));
        let response = ResponseBuilder::new().description(description).content(PROBLEM, body);
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_string())
            .or_insert_with(|| response.build().into());
    }
}

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Document::openapi);

/// Returns the document.
pub fn document() -> &'static utoipa::openapi::OpenApi {
    &DOCUMENT
}

/// Show this document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "document", responses((status = 200, body = Object)),
)]
pub async fn page(_: Web) -> HandlerResult {
    Ok(json(document()))
}

/// Responds to a call that does not exist, or that has another method.
pub fn none(path: FullPath, method: Method) -> warp::reply::Response {
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

/// Returns the methods of a path, or none if the document has no such path.
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
