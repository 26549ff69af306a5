//! The coordinator from revisions to incidents, with hosts that do no more than say what a tree means: a real
//! repository, a real database, no engine.

use crate::support::sim::Sim;
use crate::support::sim::burn_in::results_have_to_agree_in_a_row;
use crate::support::sim::story::{a_fix_and_a_recurrence, one_project_names_no_author};

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
    assert_eq!(
        crate::support::sim::culprits(&found),
        [("a", first.as_str()), ("b", second.as_str())]
    );
    // what an earlier revision compiled proves nothing: the runs on both ends build their wheels anew, and no other does
    let specs = async |of: &str| {
        let sql = format!(
            "SELECT whole.spec FROM job JOIN job_spec AS whole ON whole.job_id = job.id
             WHERE kind = 'run' AND investigation_id IS {of} NULL"
        );
        let query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql));
        query.fetch_all(sim.coordinator().store.pool()).await.unwrap()
    };
    let anew = "\"wheels_anew\":true";
    assert!(specs("NOT").await.iter().any(|spec| spec.contains(anew)));
    assert!(!specs("").await.iter().any(|spec| spec.contains(anew)));
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_projects_broken_by_one_revision_are_one_incident() {
    let names: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
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
    // the first is searched for; the others are asked of that revision and the one before it
    let (alone, together) = (60, sim.probes().await);
    assert!(together < alone + 6 * names.len() as i64, "{together} runs");
}

/// Whoever registers recipes can have any number of them pass and then fail.
#[tokio::test(flavor = "multi_thread")]
async fn projects_in_probation_hold_few_places_of_investigations() {
    let names = ["p", "q", "r"];
    let mut sim = Sim::with(&names, 3, |settings| settings.verdicts.in_probation = 1).await;
    sim.trust(pybots::config::TrustSettings::default());
    sim.commit("start", GOOD);
    sim.commits(1, GOOD);
    sim.commit("breaks each in its own way", "project p a\nproject q b\nproject r c");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 1);
    let sql =
        "SELECT MIN(created_at), MAX(created_at) FROM job WHERE investigation_id IS NOT NULL GROUP BY investigation_id";
    let query = sqlx::query_as::<_, (i64, i64)>(sql);
    let mut times = query.fetch_all(sim.coordinator().store.pool()).await.unwrap();
    times.sort();
    assert_eq!(times.len(), names.len());
    let one_by_one = times.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    assert!(one_by_one, "at most one at a time: {times:?}");
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
        (builds.state, builds.regressions[0].good.revision.as_str()),
        ("closed", good.as_str())
    );
    assert_eq!(builds.regressions[0].fixed_by.as_ref().unwrap().revision, bad);
    let script = sim.page(&format!("/incident/{}/reproduce.sh", builds.number)).await;
    let culprit = &builds.regressions[0].bad.revision;
    for told in ["./configure", "docker build", culprit] {
        assert!(script.contains(told), "no {told:?} in {script}");
    }
    assert!(!script.contains("docker run"), "{script}");
    assert_eq!(found.len(), 2, "{found:#?}");
    let of = |test: &str| {
        let parts = found.iter().flat_map(|told| &told.regressions);
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
    assert_eq!(b.reason.as_deref(), Some("CPython does not build there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_merge_is_searched_before_the_merge_is_the_culprit() {
    let mut sim = Sim::new(&["p"], 2).await;
    let start = sim.commit("start", GOOD);
    sim.commits(1, GOOD);
    sim.branch_off("quiet", &start);
    sim.commits(2, GOOD);
    sim.branch_off("breaks", &start);
    sim.commits(1, GOOD);
    let inside = sim.commit("inside", "fail a");
    sim.commits(1, "fail a");
    let first = sim.merge_all(&["quiet", "breaks"], "fail a");
    let newest = sim.commit("after", "fail a");
    for name in ["one", "other"] {
        sim.branch_off(name, &newest);
        sim.commits(2, "fail a");
    }
    let merge = sim.merge_all(&["one", "other"], "fail a\nfail b");
    sim.commits(1, "fail a\nfail b");
    sim.run().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 2, "{found:#?}");
    let of = |test: &str| {
        let mut parts = found.iter().flat_map(|incident| &incident.regressions);
        parts.find(|part| part.tests == [format!("suite: {test}")]).unwrap()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!(
        (a.exact, a.bad.revision.as_str(), a.reason.as_deref()),
        (true, inside.as_str(), None)
    );
    let alone = Some("no revision that it merged shows the change by itself");
    assert_eq!(
        (b.exact, b.bad.revision.as_str(), b.reason.as_deref()),
        (true, merge.as_str(), alone)
    );

    // the same question by hand
    let head = sim.commit("the last", "fail a\nfail b");
    sim.all_decided().await;
    let question = ["bisect", "p", "--good", &start, "--bad", &head, "--on-hosts", "--json"];
    let asked: serde_json::Value = serde_json::from_str(&sim.pybots(&question).await).unwrap();
    let mut said: Vec<serde_json::Value> = [&asked]
        .into_iter()
        .chain(asked["others"].as_array().unwrap())
        .map(|said| serde_json::json!([said["tests"], said["culprit"], said["merge"], said["reason"]]))
        .collect();
    said.sort_by_key(ToString::to_string);
    let expected = [
        serde_json::json!([["suite: a"], inside, { "revision": first, "parent": 3 }, null]),
        serde_json::json!([["suite: b"], merge, { "revision": merge, "parent": null }, alone]),
    ];
    assert_eq!(said, expected, "{asked:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suite_that_runs_half_its_tests_and_passes_is_a_regression() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", GOOD);
    sim.commits(3, GOOD);
    let culprit = sim.commit("hides tests", "leaves 1");
    sim.commits(3, "leaves 1");
    sim.run().await;
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "culprit_found"), "{found:#?}");
    assert_eq!(found[0].culprits[0].revision, culprit);
    assert_eq!(found[0].regressions[0].tests, ["the number of tests (at least 2)"]);
    let fix = sim.commit("shows them again", GOOD);
    sim.commits(1, GOOD);
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
    assert_eq!(found[0].regressions[0].fixed_by.as_ref().unwrap().revision, fix);
}

