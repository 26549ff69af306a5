//! The forms of texts in a recipe, for its JSON Schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Defines the schema of a text that has a form of its own, under the name by which a field refers to it.
macro_rules! texts {
    ($($name:ident $text:expr;)+) => {$(
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = $text;
                schema.insert("type".to_owned(), "string".into());
                schema
            }
        }
    )+};
}

texts! {
    Versions json_schema!({
        "description": "Versions of Python, such as `>=3.9` or `>=3.9,<3.15` (PEP 440)",
        "pattern": r"^\s*(?:===|[=!~<>]=|[<>])",
    });
    Bytes json_schema!({ "description": "A size, such as `512MiB` or `2GiB`", "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$" });
    Duration json_schema!({ "description": "A duration, such as `90s`, `30m` or `2h`", "pattern": "^[0-9]+[smh]$" });
    Date json_schema!({ "description": "A day, without quotes: `2027-06-30`", "format": "date" });
}
