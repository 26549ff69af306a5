//! Renders the page of the API with a full context and with an empty one.

use super::contexts::{mark, some};
use super::tests::check;
use crate::web::reference::{
    FieldView, OperationGroup, OperationView, ReferencePage, ResponseView, SchemaView, TypeView,
};

#[test]
fn the_page_of_the_api_has_what_its_template_names() {
    let kind = || TypeView {
        name: mark(),
        schema: some(),
    };
    let field = || FieldView {
        name: mark(),
        kind: kind(),
        is_required: true,
        ..FieldView::default()
    };
    let operation = OperationView {
        summary: mark(),
        description: some(),
        parameters: vec![field(), FieldView::default()],
        body: Some(kind()),
        responses: vec![
            ResponseView {
                kind: Some(kind()),
                ..ResponseView::default()
            },
            ResponseView::default(),
        ],
        curl: mark(),
        ..OperationView::default()
    };
    check(ReferencePage {
        groups: vec![OperationGroup {
            name: mark(),
            operations: vec![operation, OperationView::default()],
        }],
        schemas: vec![SchemaView {
            fields: vec![field(), FieldView::default()],
            kind: Some(kind()),
            ..SchemaView::default()
        }],
    });
}
