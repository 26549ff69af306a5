//! What an enrolled host may ask of the coordinator, and how often. No engine.

use crate::support::up::{Up, pybots, settings, toy_repository};
use crate::support::work::client;
use pybots::domain::host::Capabilities;
use pybots::domain::retention::{HELD_MOST, HeldImage, ImageKind, Inventory};
use pybots::host::Supply;
use pybots::protocol::{PROTOCOL, PROTOCOL_HEADER};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A coordinator of its own with few connections. Its repository goes away with the folder.
fn coordinator() -> (tempfile::TempDir, Up) {
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    let more = "[http]\nconnections = 64\n";
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], more);
    let up = Up::start_as(folder.path(), "serve");
    (folder, up)
}

/// Registers a host, and returns its token.
fn add(folder: &Path, name: &str, more: &[&str]) -> String {
    let mut arguments = vec!["host", "add", name, "--owner", "owner@example.org", "--url", "http://x"];
    arguments.extend(more);
    let output = pybots(folder, &arguments);
    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

fn capabilities() -> Capabilities {
    Capabilities {
        version: "0.1.0".into(),
        platform: "linux/amd64".into(),
        slots: 1,
        ..Capabilities::default()
    }
}

/// A call of a host.
async fn answer(url: &str, token: &str, path: &str, body: Value) -> reqwest::Response {
    let request = reqwest::Client::new()
        .post(format!("{url}/api/host/{path}"))
        .header(PROTOCOL_HEADER, PROTOCOL)
        .bearer_auth(token)
        .json(&body);
    request.send().await.unwrap()
}

/// Its status and what was answered.
async fn call(url: &str, token: &str, path: &str, body: Value) -> (u16, String) {
    let answer = answer(url, token, path, body).await;
    let status = answer.status().as_u16();
    (
        status,
        String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_for_hosts_with_a_lease_on_the_revision() {
    let (folder, up) = coordinator();
    let (lent, idle, builder) = (
        add(folder.path(), "lent", &[]),
        add(folder.path(), "idle", &["--builds"]),
        add(folder.path(), "builder", &["--builds"]),
    );
    let (status, claim) = call(&up.url, &builder, "claim", json!(capabilities())).await;
    assert_eq!(status, 200, "{claim}");
    let claim: Value = serde_json::from_str(&claim).unwrap();
    let text = claim.to_string();
    let revision = claim["spec"]["revision"].as_str().unwrap_or_else(|| panic!("{text}"));

    let wanted = json!({ "ignore": [] });
    let other = "0".repeat(40);
    for (token, revision, says) in [
        (&lent, revision, "this host may not build images"),
        (&idle, revision, "this host has leased no job on that revision"),
        (&builder, &other, "this host has leased no job on that revision"),
    ] {
        for path in [
            format!("trees/{revision}"),
            format!("trees/{revision}/changes/{revision}"),
        ] {
            let (status, answer) = call(&up.url, token, &path, wanted.clone()).await;
            assert_eq!(status, 403, "{path}: {answer}");
            assert!(answer.starts_with(says), "{path}: {answer}");
        }
    }
    let (status, tree) = call(&up.url, &builder, &format!("trees/{revision}"), wanted.clone()).await;
    assert_eq!(status, 200);
    assert!(tree.contains("src/configure"), "{}", tree.len());
    let changes = format!("trees/{revision}/changes/{revision}");
    assert_eq!(
        call(&up.url, &builder, &changes, wanted.clone()).await,
        (200, "[]".to_owned())
    );

    // many calls take turns
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let (url, token, path) = (up.url.clone(), builder.clone(), format!("trees/{revision}"));
        let wanted = wanted.clone();
        calls.spawn(async move { call(&url, &token, &path, wanted).await });
    }
    for (status, got) in calls.join_all().await {
        assert_eq!((status, got.len()), (200, tree.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_has_few_calls_in_work_and_others_get_through() {
    const MOST: usize = 16;
    let (folder, up) = coordinator();
    // it may not build, so its claims wait
    let (many, other) = (add(folder.path(), "many", &[]), add(folder.path(), "other", &[]));
    let (refused, mut refusals) = mpsc::unbounded_channel();
    let mut claims = JoinSet::new();
    for _ in 0..40 {
        let (url, token, refused) = (up.url.clone(), many.clone(), refused.clone());
        claims.spawn(async move {
            let answer = answer(&url, &token, "claim", json!(capabilities())).await;
            let retry = answer.headers().get("retry-after").cloned();
            let status = answer.status().as_u16();
            let _ = refused.send((status, retry, answer.text().await.unwrap()));
        });
    }
    for _ in 0..40 - MOST {
        let (status, retry, text) = refusals.recv().await.unwrap();
        assert_eq!((status, retry.unwrap().as_bytes()), (429, &b"5"[..]), "{text}");
        assert!(text.starts_with("this host has more calls in work"), "{text}");
    }
    assert_eq!(up.get("/healthz").0, 200);
    let (status, answer) = call(&up.url, &other, "hello", json!(capabilities())).await;
    assert_eq!(status, 200, "{answer}");
    let (status, _) = call(&up.url, &many, "capabilities", json!(capabilities())).await;
    assert_eq!(status, 429);

    // a host of ours waits until its other calls are answered
    let (ours, pausing) = (client(&up.url, &many), capabilities());
    let call = tokio::spawn(async move { ours.capabilities(&pausing).await });
    claims.shutdown().await;
    tokio::time::timeout(Duration::from_secs(30), call)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_arrives_whole_and_takes_turns() {
    let (folder, up) = coordinator();
    let token = add(folder.path(), "lent", &[]);
    // longer than what is sent at a time
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| number as u8).collect();
    let digest = "ab".repeat(32);
    let folders = folder.path().join("data/objects/folders");
    std::fs::create_dir_all(&folders).unwrap();
    std::fs::write(folders.join(&digest), &bytes).unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (ours, digest) = (client(&up.url, &token), digest.clone());
        calls.spawn(async move { ours.folder(&digest).await.unwrap() });
    }
    for got in calls.join_all().await {
        assert!(got == bytes, "{} bytes", got.len());
    }
    assert!(client(&up.url, &token).folder("00").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_has_a_bounded_number_of_images() {
    let (folder, up) = coordinator();
    let token = add(folder.path(), "lent", &[]);
    let image = |number: usize| HeldImage {
        id: format!("sha256:{number}"),
        kind: ImageKind::Cpython,
        build_key: "key".to_owned(),
        bytes: u64::MAX,
        ..HeldImage::default()
    };
    let mut inventory = Inventory {
        free: Some(0),
        images: (0..HELD_MOST).map(image).collect(),
        ..Inventory::default()
    };
    let decisions = client(&up.url, &token).images(&inventory).await.unwrap();
    assert_eq!(decisions.images.len(), HELD_MOST);
    inventory.images.push(image(HELD_MOST));
    let (status, answer) = call(&up.url, &token, "images", json!(inventory)).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.starts_with("the inventory has 5001 images"), "{answer}");
}
