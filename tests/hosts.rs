//! Two registered hosts and a coordinator, each a process of its own, on a real engine.

mod common;

use common::up::{HostProcess, Up, engine_wanted, pybots, settings, toy_repository};
use common::{copy_folder, here};
use pybots::store::Store;
use std::path::Path;

#[test]
fn two_hosts_share_the_work() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let projects = folder.path().join("projects");
    copy_folder(&here().join("tests/projects/passes"), &projects);
    settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
    let up = Up::start_as(folder.path(), "serve");
    let line = |name: &str, more: &[&str]| {
        let mut arguments = vec!["host", "add", name, "--owner", "o@example.org", "--url", &up.url];
        arguments.extend(more);
        let output = pybots(folder.path(), &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };

    // the one that may build does all
    let (one, two) = (line("one", &["--builds"]), line("two", &[]));
    let mut builder = HostProcess::start(&folder.path().join("one"), Some(&one));
    let first = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(up.decided(&first, "passes")["state"], "pass", "{}", builder.log());
    // ended and started again, without the line: the token was kept
    builder.stop();
    let mut builder = HostProcess::start(&folder.path().join("one"), None);
    up.until("the builder's return", || {
        builder.log().matches("this host is registered").nth(1).map(drop)
    });

    // the other may run what is there already
    let drained = pybots(folder.path(), &["host", "drain", "one"]);
    assert!(drained.status.success());
    let mut runner = HostProcess::start(&folder.path().join("two"), Some(&two));
    repository.write("NEWS", "nothing that a build reads");
    let second = repository.commit("news");
    assert_eq!(up.decided(&second, "passes")["state"], "pass", "{}", runner.log());
    assert_eq!(done_by(folder.path(), "two"), ["passed"]);
    assert_eq!(done_by(folder.path(), "one"), ["passed", "passed"]);

    // and both leave nothing when they end
    builder.stop();
    runner.stop();
    for host in ["one", "two"] {
        let id = std::fs::read_to_string(folder.path().join(host).join("data/host-id")).unwrap();
        assert_eq!(common::up::labelled(id.trim()), Vec::<String>::new(), "{host}");
    }
}

/// Outcomes of what a host has done.
fn done_by(folder: &Path, name: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", folder.join("data/pybots.sqlite").display());
        let store = Store::open(&url).await.unwrap();
        let host = store.host(name).await.unwrap().unwrap();
        let attempts = store.attempts_by(&host.id, 10).await.unwrap();
        attempts.into_iter().filter_map(|attempt| attempt.outcome).collect()
    })
}
