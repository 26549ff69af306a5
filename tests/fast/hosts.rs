//! Enrolment and the host protocol, on a real coordinator process; no engine.

use crate::support::sim::Sim;
use crate::support::sim::by_hand::{
    a_new_host_blames_no_recipe, a_new_host_chooses_no_code_of_others, a_new_host_that_differs_is_looked_at,
    first_results_are_repeated, two_hosts_confirm_a_lock,
};
use crate::support::story_database;
use crate::support::up::{HostProcess, Up, pybots, settings, toy_repository};
use crate::support::work::{self, Leased};
use pybots::config::Settings;
use pybots::domain::job::Facts;
use pybots::host::client::Client;
use pybots::host::spool::Spool;
use pybots::host::{Ending, Host, Instances};
use pybots::logfile::{Chunk, Stream, frame};
use pybots::protocol::{CLOCK_HEADER, INSTANCE_HEADER, PROTOCOL, PROTOCOL_HEADER};
use pybots::runtime::fake::FakeRuntime;
use pybots::runtime::{Runtime, Volume};
use pybots::store::Store;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A coordinator of its own on SQLite. Its repository goes away with the folder.
fn coordinator() -> (tempfile::TempDir, Up) {
    coordinator_on("")
}

/// A coordinator of its own on a database, or on SQLite if it has no URL.
fn coordinator_on(database: &str) -> (tempfile::TempDir, Up) {
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    let database = format!("database = {database:?}\n");
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], &database);
    let up = Up::start_as(folder.path(), "serve");
    (folder, up)
}

/// Registers a host; the line to hand over, and the token in it.
fn add(folder: &Path, url: &str, name: &str, more: &[&str]) -> (String, String) {
    let mut arguments = vec!["host", "add", name, "--owner", "owner@example.org", "--url", url];
    arguments.extend(more);
    let line = good(pybots(folder, &arguments));
    let token = line.split_whitespace().last().unwrap().to_owned();
    (line, token)
}

/// The protocol that this program speaks, as its header has it.
const OURS: &str = "3";

/// A call of a host: status, and what was answered.
async fn call(url: &str, token: Option<&str>, protocol: Option<&str>, path: &str, body: Value) -> (u16, String) {
    let mut request = reqwest::Client::new()
        .post(format!("{url}/api/host/{path}"))
        .json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(protocol) = protocol {
        request = request.header("pybots-protocol", protocol);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn capabilities() -> Value {
    json!({ "version": "0.1.0", "platform": "linux/amd64", "slots": 1 })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_registered_host_of_the_right_protocol_is_let_in() {
    let (folder, up) = coordinator();
    let (line, token) = add(folder.path(), &up.url, "one", &["--builds"]);
    assert_eq!(line, format!("pybots host --server {} --token {token}", up.url));

    let (status, answer) = call(&up.url, Some(&token), Some(OURS), "hello", capabilities()).await;
    assert_eq!(status, 200, "{answer}");
    let welcome: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&welcome["name"], &welcome["builds"]), (&json!("one"), &json!(true)));

    for (token, protocol, status, says) in [
        (None, Some(OURS), 401, "token is unknown"),
        (Some("pybots_0000"), Some(OURS), 401, "pybots host rotate NAME"),
        (Some(token.as_str()), None, 426, "this host speaks protocol none"),
        (
            Some(token.as_str()),
            Some("0"),
            426,
            "this host speaks protocol 0, and the coordinator speaks 3",
        ),
        (Some(token.as_str()), Some("x"), 426, "install the coordinator's Pybots"),
        (Some(token.as_str()), Some("99"), 426, "update the coordinator"),
    ] {
        let (got, answer) = call(&up.url, token, protocol, "hello", capabilities()).await;
        assert_eq!(got, status, "{token:?} {protocol:?}: {answer}");
        assert!(answer.contains(says), "{answer}");
    }

    // of the secret the store has nothing but a digest
    let secret = token.strip_prefix("pybots_").unwrap();
    assert_eq!(secret.len(), 64);
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} has the token", path.display());
        }
    }

    let hosts: Value = serde_json::from_str(&good(pybots(folder.path(), &["host", "list", "--json"]))).unwrap();
    assert_eq!(hosts[0]["capabilities"], capabilities());
    assert!(hosts[0]["seen_at"].is_i64(), "{hosts}");
    assert_eq!(hosts[0]["clock_offset_ms"], Value::Null);
    let table = good(pybots(folder.path(), &["host", "list"]));
    assert!(table.contains("owner@example.org  active  yes"), "{table}");

    // a call that carries the host's time
    let clock = pybots::clock::now() + 3 * 3_600_000 + 30_000;
    let request = reqwest::Client::new()
        .post(format!("{}/api/host/capabilities", up.url))
        .json(&capabilities())
        .bearer_auth(&token)
        .header(PROTOCOL_HEADER, OURS)
        .header(CLOCK_HEADER, clock.as_millis());
    assert!(request.send().await.unwrap().status().is_success());
    let table = good(pybots(folder.path(), &["host", "list"]));
    assert!(
        table.contains("the clock of one is 3 h 0 min ahead of the coordinator's"),
        "{table}"
    );
}