/// A smaller fall is no suspicion, but whoever looks sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_with_fewer_tests_says_so() {
    let mut sim = Sim::new(&["p"], 1).await;
    let start = sim.commit("start", GOOD);
    let fewer = sim.commit("hides a test", "leaves 2");
    let same = sim.commit("hides it still", "leaves 2");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    for (revision, says) in [(&start, false), (&fewer, true), (&same, false)] {
        let page = sim.run_page(revision).await;
        let sentence = "The run had 1 fewer tests than before: 2 instead of 3.";
        assert_eq!(page.contains(sentence), says, "{page}");
    }
    let front = sim.page("/branch/trunk").await;
    let labels: Vec<&str> = front.split("aria-label=\"p on ").skip(1).collect();
    let says = |label: &&str| {
        label
            .split('"')
            .next()
            .unwrap()
            .ends_with("; 1 fewer tests than before")
    };
    assert_eq!(
        labels.iter().map(says).collect::<Vec<_>>(),
        [false, true, false],
        "{front}"
    );
}

/// A leak that the collector finds in another test from revision to revision. `at_once`: all revisions are there from the start.
async fn an_error_wanders(at_once: bool) {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    let culprit = sim.commit("leaks", "leak a");
    if !at_once {
        sim.run().await;
        sim.settled().await;
    }
    for faults in ["leak b", "leak b", "leak c", "leak a", "leak b"] {
        sim.commits(1, faults);
        if !at_once {
            sim.all_decided().await;
            sim.settled().await;
        }
    }
    if at_once {
        sim.run().await;
    }
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "culprit_found"), "{found:#?}");
    assert_eq!(
        (found[0].culprits.len(), found[0].regressions.len()),
        (1, 1),
        "{found:#?}"
    );
    assert_eq!(found[0].culprits[0].revision, culprit);
    let error = "the error \"ResourceWarning: unclosed file <_io.FileIO at <address>>\", in one test or another";
    assert_eq!(found[0].regressions[0].tests, [error]);
    let asked = sim.answers().await.len();
    assert!(asked <= 8, "{asked} investigations");
    let fix = sim.commit("closes the file", GOOD);
    sim.commits(1, GOOD);
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
    assert_eq!(found[0].regressions[0].fixed_by.as_ref().unwrap().revision, fix);
    // in a test of its own, another error is another regression
    let other = sim.commit("breaks", "fail b");
    sim.commits(1, "fail b");
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(
        (found.len(), found[0].culprits[0].revision.as_str()),
        (2, other.as_str()),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_wandered_before_the_history_began_blames_nobody() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", "leak a");
    sim.run().await;
    sim.settled().await;
    for faults in ["leak b", "leak a", "leak c", "leak b"] {
        sim.commit(faults, faults);
        sim.all_decided().await;
        let found = sim.settled().await;
        assert_eq!(found.len(), 0, "{found:#?}");
    }
    let asked = sim.answers().await.len();
    assert!(asked <= 8, "{asked} investigations");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_wanders_is_one_regression() {
    an_error_wanders(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_wanders_through_results_that_come_at_once_is_one_regression() {
    an_error_wanders(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_a_new_project_have_to_agree_in_a_row() {
    let sim = Sim::with(&["p"], 1, |settings| {
        settings.verdicts.burn_in = 3;
        settings.verdicts.repeat = 0;
    });
    results_have_to_agree_in_a_row(sim.await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_blamed_for_hosts_dependencies_or_the_date() {
    for (faults, answer) in [
        ("onhost 0 a", "only"),
        // at half of the runs, twelve passes in a row are no chance that a test suite ever sees
        ("rate 50 a", "flaky"),
        ("dependency 2 a", "newer versions of its dependencies"),
        ("date a", "on the revision before the change"),
    ] {
        // what is wrong is in every tree; it is seen when the world outside changes
        let mut sim = Sim::new(&["p"], 2).await;
        sim.commit("start", faults);
        sim.run().await;
        sim.decided(1).await;
        sim.later().await;
        // a flaky test may pass for a while, and so may one whose host gets no run
        let (mut count, mut answers) = (0, Vec::new());
        while count < 6 || answers.is_empty() {
            assert!(count < 100, "{faults}: no failure was investigated");
            sim.commits(1, faults);
            sim.all_decided().await;
            sim.done().await;
            answers = sim.answers().await;
            count += 1;
        }
        let found = sim.settled().await;
        assert_eq!(found.len(), 0, "{faults}: {found:#?}");
        let answers = sim.answers().await;
        assert!(
            answers.iter().any(|told| told.contains(answer)),
            "{faults}: {answers:?}"
        );
    }
}

/// What passed before the date changed has passed, though it fails today. Of the same day, a pass and a failure are flaky.
#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_on_another_day_makes_no_old_pass_flaky() {
    for (days, expected) in [(2, "pass"), (0, "flaky")] {
        let mut sim = Sim::new(&["p"], 2).await;
        let before = sim.commit("start", "date a");
        sim.run().await;
        sim.decided(1).await;
        sim.done().await;
        let pool = sim.coordinator().store.pool();
        sqlx::query("UPDATE attempt SET started_at = started_at - $1, finished_at = finished_at - $1")
            .bind(days * 86_400_000_i64)
            .execute(pool)
            .await
            .unwrap();
        sim.later().await;
        let after = sim.commit("the first on another day", "date a");
        assert_eq!(sim.settled().await.len(), 0);
        let next = sim.commit("the next", "date a");
        assert_eq!(sim.settled().await.len(), 0);
        let answers = sim.answers().await;
        assert!(
            answers.len() == 1 && answers[0].contains("on the revision before the change"),
            "{answers:?}"
        );
        let store = &sim.coordinator().store;
        let cells = store.results(None, 10, pybots::clock::now()).await.unwrap();
        let state = |sha: &str| {
            cells
                .iter()
                .find(|cell| cell.revision == sha)
                .map(|cell| cell.state.name())
        };
        assert_eq!(
            (state(&before), state(&after), state(&next)),
            (Some(expected), Some("fail"), Some("fail"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_closes_and_a_recurrence_is_linked() {
    a_fix_and_a_recurrence(Sim::new(&["p", "q"], 2).await).await;
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
    assert_eq!(found[0].regressions[0].tests, ["the suite"]);
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
        "(ca&#x3D;${SSL_CERT_FILE:-${PIP_CERT:-}}; set --; for name in ",
        "; docker run --rm --pull never --user 1000",
        "broke it",
        "2 files, 2 lines added, ",
        "<span class=\"new\">+fail a\n</span>",
        "runs fail</td>",
        "runs pass</td>",
        "p: broken by ",
        "p on CPython trunk: broken by ",
    ] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
    assert!(
        !page.contains("method=\"post\""),
        "a visitor without a login decides nothing: {page}"
    );
    let patch = sim.page(&format!("/revision/{culprit}/patch")).await;
    assert!(patch.starts_with("diff --git a/Lib/faults b/Lib/faults"), "{patch}");
    assert!(sim.page(&format!("/revision/{culprit}")).await.contains("+fail a"));
    // what a private repository contains is shown to nobody
    for path in ["/incident/1".to_owned(), format!("/revision/{culprit}")] {
        let (status, text) = sim.page_with(&path, false).await;
        assert!(
            status == 200 && !text.contains("What it changes") && !text.contains("+fail a"),
            "{text}"
        );
    }
    let patch = format!("/revision/{culprit}/patch");
    assert_eq!(sim.page_with(&patch, false).await.0, 404);
    let attempt = page
        .split("href=\"/attempt/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        sim.page(&format!("/attempt/{attempt}"))
            .await
            .contains("AssertionError: a")
    );
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
    // the search knows the words of subjects, also for a comparison
    let found = format!("/revision/{culprit}");
    let page = sim.page("/search?q=breaks").await;
    assert!(page.contains(&found) && !page.contains("href=\"/incident/"), "{page}");
    for query in ["suite", "%231", &culprit[..8]] {
        let page = sim.page(&format!("/search?q={query}")).await;
        let expected = if query.len() > 6 {
            &found[..]
        } else {
            "href=\"/incident/1\""
        };
        assert!(page.contains(expected), "{query}: {page}");
    }
    let page = sim.page("/compare?base=breaks&now=trunk").await;
    let link = format!("/compare?base&#x3D;{culprit}&amp;now&#x3D;trunk");
    assert!(page.contains(&link), "{page}");
    let page = sim.page(&format!("/compare?base={good}&now=trunk:default")).await;
    assert!(page.contains("Newly failing"), "{page}");
    let page = sim.page("/badge/p.svg").await;
    assert!(
        page.starts_with("<svg") && page.contains("CPython trunk: fail"),
        "{page}"
    );
    let json: serde_json::Value = serde_json::from_str(&sim.page("/api/incidents/1").await).unwrap();
    assert_eq!(json["regressions"][0]["bad"]["revision"], culprit.as_str());

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
    assert_eq!(sim.settled().await[0].assigned_to, Some("projects"));
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
    assert!(page.contains("runs were repeated on the same image"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_unknown_project_says_is_unconfirmed_and_names_no_author() {
    const AUTHOR: [&str; 2] = ["test@example.org", "Test"];
    let mut sim = Sim::new(&["p", "q"], 2).await;
    let innocent = sim.commit("before the story", GOOD);
    let culprit = one_project_names_no_author(&mut sim).await;
    let page = sim.page(&format!("/revision/{culprit}")).await;
    let runs = page.split("href=\"/run/").skip(1);
    let runs = runs.map(|rest| format!("/run/{}", rest.split('"').next().unwrap()));
    let mut texts = Vec::new();
    for path in [
        "/incidents",
        "/incident/1",
        "/project/p",
        "/api/incidents",
        "/api/incidents/1",
    ] {
        texts.push((path.to_owned(), sim.page(path).await));
    }
    for path in runs {
        let page = sim.page(&path).await;
        if page.contains("/incident/1") {
            texts.push((path, page));
        }
    }
    assert_eq!(texts.len(), 6, "the run of the liar is among them");
    for arguments in [
        &["incidents"][..],
        &["incidents", "show", "1"],
        &["incidents", "--json"],
    ] {
        texts.push((arguments.join(" "), sim.pybots(arguments).await));
    }
    let question = ["bisect", "p", "--good", &innocent, "--bad", &culprit, "--on-hosts"];
    texts.push((question.join(" "), sim.pybots(&question).await));
    for (place, text) in &texts {
        let json = "\"unconfirmed_by_others\":true";
        let text = text.replace("\": ", "\":");
        assert!(
            text.contains("unconfirmed by others") || text.contains(json),
            "{place}: {text}"
        );
        // a list of revisions has the author of each, whatever failed there
        let text = text.split("<h2>Incidents</h2>").last().unwrap();
        assert!(!AUTHOR.iter().any(|author| text.contains(author)), "{place}: {text}");
    }
    let warning = "Unconfirmed by others: only the project p says that this revision broke something, so read its recipe and its code \
                   before you run them.";
    let line = sim.pybots(&["reproduce", "1"]).await;
    assert!(line.starts_with(&format!("echo '{warning}' >&2; ")), "{line}");
    for script in [
        sim.page("/incident/1/reproduce.sh").await,
        sim.pybots(&["reproduce", "1", "--script"]).await,
    ] {
        assert!(script.contains(&format!("\n# {warning}\n")), "{script}");
        assert!(script.contains(&format!("\necho '{warning}' >&2; \n")), "{script}");
    }
    assert!(sim.page("/incident/1").await.contains(warning));

    sim.pybots(&["incidents", "ours", "1", "--by", "me", "--why", "I saw it"])
        .await;
    let page = sim.page("/incident/1").await;
    assert!(
        page.contains("<dt>Author</dt><dd>Test</dd>") && !page.contains("nconfirmed by others"),
        "{page}"
    );
    assert!(!sim.pybots(&["reproduce", "1"]).await.contains("nconfirmed"));
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
    let arguments = sim_folder.path().join("arguments");
    std::fs::write(
        &docker,
        format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\n[ \"$1\" != run ] || cat >{}\n",
            arguments.display(),
            given.display()
        ),
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
            .env("SSL_CERT_FILE", "/etc/a ca.pem")
            .env("PIP_INDEX_URL", "https://reader:s3cret@index.example/simple")
            .status()
            .unwrap();
        assert!(status.success(), "{shell}");
        assert!(!mark.exists(), "{shell}: {script}");
        let given = std::fs::read_to_string(&given).unwrap();
        assert!(given.contains(&escape), "{given}");
        // the network of whoever runs it, whatever the network of the coordinator is
        let arguments = std::fs::read_to_string(&arguments).unwrap();
        assert!(!arguments.contains("s3cret"), "{arguments}");
        for argument in [
            "--volume=/etc/a ca.pem:/ca.crt:ro",
            "PIP_INDEX_URL=https://index.example/simple",
            "HTTPS_PROXY=",
        ] {
            assert!(
                arguments.lines().any(|line| line.starts_with(argument)),
                "no {argument} in {arguments}"
            );
        }
    }
}
