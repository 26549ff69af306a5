//! Two registered hosts and a coordinator, each a process of its own, on a real engine.

use crate::support::up::{HostProcess, Up, engine_wanted, pybots, settings, toy_repository};
use crate::support::{copy_folder, here};
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
    copy_folder(&here().join("tests/fixtures/projects/passes"), &projects.join("passes"));
    settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
    let up = Up::start_as(folder.path(), "serve");
    // the one that is there does all
    let (one, two) = (up.enrol("one", &["--builds"]), up.enrol("two", &["--builds"]));
    let mut builder = HostProcess::start(&folder.path().join("one"), Some(&one));
    let first = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(up.decided(&first, "passes")["state"], "pass", "{}", builder.log());
    // ended and started again, without the line: the token was kept
    builder.stop();
    let mut builder = HostProcess::start(&folder.path().join("one"), None);
    up.until("the builder's return", || {
        builder.log().matches("this host is registered").nth(1).map(drop)
    });

    // the other runs what is there already: without a registry, only a host that may build is believed to hold an image
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
        assert_eq!(crate::support::up::labelled(id.trim()), Vec::<String>::new(), "{host}");
    }
}

#[test]
fn an_owner_has_the_say() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let projects = folder.path().join("projects");
    copy_folder(&here().join("tests/fixtures/projects/passes"), &projects.join("passes"));
    settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
    let up = Up::start_as(folder.path(), "serve");
    let line = up.enrol("lent", &["--builds"]);

    // one minute a day, and not this one
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let elsewhen = if now.hour() < 12 { "22:00-22:01" } else { "02:00-02:01" };
    let closed = format!("[host]\nhours = [\"{elsewhen}\"]\ntime_zone = \"UTC\"\nlabels = [\"quiet\"]\n");
    let own = folder.path().join("lent");
    let mut host = HostProcess::start_with(&own, Some(&line), &closed);
    let capabilities = || -> serde_json::Value {
        let output = pybots(folder.path(), &["host", "list", "--json"]);
        let hosts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        hosts[0]["capabilities"].clone()
    };
    up.until("the pause", || capabilities()["pause"].is_string().then_some(()));
    assert_eq!(capabilities()["pause"], "outside of its hours");
    assert_eq!(capabilities()["hours"], format!("{elsewhen} (UTC)"));
    assert_eq!(capabilities()["labels"], serde_json::json!(["quiet"]));
    let (_, page) = up.get("/host/lent");
    assert!(
        page.contains("takes no jobs at the moment: outside of its hours"),
        "{page}"
    );
    assert!(page.contains(&format!("Works {elsewhen} (UTC)")), "{page}");
    let said = format!("takes no jobs outside of its hours; it works {elsewhen} (UTC)");
    assert_eq!(host.log().matches(&said).count(), 1, "{}", host.log());
    assert!(up.cells().iter().all(|cell| cell["state"] == "pending"));

    // the file is read while it runs: nonsense changes nothing, sense does
    HostProcess::set(&own, "[host]\nhours = \"never\"\n");
    up.until("the complaint", || {
        host.log().contains("the settings file can't be used").then_some(())
    });
    assert_eq!(capabilities()["pause"], "outside of its hours");
    HostProcess::set(&own, "[host]\ncpus = 0.5\n");
    let first = repository.git(&["rev-parse", "HEAD"]);
    let cell = up.decided(&first, "passes");
    assert_eq!(cell["state"], "pass", "{}", host.log());
    assert!(host.log().contains("this host takes jobs again"), "{}", host.log());
    assert!(capabilities()["pause"].is_null());
    let log = String::from_utf8(pybots(folder.path(), &["logs", cell["run"].as_str().unwrap()]).stdout).unwrap();
    assert!(log.contains("gives a run 0.5 processors instead of 2"), "{log}");

    // what it may not do is nobody's, and waits
    HostProcess::set(&own, "[host]\nprojects = [\"another\"]\n");
    up.until("the say", || capabilities()["projects"].is_array().then_some(()));
    repository.write("NEWS", "nothing that a build reads");
    let second = repository.commit("news");
    up.until("the row", || {
        let cells = up.cells();
        cells
            .iter()
            .any(|cell| cell["revision"] == second.as_str())
            .then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(4));
    let cell = up
        .cells()
        .into_iter()
        .find(|cell| cell["revision"] == second.as_str())
        .unwrap();
    assert_eq!(cell["state"], "pending");
    HostProcess::set(&own, "");
    assert_eq!(up.decided(&second, "passes")["state"], "pass", "{}", host.log());
    host.stop();
}

#[test]
fn the_doctor_goes_the_way_of_a_container() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let index = crate::support::index::Index::start(folder.path());
    let doctor = |network: &str| -> (Option<i32>, serde_json::Value) {
        let text = format!(
            "[engine]\nnetwork = \"host\"\nmin_free_gib = 0\n[network]\nindex = {:?}\n{network}",
            index.url
        );
        std::fs::write(folder.path().join("pybots.toml"), text).unwrap();
        let output = pybots(folder.path(), &["host", "doctor", "--json"]);
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let found = findings.into_iter().find(|finding| finding["check"] == "index");
        (output.status.code(), found.unwrap())
    };
    let direct = "http_proxy = \"\"\nhttps_proxy = \"\"\n";
    let (code, finding) = doctor(direct);
    assert_eq!((code, &finding["state"]), (Some(0), &"ok".into()), "{finding}");
    let (code, finding) = doctor("http_proxy = \"http://127.0.0.1:9\"\nno_proxy = \"\"\n");
    assert_eq!((code, &finding["state"]), (Some(1), &"fail".into()), "{finding}");
    assert!(
        finding["says"].as_str().unwrap().contains("Connection refused"),
        "{finding}"
    );
    let (code, finding) = doctor(&format!("{direct}ca = \"/no/such.pem\"\n"));
    assert_eq!(code, Some(1));
    assert!(finding["says"].as_str().unwrap().contains("/no/such.pem"), "{finding}");
    assert_eq!(crate::support::up::labelled("doctor"), Vec::<String>::new());
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
