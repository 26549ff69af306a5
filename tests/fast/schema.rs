//! The JSON Schema of recipes takes what `pybots check` takes, and marks mistakes of keys and forms.

use crate::support::here;
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

const GOOD: &str = r#"
name = "demo"
when = ">=3.9,<3.20"
source = { git = "https://example.org/demo.git", rev = "main" }
limits = { timeout = "10m", memory = "512MiB", cpus = 1.5 }
as_of = 2026-03-01
[[suite]]
name = "tests"
run = "python -m pytest"
modes = ["-X dev", "-W error::DeprecationWarning"]
[[known_failure]]
test = "tests: a"
reason = "is slow"
expires = 2027-06-30
[[section]]
when = "<3.12"
requires = ["pytest<8"]
"#;

/// A recipe as an editor gives it to a schema: dates are texts.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Datetime(date) => date.to_string().into(),
        other => serde_json::to_value(other).unwrap(),
    }
}

fn compiled(schemas: &mut Schemas) -> SchemaIndex {
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource("recipe.json", pybots::recipe::schema()).unwrap();
    compiler.compile("recipe.json", schemas).unwrap()
}

#[test]
fn it_takes_every_recipe_that_is_shipped() {
    let mut schemas = Schemas::new();
    let schema = compiled(&mut schemas);
    let mut count = 0;
    for entry in std::fs::read_dir(here().join("projects")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let recipe = json(toml::Value::Table(text.parse().unwrap()));
        schemas
            .validate(&recipe, schema)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        count += 1;
    }
    assert!(count > 10, "{count}");
}

#[test]
fn it_marks_what_check_refuses() {
    let mut schemas = Schemas::new();
    let schema = compiled(&mut schemas);
    let takes = |text: &str| {
        let recipe = json(toml::Value::Table(text.parse().unwrap()));
        schemas.validate(&recipe, schema).is_ok()
    };
    assert!(takes(GOOD) && pybots::recipe::check("demo.toml", GOOD).problems.is_empty());
    for (from, to) in [
        ("name = \"demo\"", "name = \"Demo!\""),
        ("name = \"demo\"", "summary = \"no name\""),
        ("run =", "rum ="),
        ("\">=3.9,<3.20\"", "\"3.9\""),
        ("\"10m\"", "\"10 minutes\""),
        ("\"512MiB\"", "\"512 MB\""),
        ("\"-X dev\"", "\"-X faulthandler\""),
        ("2027-06-30", "\"soon\""),
        ("requires = [\"pytest<8\"]", "requires = \"pytest<8\""),
        ("rev = \"main\"", "rev = 1"),
        ("name = \"demo\"", "name = \"demo\"\ntier = 4"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert!(!pybots::recipe::check("demo.toml", &text).problems.is_empty(), "{to}");
        assert!(!takes(&text), "{to}");
    }
}
