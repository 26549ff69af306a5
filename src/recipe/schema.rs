//! The JSON Schema of recipes, with which editors complete keys and mark mistakes. [`super::check()`] finds more than a schema can say.

use super::Recipe;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Returns the schema, of draft 7: editors of TOML read no newer one.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<Recipe>().to_value()
}

/// Defines the schema of a text that has a form of its own, under the name by which a field refers to it.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $text:expr;)+) => {$(
        $(#[$doc])*
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_ship_the_schema() {
        let shipped: serde_json::Value = serde_json::from_str(include_str!("../../docs/recipe.schema.json")).unwrap();
        assert!(
            shipped == schema(),
            "docs/recipe.schema.json is an older one; write it anew: pybots check --schema >docs/recipe.schema.json"
        );
    }

    /// What editors show while a key is typed.
    #[test]
    fn every_key_says_what_it_means() {
        let schema = schema();
        let definitions = schema["definitions"].as_object().unwrap();
        for (name, part) in definitions
            .iter()
            .map(|(name, part)| (name.as_str(), part))
            .chain([("recipe", &schema)])
        {
            for (key, value) in part["properties"].as_object().into_iter().flatten() {
                assert!(value["description"].is_string(), "{name}.{key}: {value}");
            }
        }
    }
}
