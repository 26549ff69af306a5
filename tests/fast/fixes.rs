//! What ends an incident, and what happens while an investigation is open: on a world without an engine.

use crate::support::sim::Sim;

const GOOD: &str = "";

/// A break that is known, with its revision.
async fn broken(sim: &mut Sim, faults: &str) -> String {
    sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    let culprit = sim.commit("breaks", faults);
    sim.commits(2, faults);
    sim.run().await;
    let open = sim.settled().await;
    assert_eq!((open.len(), open[0].state), (1, "culprit_found"), "{open:#?}");
    assert_eq!(open[0].culprits[0].revision, culprit);
    culprit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_lands_while_the_break_is_searched_and_a_new_break_after_it() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", GOOD);
    sim.commits(6, GOOD);
    let first = sim.commit("breaks", "fail a");
    sim.commits(3, "fail a");
    sim.run().await;
    sim.inquires().await;
    let fix = sim.commit("fixes", GOOD);
    sim.commits(2, GOOD);
    sim.all_decided().await;
    let second = sim.commit("breaks again", "fail a");
    sim.commits(1, "fail a");
    let found = sim.settled().await;
    assert_eq!(found.len(), 2, "{found:#?}");
    let (new, old) = (&found[0], &found[1]);
    assert_eq!((new.state, old.state), ("culprit_found", "closed"), "{found:#?}");
    assert_eq!(old.culprits[0].revision, first);
    assert_eq!(old.regressions[0].fixed_by.as_ref().unwrap().revision, fix);
    assert_eq!(new.culprits[0].revision, second);
    assert_eq!(new.recurrence_of, Some(old.number));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_recipe_takes_the_place_of_what_is_queued_and_no_cell_is_lost() {
    let mut sim = Sim::new(&["p", "q"], 0).await;
    let mut revisions = vec![sim.commit("start", GOOD)];
    for _ in 0..4 {
        revisions.push(sim.commit("next", GOOD));
    }
    // images are there, and no run has begun
    sim.run().await;
    sim.build_images(&revisions).await;
    sim.queued(10).await;
    sim.recipe_changes("p");
    sim.queued_by("true --all", 5).await;
    assert_eq!(sim.queued_runs().await, 10, "the old recipe's jobs are gone");
    // killed in between, and back to the recipe of before
    sim.stop();
    sim.recipe_changes_back("p");
    sim.run().await;
    sim.queued_by("true --all", 0).await;
    // one that is removed for a while
    sim.remove_recipe("p");
    sim.queued(5).await;
    sim.recipe("p", "[[suite]]\nname = \"suite\"\nrun = \"true\"\n");
    sim.queued(10).await;
    sim.stop();
    sim.hosts(2);
    sim.run().await;
    sim.done().await;
    for sha in &revisions {
        for project in ["p", "q"] {
            assert_eq!(sim.cell(sha, project).await, "pass", "{project} on {sha}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_under_another_name_is_mended() {
    let mut sim = Sim::new(&["p"], 2).await;
    broken(&mut sim, "import").await;
    let fix = sim.commit("fixes", GOOD);
    sim.commits(1, GOOD);
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
    assert_eq!(found[0].regressions[0].tests, ["the run"]);
    assert_eq!(found[0].regressions[0].fixed_by.as_ref().unwrap().revision, fix);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_now_and_then_is_mended_once_it_is_no_chance() {
    let mut sim = Sim::new(&["p"], 3).await;
    sim.commit("start", GOOD);
    sim.commits(3, GOOD);
    // it takes a result that failed to be suspected
    sim.commits(8, "rate 70 a");
    sim.run().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let rate = found[0].regressions[0].rate.expect("it fails now and then");
    assert!((0.5..0.9).contains(&rate), "{rate}");
    for _ in 0..6 {
        sim.commits(2, GOOD);
        sim.all_decided().await;
    }
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dependency_mends_is_over_and_no_revision_is_praised() {
    let mut sim = Sim::new(&["p"], 2).await;
    broken(&mut sim, "until 2 a").await;
    sim.later().await;
    sim.commits(2, "until 2 a");
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
    let part = &found[0].regressions[0];
    assert!(part.fixed_by.is_none(), "{part:#?}");
    assert!(
        part.fixed_as
            .as_ref()
            .unwrap()
            .contains("newer versions of its dependencies"),
        "{part:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_changes_and_a_branch_that_is_rewritten_lose_no_break() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", GOOD);
    sim.commits(12, GOOD);
    let culprit = sim.commit("breaks", "fail a");
    sim.commits(4, "fail a");
    sim.run().await;
    sim.inquires().await;
    sim.recipe_changes("p");
    sim.drop_newest(2);
    sim.commits(2, "fail a");
    let found = sim.settled().await;
    assert_eq!(found.len(), 1, "{found:#?} {:?}", sim.answers().await);
    assert_eq!(found[0].culprits[0].revision, culprit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_failure_whose_time_is_over_is_assigned_to_its_revision() {
    let recipe = |expires: &str| {
        format!(
            "[[suite]]\nname = \"suite\"\nrun = \"true\"\n\
             [[known_failure]]\ntest = \"suite: a\"\nreason = \"is known\"\nexpires = {expires}\n"
        )
    };
    let mut sim = Sim::new(&["p"], 2).await;
    sim.recipe("p", &recipe("2999-01-01"));
    sim.commits(3, GOOD);
    let culprit = sim.commit("breaks", "fail a");
    // farther than a baseline is looked for at first
    sim.commits(35, "fail a");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0, "{:?}", sim.answers().await);
    let results = sim
        .coordinator()
        .store
        .results(None, 100, pybots::clock::now())
        .await
        .unwrap();
    let cell = results.into_iter().find(|cell| cell.revision == culprit).unwrap();
    let page = sim.page(&format!("/run/{}", cell.run.unwrap())).await;
    assert!(
        page.contains("<code>suite: a</code>: is known") && page.contains("until 2999-01-01"),
        "{page}"
    );
    let lately = pybots::clock::show(pybots::clock::now() - 3 * 24 * 3_600_000);
    sim.recipe("p", &recipe(&lately[..10]));
    sim.commits(1, "fail a");
    let found = sim.settled().await;
    assert_eq!(found.len(), 1, "{found:#?} {:?}", sim.answers().await);
    assert_eq!(found[0].culprits[0].revision, culprit);
    assert_eq!(found[0].regressions[0].tests, ["suite: a"]);
    // and not with each revision again
    let asked = sim.answers().await.len();
    sim.commits(2, "fail a");
    assert_eq!((sim.settled().await.len(), sim.answers().await.len()), (1, asked));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_again_after_its_repair_or_on_a_rewritten_branch_is_found_each_time() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", GOOD);
    sim.commits(3, GOOD);
    let first = sim.commit("breaks", "fail a");
    sim.commits(3, "fail a");
    sim.commit("fixes", GOOD);
    sim.commits(3, GOOD);
    let second = sim.commit("breaks again", "fail a");
    sim.commits(3, "fail a");
    sim.run().await;
    let culprits = |found: &[pybots::incidents::IncidentView]| {
        let mut all: Vec<(i64, String)> = found
            .iter()
            .map(|told| (told.number, told.culprits[0].revision.clone()))
            .collect();
        all.sort();
        all.into_iter().map(|(_, culprit)| culprit).collect::<Vec<_>>()
    };
    let found = sim.settled().await;
    let mut both = culprits(&found);
    both.sort();
    let mut expected = vec![first.clone(), second.clone()];
    expected.sort();
    assert_eq!(both, expected, "{found:#?} {:?}", sim.answers().await);
    // the same on another history, from the same revision on
    sim.drop_newest(4);
    let third = sim.commit("breaks on another history", "fail a");
    sim.commits(2, "fail a");
    let found = sim.settled().await;
    assert_eq!(
        culprits(&found).last(),
        Some(&third),
        "{found:#?} {:?}",
        sim.answers().await
    );
    assert_eq!(
        found.iter().filter(|told| told.state != "closed").count(),
        1,
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_silence_what_was_flaky_is_looked_at_again() {
    let flaky = "rate 40 a";
    let mut sim = Sim::new(&["p"], 3).await;
    sim.commits(8, flaky);
    sim.run().await;
    for _ in 0..10 {
        sim.settled().await;
        if sim.answers().await.iter().any(|told| told.contains("flaky")) {
            break;
        }
        sim.commits(3, flaky);
    }
    let culprit = sim.commit("fails for good", "fail a");
    sim.commits(3, "fail a");
    assert_eq!(sim.settled().await.len(), 0);
    sim.silence_is_over().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 1, "{found:#?} {:?}", sim.answers().await);
    // it failed before, now and then: up to a range is all that can be said for sure
    let part = &found[0].regressions[0];
    let place = |sha: &str| sim.place(sha);
    assert!(place(&part.good.revision) < place(&culprit), "{part:#?}");
    assert!(place(&part.bad.revision) >= place(&culprit), "{part:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_succeeds_when_it_is_tried_again_ends_its_incident() {
    let mut sim = Sim::new(&["p"], 1).await;
    sim.commit("start", GOOD);
    sim.run().await;
    sim.settled().await;
    sim.no_build(true);
    let bad = sim.commit("can't be built today", GOOD);
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "culprit_found"), "{found:#?}");
    assert_eq!(found[0].culprits[0].revision, bad);
    sim.no_build(false);
    sim.build_again(&bad).await;
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
    assert!(found[0].regressions[0].fixed_as.is_some(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_be_imported_is_one_incident_with_what_it_breaks() {
    let mut sim = Sim::new(&["p"], 1).await;
    sim.commit("start", "lacks readline");
    sim.commits(1, "lacks readline");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0, "what was never there is no news");
    let culprit = sim.commit("the Makefile forgets a folder", "lacks readline\nlacks bz2\nfail a");
    sim.commits(1, "lacks readline\nlacks bz2\nfail a");
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "culprit_found"), "{found:#?}");
    assert_eq!(found[0].culprits[0].revision, culprit);
    let mut subjects: Vec<(&str, String)> = found[0]
        .regressions
        .iter()
        .map(|regression| (regression.project.as_str(), regression.tests.join(", ")))
        .collect();
    subjects.sort();
    assert_eq!(
        subjects,
        [
            ("cpython", "the import of bz2".to_owned()),
            ("p", "suite: a".to_owned())
        ],
        "{found:#?}"
    );
    let page = sim.page(&format!("/revision/{culprit}")).await;
    assert!(page.contains("degraded: readline, bz2"), "{page}");
    sim.commit("the folder is back", "lacks readline");
    sim.commits(1, "lacks readline");
    let found = sim.settled().await;
    assert_eq!((found.len(), found[0].state), (1, "closed"), "{found:#?}");
}

/// Returns the outcomes on a revision, once there are so many.
async fn ended(sim: &Sim, revision: &str, many: usize) -> Vec<String> {
    let start = std::time::Instant::now();
    loop {
        let outcomes = sim.outcomes_on(revision).await;
        if outcomes.iter().filter(|outcome| !outcome.is_empty()).count() >= many {
            return outcomes[..many].to_vec();
        }
        assert!(start.elapsed().as_secs() < 30, "{outcomes:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_versions_vanished_is_resolved_anew_at_once() {
    let mut sim = Sim::new(&["p"], 1).await;
    sim.commit("start", GOOD);
    sim.commits(1, GOOD);
    sim.run().await;
    sim.settled().await;
    // newer versions were tried a short time ago, and could not be installed
    let tried = "UPDATE pinned_lock SET refresh_at = $1";
    let store = &sim.coordinator().store;
    let noted = sqlx::query(tried)
        .bind(pybots::clock::now().as_millis())
        .execute(store.pool())
        .await
        .unwrap();
    assert_eq!(noted.rows_affected(), 1);
    sim.delete_old_releases();
    let first = sim.commit("the first without them", "fail a");
    sim.settled().await;
    assert_eq!(ended(&sim, &first, 2).await, ["recipe_error", "failed"]);
    // whoever looks at the run reads why its dependencies are other ones
    let page = sim.run_page(&first).await;
    let anew = "<p>Attempt 1 could not fetch what its pinned lock names: <code>dependency&#x3D;&#x3D;1 is on no index</code>. \
                Pybots resolved the dependencies anew: dependency 1 -&gt; 2.</p>";
    assert!(page.contains(anew), "{page}");
    let second = sim.commit("the next", "fail a");
    assert_eq!(ended(&sim, &second, 1).await, ["failed"]);
    let page = sim.run_page(&second).await;
    assert!(!page.contains("resolved anew"), "{page}");
    let found = sim.settled().await;
    // the break that came at the same time is found, and not blamed on the dependency
    assert_eq!(
        (found.len(), found[0].culprits[0].revision.as_str()),
        (1, first.as_str()),
        "{found:#?}"
    );
}

/// After a good refresh, the next one is due when the setting says so, and not a day later.
#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_follows_the_other() {
    let mut sim = Sim::with(&["p"], 1, |settings| settings.verdicts.repeat = 0).await;
    sim.commit("start", GOOD);
    sim.run().await;
    sim.settled().await;
    for release in ["2", "3"] {
        sim.later().await;
        let revision = sim.commit("with what is newer", GOOD);
        sim.settled().await;
        assert_eq!(sim.releases_on(&revision).await.0, [release]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_dependencies_come_in_by_themselves() {
    let mut sim = Sim::with(&["p"], 1, |settings| settings.verdicts.repeat = 0).await;
    let first = sim.commit("start", "dependency 2 a");
    sim.run().await;
    sim.settled().await;
    let second = sim.commit("held", "dependency 2 a");
    sim.settled().await;
    sim.later().await;
    let third = sim.commit("with what is newer", "dependency 2 a");
    assert_eq!(sim.settled().await.len(), 0);
    let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    assert_eq!(sim.releases_on(&first).await, (strings(&["1"]), strings(&[])));
    // tried where CPython is the same, and the revision's own result stays what it was
    assert_eq!(sim.releases_on(&second).await, (strings(&["1"]), strings(&["2"])));
    assert_eq!(sim.releases_on(&third).await.0, ["2"]);
    let known = sim
        .coordinator()
        .store
        .results(None, 10, pybots::clock::now())
        .await
        .unwrap();
    let state = |sha: &str| {
        known
            .iter()
            .find(|cell| cell.revision == sha)
            .map(|cell| cell.state.name())
    };
    assert_eq!((state(&second), state(&third)), (Some("pass"), Some("fail")));
    let answers = sim.answers().await;
    assert!(
        answers
            .iter()
            .any(|told| told.contains("newer versions of its dependencies (dependency 1 -> 2)")),
        "{answers:?}"
    );
    // whoever looks at a later run, or at the project, reads it there
    let later = sim.commit("still the same", "dependency 2 a");
    assert_eq!(sim.settled().await.len(), 0);
    let run = sim.run_page(&later).await;
    let at = format!("Result of the investigation at <a href=\"/revision/{third}\">");
    assert!(run.contains(&at) && run.contains("(dependency 1 -&gt; 2)"), "{run}");
    let project = sim.page("/project/p").await;
    assert!(project.contains("(dependency 1 -&gt; 2)"), "{project}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_by_hand_takes_no_other_revisions_result() {
    let mut sim = Sim::new(&["p"], 1).await;
    let start = sim.commit("start", GOOD);
    sim.run().await;
    sim.settled().await;
    sim.stop();
    let untested = sim.commit("nobody tests it", GOOD);
    let newest = sim.commit("well", GOOD);
    sim.sees(&[newest.clone()].into()).await;
    sim.run().await;
    sim.done().await;
    let asked = ["bisect", "p", "--good", &untested, "--bad", &newest, "--on-hosts"];
    let output = sim.output(&asked).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("one of the two revisions has no result yet"),
        "{said}"
    );

    // with results at both ends, the answer says why there is nothing to search for
    let asked = [
        "bisect",
        "p",
        "--good",
        &start,
        "--bad",
        &newest,
        "--on-hosts",
        "--json",
    ];
    let output = sim.output(&asked).await;
    assert_eq!(output.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        found["reason"].as_str().unwrap().starts_with("both ends pass"),
        "{found}"
    );
    let end = |revision: &str| serde_json::json!({"revision": revision, "asked": revision, "outcome": "passed", "error": null});
    assert_eq!(found["ends"], serde_json::json!([end(&start), end(&newest)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_nobody_works_on_has_a_limit() {
    let mut sim = Sim::new(&["p"], 1).await;
    let good = sim.commit("start", GOOD);
    let bad = sim.commit("breaks", "fail a");
    sim.run().await;
    sim.settled().await;
    sim.stop();
    let asked = [
        "bisect",
        "p",
        "--good",
        &good,
        "--bad",
        &bad,
        "--on-hosts",
        "--wait",
        "1s",
    ];
    let output = sim.output(&asked).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("waited 1s, and there is no answer yet") && error.contains("pybots host list"),
        "{error}"
    );
}
