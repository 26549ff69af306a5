//! The page of the API: every operation with its parameters and responses. `api` builds its context from the OpenAPI
//! document.

use super::error::HandlerResult;
use super::frame;
use super::route::Web;
use super::template::Template;
use serde::Serialize;

#[derive(Default, Serialize)]
pub struct ReferencePage {
    pub groups: Vec<OperationGroup>,
    pub schemas: Vec<SchemaView>,
}

impl Template for ReferencePage {
    const NAME: &'static str = "reference";
}

/// The operations about one subject.
#[derive(Default, Serialize)]
pub struct OperationGroup {
    pub name: String,
    pub operations: Vec<OperationView>,
}

#[derive(Default, Serialize)]
pub struct OperationView {
    /// The fragment of the page's address, after `#`.
    pub anchor: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub description: Option<String>,
    /// The permission or login that the call needs.
    pub caller: String,
    pub parameters: Vec<FieldView>,
    /// The type of the body.
    pub body: Option<TypeView>,
    pub responses: Vec<ResponseView>,
    /// A command that makes the call.
    pub curl: String,
}

/// A parameter of an operation, or a field of an object.
#[derive(Default, Serialize)]
pub struct FieldView {
    pub name: String,
    /// The place of a parameter: path, query or header. Empty for a field.
    pub place: String,
    pub kind: TypeView,
    pub is_required: bool,
    pub description: String,
}

/// A type, with a link to the schema on this page that describes it.
#[derive(Clone, Default, Serialize)]
pub struct TypeView {
    pub name: String,
    pub schema: Option<String>,
}

#[derive(Default, Serialize)]
pub struct ResponseView {
    pub status: String,
    pub description: String,
    pub kind: Option<TypeView>,
}

#[derive(Default, Serialize)]
pub struct SchemaView {
    pub name: String,
    pub description: String,
    pub fields: Vec<FieldView>,
    /// The type, if the schema is not an object.
    pub kind: Option<TypeView>,
}

/// Responds with the page.
pub async fn respond(web: &Web, page: ReferencePage) -> HandlerResult {
    frame::respond(web, "The API", page).await
}