/// Every path that a host of protocol 1 called, with bodies of its own: none is looked at before the version.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_the_version_before_is_told_what_to_install_on_every_path() {
    let (folder, up) = coordinator();
    let (_, token) = add(folder.path(), &up.url, "old", &["--builds"]);
    assert_eq!(OURS, PROTOCOL.to_string());
    for path in [
        "hello",
        "offer",
        "claim",
        "attempts/0/renew",
        "attempts/0/finish",
        "attempts/0/log?fence=0",
        "trees/0123456789",
        "trees/0123456789/changes/1234567890",
        "images",
        "images/k/pushed",
        "folders/0123",
        "a/call/of/long/ago",
    ] {
        for body in [json!({}), json!(["no", "such", "body"])] {
            let (status, answer) = call(&up.url, Some(&token), Some("1"), path, body).await;
            assert_eq!(status, 426, "{path}: {answer}");
            let says = "this host speaks protocol 1, and the coordinator speaks 3; install the coordinator's Pybots";
            assert!(answer.starts_with(says), "{path}: {answer}");
        }
    }
    for path in ["hello", "folders/0123"] {
        let request = reqwest::Client::new().get(format!("{}/api/host/{path}", up.url));
        let request = request.bearer_auth(&token).header(PROTOCOL_HEADER, "1");
        assert_eq!(request.send().await.unwrap().status(), 426, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_only_touch_what_it_has_leased() {
    let (folder, up) = coordinator();
    let (_, one) = add(folder.path(), &up.url, "one", &["--builds"]);
    let (_, two) = add(folder.path(), &up.url, "two", &["--builds"]);
    let (status, claim) = call(&up.url, Some(&one), Some(OURS), "claim", capabilities()).await;
    assert_eq!(status, 200, "{claim}");
    let claim: Value = serde_json::from_str(&claim).unwrap();
    let attempt = claim["attempt"].as_str().unwrap();
    let fence = json!({ "fence": claim["fence"] });

    let renew = format!("attempts/{attempt}/renew");
    let finish = format!("attempts/{attempt}/finish");
    let report = json!({ "outcome": { "kind": "passed" }, "phases": [] });
    let log = format!(
        "attempts/{attempt}/log?offset=0&fence={}",
        claim["fence"].as_str().unwrap()
    );
    // even with the fence, somebody else's token is of no use
    for (path, body) in [
        (&renew, fence.clone()),
        (&log, json!("x")),
        (&finish, json!({ "fence": claim["fence"], "report": report })),
    ] {
        let (status, answer) = call(&up.url, Some(&two), Some(OURS), path, body).await;
        assert!(matches!(status, 400 | 404), "{path}: {status} {answer}");
    }
    let (status, answer) = call(&up.url, Some(&two), Some(OURS), &renew, fence.clone()).await;
    assert_eq!((status, answer.as_str()), (404, "this host has leased no such attempt"));
    assert_eq!(
        call(&up.url, Some(&one), Some(OURS), &renew, fence.clone()).await.0,
        200
    );
    let stale = json!({ "fence": "0" });
    assert_eq!(call(&up.url, Some(&one), Some(OURS), &renew, stale).await.0, 409);

    // another token: the one before holds no longer, the lease does
    let line = good(pybots(folder.path(), &["host", "rotate", "one"]));
    let new = line.split_whitespace().last().unwrap();
    assert_eq!(
        call(&up.url, Some(&one), Some(OURS), &renew, fence.clone()).await.0,
        401
    );
    assert_eq!(call(&up.url, Some(new), Some(OURS), &renew, fence.clone()).await.0, 200);
    good(pybots(folder.path(), &["host", "revoke", "one"]));
    assert_eq!(call(&up.url, Some(new), Some(OURS), &renew, fence).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_build_or_is_drained_gets_no_build() {
    let (folder, up) = coordinator();
    let (_, two) = add(folder.path(), &up.url, "two", &[]);
    // the toy's image waits to be built; a claim that is answered at once is one that got it
    let within = std::time::Duration::from_secs(3);
    let claim = || async {
        let call = call(&up.url, Some(&two), Some(OURS), "claim", capabilities());
        tokio::time::timeout(within, call).await.ok().map(|(status, _)| status)
    };
    assert_eq!(claim().await, None, "an untrusted host got a build");
    good(pybots(folder.path(), &["host", "trust", "two"]));
    good(pybots(folder.path(), &["host", "drain", "two"]));
    assert_eq!(claim().await, None, "a drained host got a job");
    good(pybots(folder.path(), &["host", "resume", "two"]));
    assert_eq!(claim().await, Some(200));
}

#[test]
fn mistakes_with_hosts_are_explained() {
    let (folder, up) = coordinator();
    add(folder.path(), &up.url, "one", &[]);
    for (arguments, says) in [
        (
            &["host", "add", "one", "--owner", "a@b.org"][..],
            "pybots host rotate one",
        ),
        (&["host", "add", "a b", "--owner", "a@b.org"], "a host can't be called"),
        (&["host", "add", "three", "--owner", "me"], "not a mail address"),
        (&["host", "drain", "nobody"], "there is no host \"nobody\""),
    ] {
        let output = pybots(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    good(pybots(folder.path(), &["host", "remove", "one"]));
    let output = pybots(folder.path(), &["host", "resume", "one"]);
    assert!(text(&output.stderr).contains("was removed"), "{}", text(&output.stderr));

    // a daemon that nobody knows ends, and says why
    let bare = folder.path().join("bare");
    let mut unknown = HostProcess::start(&bare, None);
    assert!(!unknown.ended().success());
    assert!(unknown.log().contains("was not enrolled yet"), "{}", unknown.log());
}

/// A call of one start of a host's daemon.
async fn call_as(url: &str, token: &str, instance: &str, path: &str, body: Value) -> (u16, String) {
    let request = reqwest::Client::new().post(format!("{url}/api/host/{path}"));
    let request = request.bearer_auth(token).header(PROTOCOL_HEADER, PROTOCOL);
    let answer = request
        .header(INSTANCE_HEADER, instance)
        .json(&body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_with_one_token_the_older_is_told_and_stops() {
    let (folder, up) = coordinator_on(&story_database().await);
    let (_, token) = add(folder.path(), &up.url, "one", &["--builds"]);
    let engine = FakeRuntime::default();
    let daemon = async |data: &Path| {
        std::fs::create_dir_all(data).unwrap();
        let instances = Instances::begin(data).unwrap();
        let client = Client::new(&up.url, &token).unwrap().as_instance(instances.own());
        let settings = Settings::default();
        let supply = std::sync::Arc::new(client.clone());
        let mut host = Host::new(String::new(), std::sync::Arc::new(engine.clone()), supply, &settings);
        host.instances = std::sync::Arc::new(instances);
        let welcome = client.hello(&host.capabilities).await.unwrap();
        host.id = welcome.id;
        let (ending, receiver) = tokio::sync::watch::channel(Ending::No);
        let label = host.instances.own().to_owned();
        let mut labels = pybots::runtime::labels(&host.id, &label, "attempt");
        // no attempt's, so that the daemon does not sweep it away while it works
        labels.remove(pybots::runtime::ATTEMPT_LABEL);
        let left = Volume {
            name: format!("left-{label}"),
            size: None,
            labels,
        };
        engine.create_volume(&left).await.unwrap();
        let spool = Spool::open(data).unwrap();
        let running = tokio::spawn(pybots::host::daemon(host, client, spool, receiver));
        (running, ending, label)
    };
    let (older, _keep, older_label) = daemon(&folder.path().join("older")).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!older.is_finished());
    let (newer, ending, newer_label) = daemon(&folder.path().join("newer")).await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(20), older).await;
    assert!(!stopped.unwrap().unwrap(), "it says that it was replaced");
    // it removed its own leftovers, and none of the newer one's
    let names: Vec<String> = engine.volumes().into_keys().collect();
    assert_eq!(names, [format!("left-{newer_label}")]);
    // calls of the older one are refused with the reason; those about attempts carry a fence instead
    for path in ["claim", "capabilities", "attempts/0/renew"] {
        let body = match path {
            "attempts/0/renew" => json!({ "fence": "0" }),
            _ => capabilities(),
        };
        let (status, answer) = call_as(&up.url, &token, &older_label, path, body).await;
        assert_eq!(status, 410, "{path}: {answer}");
        assert!(
            answer.contains("took the place of this one; run one daemon for each token"),
            "{answer}"
        );
    }
    let (status, _) = call_as(&up.url, &token, &older_label, "attempts/0/finish", json!({})).await;
    assert_ne!(status, 410);
    assert!(!newer.is_finished());
    ending.send(Ending::Soon).unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(40), newer).await;
    assert!(ended.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_believed_only_what_its_job_allows() {
    let database = story_database().await;
    let (folder, up) = coordinator_on(&database);
    // attempts at projects that are not registered would be cancelled
    for name in ["project-0", "project-1"] {
        let recipe =
            format!("name = \"{name}\"\nsource = {{ pypi = \"x\" }}\n[[suite]]\nname = \"s\"\nrun = \"true\"\n");
        std::fs::write(folder.path().join(name).with_extension("toml"), recipe).unwrap();
    }
    let (leased, token) = work::lease_on(&database, &folder.path().join("data"), 2).await;
    let finish = async |leased: &Leased, report: Value| {
        let body = json!({ "fence": leased.fence, "report": report });
        let path = format!("attempts/{}/finish", leased.attempt);
        call(&up.url, Some(&token), Some(OURS), &path, body).await
    };
    // a log far beyond any limit
    let chunk = Chunk::of(1 << 40, Stream::Stdout, 7, vec![b'x'; 1000].into());
    let path = format!("attempts/{}/log?fence={}", leased[0].attempt, leased[0].fence);
    let request = reqwest::Client::new().post(format!("{}/api/host/{path}", up.url));
    let request = request.bearer_auth(&token).header(PROTOCOL_HEADER, PROTOCOL);
    let answer = request.body(frame::encode(&chunk).unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("longer than the limits of its job allow")
    );
    // outcomes that nobody asked for
    let report = |outcome: Value| {
        let mut report = json!({ "phases": [], "image": null, "lock": null, "interpreter": null });
        report["outcome"] = outcome;
        report
    };
    for outcome in [
        json!({ "outcome": "skipped", "reason": "x" }),
        json!({ "outcome": "cancelled" }),
    ] {
        let (status, answer) = finish(&leased[0], report(outcome)).await;
        assert_eq!(status, 400, "{answer}");
    }
    // far too much of everything, from a host that may not build
    let phase = json!({ "name": "\u{1b}[2Jx", "started_at": 1, "seconds": -1e308, "exit_code": 0, "log_from": 0 });
    let mut wild = report(json!({ "outcome": "failed", "exit_code": -9_000_000_000_i64 }));
    wild["phases"] = vec![phase; 20_003].into();
    wild["lock"] = json!("{\"packages\": [{\"name\": \"a\\n--index-url=x\", \"role\": \"run\"}]}");
    wild["tests"] = json!({ "passed": ["x: first"], "failed": [], "skipped": [] });
    wild["image"] = json!({ "reference": "r", "digest": "sha256:0", "size": 1, "facts": Facts::default() });
    let (status, answer) = finish(&leased[0], wild.clone()).await;
    assert_eq!((status, answer.as_str()), (200, "\"counted\""));
    // the same report again changes nothing, and neither do other tests of the same summary
    wild["tests"]["passed"] = json!(["x: other"]);
    let (status, answer) = finish(&leased[0], wild).await;
    assert_eq!((status, answer.as_str()), (200, "\"counted\""));
    let url = work::database_url(&database, &folder.path().join("data"));
    let store = Store::open(&url).await.unwrap();
    let stored = store
        .attempt(&leased[0].attempt.as_str().into())
        .await
        .unwrap()
        .unwrap();
    let objects = pybots::store::logs::Objects::open(&folder.path().join("data")).unwrap();
    let tests = objects
        .tests(&leased[0].attempt.as_str().into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tests.passed, ["x: first"]);
    let report = stored.report().unwrap();
    assert!(report.phases.len() < 100, "{}", report.phases.len());
    assert_eq!(
        (report.phases[0].name.as_str(), report.phases[0].seconds),
        (" [2Jx", 0.0)
    );
    assert_eq!(
        (&report.lock, &report.image, stored.exit_code),
        (&None, &None, Some(-255))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn first_results_of_a_new_host_are_repeated_on_another_one() {
    let sim = async |needed| {
        Sim::with(&["p"], 0, |settings| {
            settings.verdicts.first_results = needed;
            settings.verdicts.repeat = 0;
            // a host that may not build can work on what the registry has
            settings.registry.repository = "127.0.0.1:9/pybots".into();
        })
        .await
    };
    first_results_are_repeated(sim(3).await).await;
    a_new_host_that_differs_is_looked_at(sim(1).await).await;
    a_new_host_blames_no_recipe(sim(3).await).await;
}

/// What a lock names is installed on all hosts.
#[tokio::test(flavor = "multi_thread")]
async fn locks_come_from_trusted_hosts_or_from_two() {
    let sim = async |needed| {
        Sim::with(&["p"], 0, |settings| {
            settings.verdicts.first_results = needed;
            settings.verdicts.repeat = 1;
            settings.registry.repository = "127.0.0.1:9/pybots".into();
        })
        .await
    };
    a_new_host_chooses_no_code_of_others(sim(1).await).await;
    two_hosts_confirm_a_lock(sim(0).await).await;
}
