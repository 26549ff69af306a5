//! The page `/api`, generated from the OpenAPI document.

use super::v1::document;
use crate::web::reference::{
    self, FieldView, OperationGroup, OperationView, ReferencePage, ResponseView, SchemaView, TypeView,
};
use crate::web::{HandlerResult, Web, gate, plain_failure, secure, unauthorized, with};
use serde_json::{Map, Value};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// Routes `/api`, for everybody who may read.
pub fn reference(web: &Web) -> BoxedFilter<(Response,)> {
    let refused = gate(web, &[], |_| Err(unauthorized()));
    let read = warp::get().or(warp::head()).unify();
    let shown = read.and(with(web)).then(page);
    warp::path!("api")
        .and(refused.or(shown).unify())
        .map(|outcome: HandlerResult| secure(outcome.unwrap_or_else(|error| plain_failure("/api", &error))))
        .boxed()
}

async fn page(web: Web) -> HandlerResult {
    let document = serde_json::to_value(document()).map_err(anyhow::Error::from)?;
    reference::respond(&web, of(&document)).await
}

fn of(document: &Value) -> ReferencePage {
    let mut groups: Vec<OperationGroup> = Vec::new();
    for (path, item) in entries(&document["paths"]) {
        for method in ["get", "post", "patch", "delete"] {
            let Some(found) = item.get(method) else { continue };
            let view = operation(method, path, found);
            let tag = text(&found["tags"][0]);
            match groups.iter_mut().find(|group| group.name == tag) {
                Some(group) => group.operations.push(view),
                None => groups.push(OperationGroup {
                    name: tag,
                    operations: vec![view],
                }),
            }
        }
    }
    let schemas = entries(&document["components"]["schemas"]).map(|(name, found)| schema(name, found));
    ReferencePage {
        groups,
        schemas: schemas.collect(),
    }
}

fn operation(method: &str, path: &str, found: &Value) -> OperationView {
    let body = found
        .pointer("/requestBody/content/application~1json/schema")
        .map(type_of);
    let needs_token = found.get("security").is_some();
    OperationView {
        anchor: format!(
            "{method}-{}",
            path.trim_start_matches("/api/v1/").replace(['/', '{', '}'], "-")
        ),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&found["summary"]).trim_end_matches('.').to_owned(),
        description: found["description"].is_string().then(|| text(&found["description"])),
        caller: caller(found),
        parameters: list(&found["parameters"]).map(parameter).collect(),
        curl: curl(method, path, needs_token, body.is_some()),
        body,
        responses: entries(&found["responses"])
            .map(|(status, response)| ResponseView {
                status: status.clone(),
                description: text(&response["description"]),
                kind: entries(&response["content"])
                    .next()
                    .map(|(_, content)| type_of(&content["schema"])),
            })
            .collect(),
    }
}

/// Returns who may make a call. The operation's security in the document gives the permission; `tests/fast/access.rs`
/// compares it with the permission that the handler requires.
fn caller(found: &Value) -> String {
    let Some(security) = found.get("security") else {
        return "everybody, unless the coordinator shows nothing without a login".to_owned();
    };
    match list(&security[0]["token"]).next() {
        Some(permission) => format!("accounts with the permission {}", text(permission)),
        None => "every account, about itself".to_owned(),
    }
}

/// Returns a `curl` command that makes a call. Placeholders are in capitals.
fn curl(method: &str, path: &str, needs_token: bool, has_body: bool) -> String {
    let address: String = path
        .split('/')
        .map(
            |part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => name.to_uppercase(),
                None => part.to_owned(),
            },
        )
        .collect::<Vec<_>>()
        .join("/");
    let mut words = vec!["curl".to_owned()];
    if path.ends_with("/events") {
        words.push("--no-buffer".to_owned());
    }
    if !["get", "post"].contains(&method) || (method == "post" && !has_body) {
        words.push(format!("-X {}", method.to_uppercase()));
    }
    if needs_token {
        words.push("-H \"Authorization: Bearer $PYBOTS_TOKEN\"".to_owned());
    }
    if has_body {
        words.push("--json '{..}'".to_owned());
    }
    words.push(format!("\"$PYBOTS_SERVER{address}\""));
    words.join(" ")
}

