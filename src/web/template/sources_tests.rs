//! What the templates are: files of one folder, in which a misspelt name is an error.

use super::*;
use std::collections::BTreeMap;

#[test]
fn a_misspelt_name_is_an_error() {
    let templates = TEMPLATES.as_ref().unwrap();
    for template in [
        "{{nosuch}}",
        "{{#if nosuch}}a{{/if}}",
        "{{#unless nosuch}}a{{/unless}}",
        "{{#if named}}a{{else if nosuch}}b{{/if}}",
        "{{#each nosuch}}a{{/each}}",
        "{{#unless (eq nosuch 1)}}a{{/unless}}",
        "{{> badge nosuch}}",
    ] {
        let values = serde_json::json!({ "named": null });
        assert!(templates.render_template(template, &values).is_err(), "{template}");
    }
}

#[test]
fn every_template_is_embedded() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/templates");
    let files: BTreeMap<String, String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    let embedded = SOURCES
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    assert_eq!(files, embedded.collect());
}
