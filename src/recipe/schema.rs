//! The JSON Schema of recipes, by which editors complete keys and mark mistakes. [`super::check()`] finds more than a
//! schema can express.

use super::Recipe;
use schemars::generate::SchemaSettings;

/// Returns the schema in draft 7, the newest one that TOML editors support.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<Recipe>().to_value()
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

    /// Editors show the description while the user types a key.
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