fn parameter(found: &Value) -> FieldView {
    FieldView {
        name: text(&found["name"]),
        place: text(&found["in"]),
        kind: type_of(&found["schema"]),
        is_required: found["required"] == true,
        description: text(&found["description"]),
    }
}

fn schema(name: &str, found: &Value) -> SchemaView {
    // an object that has several forms shows the fields of all
    let forms = std::iter::once(found).chain(list(&found["oneOf"]));
    let mut fields: Vec<FieldView> = Vec::new();
    for form in forms {
        for (name, field) in entries(&form["properties"]) {
            let kind = type_of(field);
            if fields
                .iter()
                .any(|seen| seen.name == *name && seen.kind.name == kind.name)
            {
                continue;
            }
            fields.push(FieldView {
                name: name.clone(),
                place: String::new(),
                kind,
                is_required: list(&form["required"]).any(|required| required == name),
                description: text(&field["description"]),
            });
        }
    }
    SchemaView {
        name: name.to_owned(),
        description: text(&found["description"]),
        kind: fields.is_empty().then(|| type_of(found)),
        fields,
    }
}

/// Returns the name of a type, such as `list of IncidentView` or `number or null`.
fn type_of(schema: &Value) -> TypeView {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return TypeView {
            name: name.to_owned(),
            schema: Some(name.to_owned()),
        };
    }
    for forms in ["oneOf", "anyOf"] {
        if let Some(forms) = schema[forms].as_array() {
            let of: Vec<TypeView> = forms.iter().map(type_of).collect();
            return TypeView {
                name: of.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" or "),
                schema: of.into_iter().find_map(|one| one.schema),
            };
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(text).collect();
        return named(words.join(" | "));
    }
    if schema["type"] == "array" {
        let items = type_of(&schema["items"]);
        return TypeView {
            name: format!("list of {}", items.name),
            schema: items.schema,
        };
    }
    let types: Vec<String> = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect(),
        Value::String(one) => vec![one.clone()],
        _ => vec!["any".to_owned()],
    };
    named(types.join(" or "))
}

fn named(name: String) -> TypeView {
    TypeView { name, schema: None }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('`', "")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_operation_and_type() {
        let document = serde_json::to_value(document()).unwrap();
        let page = of(&document);
        let shown: usize = page.groups.iter().map(|group| group.operations.len()).sum();
        let paths = document["paths"].as_object().unwrap().values();
        let operations: usize = paths.map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(shown, operations);
        let all = || page.groups.iter().flat_map(|group| &group.operations);
        for operation in all() {
            assert!(!operation.summary.is_empty(), "{}", operation.path);
            assert!(operation.responses.iter().all(|response| response.status.len() == 3));
        }
        // every link leads to a schema on the page
        let names: Vec<&str> = page.schemas.iter().map(|schema| schema.name.as_str()).collect();
        let linked = all().flat_map(|one| {
            one.body
                .iter()
                .chain(one.responses.iter().filter_map(|one| one.kind.as_ref()))
        });
        let of_fields = page
            .schemas
            .iter()
            .flat_map(|schema| schema.fields.iter().map(|field| &field.kind));
        for kind in linked.chain(of_fields) {
            assert!(
                kind.schema.as_deref().is_none_or(|name| names.contains(&name)),
                "{}",
                kind.name
            );
        }
        let decide = all()
            .find(|one| one.path.ends_with("/versions/{number}/decision"))
            .unwrap();
        assert_eq!(
            decide.curl,
            "curl -H \"Authorization: Bearer $PYBOTS_TOKEN\" --json '{..}' \"$PYBOTS_SERVER/api/v1/projects/PROJECT/versions/NUMBER/decision\""
        );
    }
}
