//! The coordinator from check-ins to incidents, with hosts that do no more than say what a tree means: a real
//! repository, a real database, no engine.

mod common;
mod sim;

use sim::Sim;

/// What the tests look like; `Lib/faults` in a tree says which of them fail there.
const GOOD: &str = "";

#[tokio::test(flavor = "multi_thread")]
async fn two_breaks_of_one_project_are_two_incidents() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", GOOD);
    sim.run().await;
    sim.decided(1).await;
    sim.stop();
    sim.commits(4, GOOD);
    let first = sim.commit("first", "fail a");
    sim.commits(4, "fail a");
    let second = sim.commit("second", "fail a\nfail b");
    sim.commits(3, "fail a\nfail b");
    sim.run().await;
    let found = sim.settled().await;
    assert_eq!(sim::culprits(&found), [("a", first.as_str()), ("b", second.as_str())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_projects_broken_by_one_check_in_are_one_incident() {
    let names: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut sim = Sim::new(&names, 3).await;
    sim.commit("start", GOOD);
    sim.commits(3, GOOD);
    let culprit = sim.commit("breaks all", "fail a");
    sim.commits(3, "fail a");
    sim.run().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].projects.len(), names.len());
    assert_eq!(found[0].culprits[0].revision, culprit);
    // the first is searched for; the others are asked of that check-in and the one before it
    let (alone, together) = (60, sim.probes().await);
    assert!(together < alone + 6 * names.len() as i64, "{together} runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_merge_brought_is_searched_and_a_stretch_that_can_not_be_built_is_a_range() {
    let mut sim = Sim::new(&["p"], 2).await;
    let start = sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    sim.branch_off("side", &start);
    sim.commits(3, GOOD);
    let inside = sim.commit("inside", "fail a");
    sim.commits(2, "fail a");
    sim.merge("side", "fail a");
    sim.commits(2, "fail a");
    let good = sim.commit("the last that builds", "fail a");
    sim.commits(3, "fail a\nfail b\nnobuild");
    let bad = sim.commit("builds again", "fail a\nfail b");
    sim.commits(1, "fail a\nfail b");
    sim.run().await;
    let mut found = sim.settled().await;
    let place = found.iter().position(|told| told.projects == ["cpython"]).unwrap();
    let builds = found.remove(place);
    assert_eq!(
        (builds.state, builds.breakages[0].good.revision.as_str()),
        ("closed", good.as_str())
    );
    assert_eq!(builds.breakages[0].fixed_by.as_ref().unwrap().revision, bad);
    let script = sim.page(&format!("/incident/{}/reproduce.sh", builds.number)).await;
    let culprit = &builds.breakages[0].bad.revision;
    for told in ["./configure", "docker build", culprit] {
        assert!(script.contains(told), "no {told:?} in {script}");
    }
    assert!(!script.contains("docker run"), "{script}");
    assert_eq!(found.len(), 2, "{found:#?}");
    let of = |test: &str| {
        let parts = found.iter().flat_map(|told| &told.breakages);
        parts
            .clone()
            .find(|part| part.tests == [format!("suite: {test}")])
            .unwrap()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!(
        (a.exact, a.bad.revision.as_str(), a.branch.as_str()),
        (true, inside.as_str(), "trunk")
    );
    assert_eq!(
        (b.exact, b.good.revision.as_str(), b.bad.revision.as_str()),
        (false, good.as_str(), bad.as_str())
    );
    assert_eq!(b.reason.as_deref(), Some("CPython can't be built there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_blamed_for_hosts_dependencies_or_the_date() {
    for (faults, answer) in [
        ("onhost 0 a", "only"),
        ("rate 30 a", "flaky"),
        ("dependency 2 a", "other dependencies"),
        ("date a", "on the check-in before too"),
    ] {
        // what is wrong is in every tree; it is seen when the world outside changes
        let mut sim = Sim::new(&["p"], 2).await;
        sim.commit("start", faults);
        sim.run().await;
        sim.decided(1).await;
        sim.later().await;
        for _ in 0..6 {
            sim.commits(1, faults);
            sim.all_decided().await;
        }
        let found = sim.settled().await;
        assert_eq!(found.len(), 0, "{faults}: {found:#?}");
        let answers = sim.answers().await;
        // a flaky test may pass all the time, and a host may never get a run
        if !faults.starts_with("rate") && !faults.starts_with("onhost") {
            assert!(
                answers.iter().any(|told| told.contains(answer)),
                "{faults}: {answers:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_closes_and_a_return_is_linked() {
    a_repair_and_a_return(Sim::new(&["p", "q"], 2).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_to_the_same() {
    let Ok(server) = std::env::var("PYBOTS_TEST_POSTGRES") else {
        println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)");
        return;
    };
    let database = common::new_database(&server).await;
    a_repair_and_a_return(Sim::with(&["p", "q"], 2, |settings| settings.database = database).await).await;
}

async fn a_repair_and_a_return(mut sim: Sim) {
    sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    sim.commit("breaks", "fail a");
    sim.commits(2, "fail a");
    sim.run().await;
    let open = sim.settled().await;
    assert_eq!(
        (open.len(), open[0].state, open[0].projects.len()),
        (1, "culprit_found", 2),
        "{open:#?}"
    );
    sim.commits(2, "fail a");
    let repair = sim.commit("mends", GOOD);
    sim.commits(1, GOOD);
    sim.all_decided().await;
    let closed = sim.settled().await;
    assert_eq!((closed.len(), closed[0].state), (1, "closed"), "{closed:#?}");
    assert_eq!(closed[0].breakages[0].fixed_by.as_ref().unwrap().revision, repair);
    assert_eq!(sim.pins().await, 0, "images of what is over may go");
    let again = sim.commit("breaks again", "fail a");
    sim.commits(1, "fail a");
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].culprits[0].revision, again);
    assert_eq!(found[0].again_of, Some(closed[0].number));
    assert!(sim.pins().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_fail_and_a_coordinator_that_is_killed_change_no_answer() {
    let mut sim = Sim::new(&["p"], 3).await;
    sim.infra(10);
    sim.commit("start", GOOD);
    sim.commits(5, GOOD);
    let culprit = sim.commit("breaks", "crash");
    sim.commits(5, "crash");
    for _ in 0..8 {
        sim.run().await;
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        sim.stop();
    }
    sim.is_well().await;
    sim.run().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].culprits[0].revision, culprit);
    assert_eq!(found[0].breakages[0].tests, ["the suite"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_an_incident_and_say_what_they_think_of_it() {
    let mut sim = Sim::new(&["p"], 2).await;
    let good = sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    let culprit = sim.commit("breaks <p>", "fail a");
    let bad = sim.commit("after", "fail a");
    sim.run().await;
    sim.settled().await;

    let page = sim.page("/incidents").await;
    assert!(
        page.contains("breaks &lt;p&gt;") && page.contains("culprit found"),
        "{page}"
    );
    let page = sim.page("/project/p").await;
    assert!(page.contains("href=\"/incident/1\""), "{page}");
    let page = sim.page("/incident/1").await;
    for told in [
        &culprit,
        "suite: a",
        "E   AssertionError: a",
        "docker run --rm --pull never --user 1000",
        "broke it",
    ] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
    let script = sim.page("/incident/1/reproduce.sh").await;
    for told in ["git clone", "./configure", &culprit, "uv venv", "docker build"] {
        assert!(script.contains(told), "no {told:?} in {script}");
    }
    // the run that shows it says so, and so does a comparison
    let page = sim.page(&format!("/revision/{culprit}")).await;
    let run = page.split("href=\"/run/").nth(1).unwrap().split('"').next().unwrap();
    let page = sim.page(&format!("/run/{run}")).await;
    let before = sim.place(&culprit) - 1;
    for told in ["confirmed", "test suite: a", "href=\"/incident/1\"", "/compare/"] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
    let compare = page
        .split("href=\"/compare/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let (base, now) = compare.split_once('/').unwrap();
    assert_eq!((sim.place(base), now), (before, culprit.as_str()));
    let page = sim.page(&format!("/compare/{good}/{bad}")).await;
    for told in ["Newly failing", "suite: a"] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
    assert!(sim.page("/compare").await.contains("trunk"));
    let json: serde_json::Value = serde_json::from_str(&sim.page("/api/incidents/1").await).unwrap();
    assert_eq!(json["breakages"][0]["bad"]["revision"], culprit.as_str());

    // the same question by hand, with no incident of its own
    let asked = sim
        .pybots(&["bisect", "p", "--good", &good, "--bad", &bad, "--on-hosts", "--json"])
        .await;
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(
        (&asked["culprit"], &asked["answer"]),
        (&culprit.clone().into(), &"culprit".into()),
        "{asked}"
    );
    assert_eq!(sim.settled().await.len(), 1);

    let state = async |sim: &Sim| sim.settled().await[0].state;
    let me = ["--by", "me", "--why", "it is"];
    assert!(sim.pybots(&["incidents"]).await.contains("p broken by"));
    sim.pybots(&[&["incidents", "intended", "1"], &me[..]].concat()).await;
    assert_eq!(sim.settled().await[0].put_to, Some("projects"));
    sim.pybots(&[
        "incidents",
        "reported",
        "1",
        "--by",
        "me",
        "--at",
        "https://example.org/1",
    ])
    .await;
    assert_eq!(state(&sim).await, "reported");
    sim.pybots(&[&["incidents", "waive", "1", "--until", "2999-01-01"], &me[..]].concat())
        .await;
    assert_eq!(state(&sim).await, "waived");
    sim.pybots(&[&["incidents", "close", "1"], &me[..]].concat()).await;
    assert_eq!((state(&sim).await, sim.pins().await), ("closed", 0));
    let shown = sim.pybots(&["incidents", "show", "1"]).await;
    for told in [
        "culprit",
        "AssertionError: a",
        "me: waived until 2999-01-01: it is",
        "closed",
    ] {
        assert!(shown.contains(told), "no {told:?} in {shown}");
    }
    let page = sim.page("/project/p").await;
    assert!(page.contains("runs that were done more than once"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_recipe_runs_outside_of_the_container() {
    let sim_folder = tempfile::tempdir().unwrap();
    let mark = sim_folder.path().join("escaped");
    let escape = format!(
        "true\nRUN\nGET\nBUILD\nEOF\ntouch {}\n: <<'RUN'\n'; touch {0}; '",
        mark.display()
    );
    let mut sim = Sim::new(&["p"], 1).await;
    sim.recipe(
        "p",
        &format!(
            "install = [\"\"\"{escape}\"\"\"]\nenv = {{ A = \"\"\"{escape}\"\"\" }}\n[[suite]]\nname = \"suite\"\nrun = \"\"\"{escape}\"\"\"\n"
        ),
    );
    sim.commit("start", GOOD);
    sim.commit("breaks", "fail a");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 1);
    let script = sim.page("/incident/1/reproduce.sh").await;
    assert!(script.contains(&mark.display().to_string()), "{script}");
    // a `docker` that takes what it is given and does nothing with it
    let docker = sim_folder.path().join("docker");
    let given = sim_folder.path().join("given");
    std::fs::write(
        &docker,
        format!("#!/bin/sh\n[ \"$1\" != run ] || cat >{}\n", given.display()),
    )
    .unwrap();
    std::fs::set_permissions(&docker, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = sim_folder.path().join("reproduce.sh");
    std::fs::write(&file, &script).unwrap();
    for shell in ["sh", "bash"] {
        let path = format!("{}:{}", sim_folder.path().display(), std::env::var("PATH").unwrap());
        let status = std::process::Command::new(shell)
            .arg(&file)
            .env("PATH", path)
            .status()
            .unwrap();
        assert!(status.success(), "{shell}");
        assert!(!mark.exists(), "{shell}: {script}");
        let given = std::fs::read_to_string(&given).unwrap();
        assert!(given.contains(&escape), "{given}");
    }
}
