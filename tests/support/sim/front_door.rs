//! Stories of the front door, on each database. They need a project `folder.project` in the folder of recipes.

use super::Sim;
use crate::support::people::{Person, mode, person, recipe};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What the tests look like; `Lib/faults` in a tree says which of them fail there.
const GOOD: &str = "";

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub async fn state(person: &Person, project: &str, number: i64) -> String {
    let (status, version) = person
        .calls("GET", &format!("projects/{project}/versions/{number}"), None)
        .await;
    assert_eq!(status, 200, "{version}");
    version["state"].as_str().unwrap().to_owned()
}

/// Has one revision tested, whose image then is ready, and returns the address at which the coordinator serves.
async fn begin(sim: &mut Sim) -> String {
    sim.commit("start", GOOD);
    sim.run().await;
    sim.decided(1).await;
    sim.serve().await
}

/// An owner submits a recipe by commands, a maintainer approves it, and results follow.
pub async fn a_submitted_recipe_is_tried_approved_and_run(mut sim: Sim) {
    let server = begin(&mut sim).await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let max = person(&sim, &server, "max", "maintainer").await;
    // a command without a login says what to do
    let printed = ann.types(&["submit", "alpha.toml"], "").await;
    assert_ne!(printed.code, 0);
    ann.writes("alpha.toml", &recipe("alpha", ""));
    let printed = ann.types(&["submit", "alpha.toml"], "").await;
    assert!(printed.err.contains("pybots login"), "{}", printed.err);
    let wrong = ann.types(&["login", "--server", &server], "pybots_nonsense\n").await;
    assert!(
        wrong.code != 0 && wrong.err.contains("unknown, expired or revoked"),
        "{}",
        wrong.err
    );
    let printed = ann.types(&["login", "--server", &server], &ann.token).await;
    assert!(printed.out.contains("logged in as ann (owner)"), "{}", printed.out);
    assert_eq!(mode(&ann.home.path().join(".config/pybots/logins.toml")), 0o600);
    // the trial runs, and the command waits for it
    let out = ann.ok(&["submit", "alpha.toml"]).await;
    assert!(
        out.contains("alpha: version 1 is submitted") && out.contains("its trial: passed"),
        "{out}"
    );
    assert_eq!(state(&ann, "alpha", 1).await, "waiting");
    // it is in no matrix yet, and its owner can't approve it
    let results = reqwest::get(format!("{server}/api/results"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!results.contains("alpha"), "{results}");
    let refused = ann
        .types(&["recipe", "approve", "alpha", "1", "--server", &server], "")
        .await;
    assert!(refused.err.contains("none of the roles maintainer"), "{}", refused.err);
    max.logs_in().await;
    let waiting = max.ok(&["recipe", "waiting", "--server", &server]).await;
    assert!(waiting.contains("alpha") && waiting.contains("passed"), "{waiting}");
    let approved = max
        .ok(&[
            "recipe", "approve", "alpha", "1", "--why", "welcome", "--server", &server,
        ])
        .await;
    assert_eq!(approved, "alpha: version 1 is approved\n");
    // the trial counts as the first result
    let first = sim.repository().to_owned();
    let head = String::from_utf8(
        std::process::Command::new("git")
            .current_dir(&first)
            .args(["rev-parse", "HEAD"])
            .output()
            .unwrap()
            .stdout,
    );
    let head = head.unwrap().trim().to_owned();
    let cells_of = async |project: &str, sha: &str| {
        let text = reqwest::get(format!("{server}/api/results"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let cells: Vec<Value> = serde_json::from_str(&text).unwrap();
        let of = cells
            .iter()
            .filter(|cell| cell["project"] == *project && cell["revision"] == *sha);
        of.map(|cell| cell["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let cell = async |sha: &str| cells_of("alpha", sha).await;
    until("the first result", async || cell(&head).await == ["pass"]).await;
    let runs: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM run JOIN job ON job.run_id = run.id WHERE run.project = 'alpha'")
            .fetch_one(sim.coordinator().store.pool())
            .await
            .unwrap();
    assert_eq!(runs, 1, "the trial was not repeated");
    // and the next revision is tested
    let next = sim.commit("next", "fail a");
    until("the next result", async || cell(&next).await == ["fail"]).await;
    // a paused project gets no runs, and a resumed one does
    ann.ok(&["recipe", "pause", "alpha", "--why", "holiday", "--server", &server])
        .await;
    until("the pause", async || {
        !sim.coordinator()
            .store
            .projects()
            .await
            .unwrap()
            .iter()
            .any(|p| p.name == "alpha")
    })
    .await;
    let quiet = sim.commit("quiet", GOOD);
    until("the other project", async || {
        cells_of("folder.project", &quiet).await == ["pass"]
    })
    .await;
    assert!(cell(&quiet).await.is_empty());
    ann.ok(&["recipe", "resume", "alpha", "--server", &server]).await;
    let back = sim.commit("back", "# again");
    until("the project is back", async || cell(&back).await == ["pass"]).await;
    // the audit log has who did what
    let log = max
        .ok(&["audit", "--server", &server, "--subject", "project alpha"])
        .await;
    for word in [
        "submit",
        "approve",
        "pause",
        "resume",
        "ann",
        "max",
        "127.0.0.1",
        "welcome",
        "holiday",
    ] {
        assert!(log.contains(word), "{word}: {log}");
    }
    let printed = ann.types(&["audit", "--server", &server], "").await;
    assert!(printed.err.contains("`audit`"), "{}", printed.err);
}

/// Versions, names, owners, and what is refused.
pub async fn versions_are_kept_compared_and_superseded(mut sim: Sim) {
    let server = begin(&mut sim).await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let bob = person(&sim, &server, "bob", "owner").await;
    let max = person(&sim, &server, "max", "maintainer").await;
    let submit = async |person: &Person, text: String, base: Option<i64>| {
        person
            .calls("POST", "recipes", Some(json!({ "text": text, "base": base })))
            .await
    };
    assert_eq!(submit(&ann, recipe("alpha", ""), Some(0)).await.0, 201);
    // the same again, and on a version that is no longer the newest
    let (status, problem) = submit(&ann, recipe("alpha", ""), None).await;
    assert!(
        status == 409 && problem["detail"].as_str().unwrap().contains("same text"),
        "{problem}"
    );
    assert_eq!(
        submit(&ann, recipe("alpha", "summary = \"two\"\n"), Some(1)).await.0,
        201
    );
    let (status, problem) = submit(&ann, recipe("alpha", "summary = \"three\"\n"), Some(1)).await;
    assert!(
        status == 412 && problem["detail"].as_str().unwrap().contains("has version 2 by now"),
        "{problem}"
    );
    assert_eq!(state(&ann, "alpha", 1).await, "superseded");
    let (_, diff) = ann.calls("GET", "projects/alpha/versions/2/diff", None).await;
    assert!(diff["diff"].as_str().unwrap().contains("+summary = \"two\""), "{diff}");
    // names that are the same by the rules of the index, and the one of the folder
    for (name, word) in [
        ("folder_project", "are the same"),
        ("a1pha", "looks like the project \"alpha\""),
        ("folder.project", "folder of recipes"),
        ("folder-project", "are the same"),
    ] {
        let (status, problem) = submit(&bob, recipe(name, ""), None).await;
        assert!(
            status == 409 && problem["detail"].as_str().unwrap().contains(word),
            "{name}: {problem}"
        );
    }
    // somebody else's project
    let (status, problem) = submit(&bob, recipe("alpha", "summary = \"mine\"\n"), None).await;
    assert!(
        status == 403 && problem["detail"].as_str().unwrap().contains("another account"),
        "{problem}"
    );
    assert_eq!(
        bob.calls("POST", "projects/alpha/state", Some(json!({ "action": "retire" })))
            .await
            .0,
        403
    );
    // a bad recipe comes back with all problems and their places
    let (status, problem) = submit(&ann, "name = \"x\"\nnosuch = 1\n[[suite]]\nname = 2\n".into(), None).await;
    assert_eq!(status, 422, "{problem}");
    let problems = problem["problems"].as_array().unwrap();
    assert!(
        problems.len() > 1 && problems.iter().all(|one| one["line"].as_u64() > Some(0)),
        "{problem}"
    );
    let (status, problem) = submit(&ann, recipe("x", "").replace("pypi = \"x\"", "path = \"x\""), None).await;
    assert!(
        status == 422 && problem["detail"].as_str().unwrap().contains("no folder beside it"),
        "{problem}"
    );
    // refused with a reason, and nothing is in force
    until("the trial", async || state(&ann, "alpha", 2).await == "waiting").await;
    let decide = async |number: i64, body: Value| {
        max.calls(
            "POST",
            &format!("projects/alpha/versions/{number}/decision"),
            Some(body),
        )
        .await
    };
    assert_eq!(decide(2, json!({ "decision": "refuse", "reason": " " })).await.0, 422);
    assert_eq!(
        decide(2, json!({ "decision": "refuse", "reason": "no suite" })).await.0,
        200
    );
    assert_eq!(decide(2, json!({ "decision": "approve" })).await.0, 409);
    assert_eq!(decide(9, json!({ "decision": "approve" })).await.0, 404);
    assert_eq!(ann.calls("GET", "projects/alpha", None).await.1["state"], "proposed");
    // handed over: accepted by the receiver, and by nobody else
    let give = async |by: &Person, to: &str| {
        let (status, project) = by
            .calls("POST", "projects/alpha/owner", Some(json!({ "to": to })))
            .await;
        (status, project["owner"].clone(), project["next_owner"].clone())
    };
    let answer = async |by: &Person, action: &str| {
        let body = json!({ "action": action });
        let (status, project) = by.calls("POST", "projects/alpha/hand-over", Some(body)).await;
        (status, project["owner"].clone(), project["next_owner"].clone())
    };
    let four = || recipe("alpha", "summary = \"four\"\n");
    let none = Value::Null;
    assert_eq!(give(&ann, "nobody").await.0, 404);
    assert_eq!(give(&ann, "ann").await.0, 409);
    assert_eq!(answer(&bob, "accept").await.0, 409);
    assert_eq!(give(&ann, "bob").await, (200, json!("ann"), json!("bob")));
    assert_eq!(submit(&bob, four(), None).await.0, 403);
    for other in [&ann, &max] {
        assert_eq!(answer(other, "accept").await.0, 403);
    }
    // who gets it may decline
    assert_eq!(answer(&bob, "withdraw").await, (200, json!("ann"), none.clone()));
    assert_eq!(give(&ann, "bob").await, (200, json!("ann"), json!("bob")));
    assert_eq!(answer(&bob, "accept").await, (200, json!("bob"), none.clone()));
    assert_eq!(answer(&bob, "accept").await.0, 409);
    assert_eq!(submit(&ann, four(), None).await.0, 403);
    assert_eq!(submit(&bob, four(), None).await.0, 201);
    // what is withdrawn can't be accepted
    assert_eq!(give(&bob, "ann").await, (200, json!("bob"), json!("ann")));
    assert_eq!(answer(&bob, "withdraw").await, (200, json!("bob"), none.clone()));
    assert_eq!(answer(&ann, "accept").await.0, 409);
    // an owner who has left is replaced at once, and a hand-over of theirs ends
    assert_eq!(give(&bob, "max").await.0, 200);
    assert_eq!(give(&max, "ann").await, (200, json!("ann"), none));
    assert_eq!(answer(&max, "accept").await.0, 409);
    let (_, log) = max.calls("GET", "audit?subject=project%20alpha&limit=6", None).await;
    let entries = log["items"].as_array().unwrap();
    let done: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        done,
        [
            "hand over",
            "begin hand-over",
            "withdraw hand-over",
            "begin hand-over",
            "submit",
            "accept hand-over"
        ]
    );
    // pages in parts, with a link to the next
    let (_, page) = ann.calls("GET", "projects/alpha/versions?limit=2", None).await;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), page["next"].as_str()),
        (2, Some("2"))
    );
    let (_, rest) = ann.calls("GET", "projects/alpha/versions?limit=2&after=2", None).await;
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), rest["next"].as_str()),
        (1, None)
    );
}
