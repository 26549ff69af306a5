//! The API against its own OpenAPI document: generated calls, with every check that schemathesis has.

use crate::support::here;
use crate::support::people::{Person, person, recipe};
use crate::support::sim::Sim;
use crate::support::sim::front_door::{state, until};
use boon::{Compiler, Schemas};
use pybots::api::v1::document;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Output, Stdio};

/// The program that `scripts/setup` installs.
fn schemathesis() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| here().join("target"), PathBuf::from);
    let program = target.join("schemathesis/bin/schemathesis");
    let is_there = program.exists();
    if !is_there {
        println!(
            "SKIPPED: the API against its document, for schemathesis is not installed (scripts/setup installs it)"
        );
    }
    is_there.then_some(program)
}

/// A coordinator with results, an incident, a submitted recipe and a host, which refuses nobody for calling often.
async fn coordinator() -> (Sim, Person) {
    let mut sim = Sim::with(&["other"], 2, |settings| {
        settings.http.wrong_tokens_per_minute = u32::MAX.try_into().unwrap();
        settings.http.changes_per_minute = u32::MAX.try_into().unwrap();
    })
    .await;
    sim.commits(2, "");
    sim.run().await;
    sim.all_decided().await;
    sim.commit("breaks", "fail a");
    assert_eq!(sim.settled().await.len(), 1);
    let server = sim.serve().await;
    let operator = person(&sim, &server, "op", "operator").await;
    let body = json!({ "text": recipe("alpha", "") });
    assert_eq!(operator.calls("POST", "recipes", Some(body)).await.0, 201);
    until("the trial", async || state(&operator, "alpha", 1).await == "waiting").await;
    let body = json!({ "name": "h", "owner": "o@example.org" });
    assert_eq!(operator.calls("POST", "hosts", Some(body)).await.0, 201);
    (sim, operator)
}

/// The id of a run that has ended.
async fn a_run(person: &Person) -> String {
    let (_, cells) = person.calls("GET", "results", None).await;
    cells[0]["run"].as_str().unwrap().to_owned()
}

/// Makes generated calls of all operations, alone and one after the other as their links say.
async fn generated_calls(program: &PathBuf, server: &str, token: Option<&str>, run: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(program);
    command
        .args([
            "--config-file",
            &here()
                .join("tests/schemathesis/schemathesis.toml")
                .display()
                .to_string(),
        ])
        .args(["run", &format!("{server}/api/v1/openapi.json")]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    // its memory of earlier runs would make this one depend on them
    command
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("NO_PROXY", "127.0.0.1")
        .env("PYBOTS_RUN", run);
    command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_calls_get_what_the_document_says() {
    let Some(program) = schemathesis() else { return };
    let (_sim, operator) = coordinator().await;
    let run = a_run(&operator).await;
    let mut failed = Vec::new();
    for token in [None, Some(operator.token.as_str())] {
        let output = generated_calls(&program, &operator.server, token, &run).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        println!("{printed}");
        if !output.status.success() {
            failed.push(format!("with a token: {}", token.is_some()));
        }
        assert!(
            printed.contains("Stateful"),
            "the calls that follow others were not made"
        );
    }
    assert_eq!(failed, Vec::<String>::new());
    // the calls have not taken the caller's own rights away, which would make the rest of them worthless
    assert_eq!(operator.calls("GET", "accounts", None).await.0, 200);
}

/// Each operation that reads, with names filled in.
fn readings(run: &str) -> Vec<(&'static str, String)> {
    vec![
        ("/api/v1/results", "results".into()),
        ("/api/v1/incidents", "incidents".into()),
        ("/api/v1/incidents/{number}", "incidents/1".into()),
        ("/api/v1/compare/{base}/{now}", "compare/trunk/trunk".into()),
        ("/api/v1/queue", "queue".into()),
        (
            "/api/v1/projects/{project}/tests",
            "projects/other/tests?branch=trunk".into(),
        ),
        ("/api/v1/logs/{id}", format!("logs/{run}")),
        ("/api/v1/hosts", "hosts".into()),
        ("/api/v1/recipes", "recipes".into()),
        ("/api/v1/projects", "projects".into()),
        ("/api/v1/projects/{project}", "projects/alpha".into()),
        ("/api/v1/projects/{project}/versions", "projects/alpha/versions".into()),
        (
            "/api/v1/projects/{project}/versions/{number}",
            "projects/alpha/versions/1".into(),
        ),
        (
            "/api/v1/projects/{project}/versions/{number}/diff",
            "projects/alpha/versions/1/diff".into(),
        ),
        ("/api/v1/me", "me".into()),
        ("/api/v1/tokens", "tokens".into()),
        ("/api/v1/audit", "audit".into()),
        ("/api/v1/accounts", "accounts".into()),
        ("/api/v1/accounts/{name}", "accounts/op".into()),
        ("/api/v1/openapi.json", "openapi.json".into()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_have_the_fields_that_the_document_describes_and_no_others() {
    let (_sim, operator) = coordinator().await;
    let mut described = serde_json::to_value(document()).unwrap();
    for schema in described["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = false.into();
        }
    }
    let readings = readings(&a_run(&operator).await);
    let mut of_document = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        // a stream has no end; `events.rs` reads it
        if item.get("get").is_some() && path != "/api/v1/events" {
            of_document.insert(path.as_str());
        }
    }
    assert_eq!(
        readings.iter().map(|(path, _)| *path).collect::<BTreeSet<_>>(),
        of_document
    );
    let mut compiler = Compiler::new();
    compiler.add_resource("document.json", described.clone()).unwrap();
    let mut schemas = Schemas::new();
    for (path, call) in readings {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("{}/api/v1/{call}", operator.server));
        let answer = request.bearer_auth(&operator.token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{call}");
        let text = answer.text().await.unwrap();
        let (schema, values): (String, Vec<Value>) = match path.contains("/logs/") {
            true => {
                let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                ("/components/schemas/LogPiece".to_owned(), lines.collect())
            }
            false => {
                let path = path.replace('/', "~1").replace('{', "%7B").replace('}', "%7D");
                let place = format!("/paths/{path}/get/responses/200/content/application~1json/schema");
                (place, vec![serde_json::from_str(&text).unwrap()])
            }
        };
        assert!(!values.is_empty(), "{call}");
        let schema = compiler
            .compile(&format!("document.json#{schema}"), &mut schemas)
            .unwrap();
        for value in values {
            let is_empty =
                value.as_array().is_some_and(Vec::is_empty) || value["items"].as_array().is_some_and(Vec::is_empty);
            assert!(!is_empty, "{call} shows nothing that could be compared");
            schemas
                .validate(&value, schema)
                .unwrap_or_else(|error| panic!("{call}: {error:#}"));
        }
    }
}
