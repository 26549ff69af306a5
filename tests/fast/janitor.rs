//! What a host tells of its engine and removes from it, on the strict fake engine.

use pybots::domain::limits::Size;
use pybots::domain::retention::{Decisions, RetentionDecision, RetentionReason};
use pybots::host::janitor::{survey, sweep};
use pybots::runtime::fake::FakeRuntime;
use pybots::runtime::{Container, Network, Runtime, Volume, labels};
use std::collections::BTreeMap;

/// A key frame, two images on it, and a stranger's image.
fn engine() -> FakeRuntime {
    let cpython = |depth: &'static str, on: &'static str, key: &'static str| {
        [
            ("org.pybots.kind", "cpython"),
            ("org.pybots.build-key", key),
            ("org.pybots.layer-depth", depth),
            ("org.pybots.layer-on", on),
            ("org.pybots.layer-bytes", "5"),
            ("org.pybots.chain-bytes", if depth == "0" { "0" } else { depth }),
            ("org.pybots.all-bytes", "5"),
        ]
    };
    FakeRuntime::default()
        .with_image("somebody/else:1")
        .with_labelled("pybots/cpython:a", &cpython("0", "", "a"))
        .with_labelled("pybots/cpython:b", &cpython("3", "pybots/cpython:a", "b"))
        .with_labelled("pybots/cpython:c", &cpython("8", "pybots/cpython:b", "c"))
        .with_disk(100)
}

fn container(image: &str, volume: &str) -> Container {
    Container {
        image: image.into(),
        command: vec![],
        user: "0:0".into(),
        workdir: "/".into(),
        env: BTreeMap::new(),
        network: Network::Loopback,
        volumes: vec![(volume.into(), "/build".into())],
        memory: Size(1),
        pids: 1,
        cpus: 1.0,
        labels: labels("h", "instance", "attempt"),
    }
}

fn build_tree(name: &str) -> Volume {
    let labels = [("org.pybots.kind", "lane"), ("org.pybots.lane-of", "h")];
    Volume {
        name: name.into(),
        size: None,
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

#[tokio::test]
async fn an_inventory_tells_what_lies_on_what_and_who_uses_it() {
    let engine = engine();
    engine.create_volume(&build_tree("build_tree")).await.unwrap();
    let id = engine
        .create(&container("pybots/cpython:b", "build_tree"))
        .await
        .unwrap();
    let inventory = survey(&engine, "h").await.unwrap();
    let told: Vec<_> = inventory
        .images
        .iter()
        .map(|image| {
            (
                image.build_key.as_str(),
                image.bytes,
                image.below.as_deref(),
                image.users,
            )
        })
        .collect();
    let below = |name: &'static str| Some(name);
    assert_eq!(
        told,
        [
            ("a", 5, None, 0),
            ("b", 3, below("sha256:pybots/cpython:a"), 1),
            ("c", 5, below("sha256:pybots/cpython:b"), 0)
        ]
    );
    let volume = &inventory.volumes[0];
    assert_eq!(
        (volume.owner.as_str(), volume.kind.name(), volume.users),
        ("h", "lane", 1)
    );
    assert_eq!((inventory.host.as_str(), inventory.free), ("h", Some(50)));
    engine.remove(&id).await.unwrap();
    assert_eq!(engine.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn only_what_may_go_is_removed_and_nothing_in_use() {
    let engine = engine();
    engine.create_volume(&build_tree("old")).await.unwrap();
    let inventory = survey(&engine, "h").await.unwrap();
    let verdict = |name: &str, reason: RetentionReason| RetentionDecision {
        name: name.into(),
        reason,
        frees: 1,
    };
    let id = |letter: &str| format!("sha256:pybots/cpython:{letter}");
    let (old, unused) = (RetentionReason::Old { days: 1 }, RetentionReason::Unused { days: 1 });
    // an answer that does not fit the question
    let mixed = Decisions {
        images: vec![verdict(&id("b"), old.clone()), verdict(&id("a"), old.clone())],
        volumes: vec![verdict("other", unused.clone())],
        push: vec![],
    };
    assert!(sweep(&engine, None, &inventory, &mixed).await.is_empty());
    let verdicts = Decisions {
        images: vec![
            verdict(&id("a"), RetentionReason::Beneath),
            verdict(&id("b"), old.clone()),
            verdict(&id("c"), old),
        ],
        volumes: vec![verdict("old", unused)],
        push: vec![],
    };
    // somebody begins to use it after the question
    engine.create_volume(&build_tree("new")).await.unwrap();
    let container = engine.create(&container("pybots/cpython:c", "new")).await.unwrap();
    let gone = sweep(&engine, None, &inventory, &verdicts).await;
    let names: Vec<&str> = gone.iter().map(|verdict| verdict.name.as_str()).collect();
    assert_eq!(names, [id("b").as_str(), "old"]);
    assert_eq!(
        engine.image_names(),
        ["pybots/cpython:a", "pybots/cpython:c", "somebody/else:1"]
    );
    assert_eq!(engine.volumes().into_keys().collect::<Vec<_>>(), ["new"]);
    engine.remove(&container).await.unwrap();
}
