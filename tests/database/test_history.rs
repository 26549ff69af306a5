//! Which tests failed on each revision, and since when.

use super::web::sites;
use crate::support::world::World;
use pybots::domain::failing::TestResult;
use pybots::domain::id::{HostId, JobId, RevisionId, RunId};
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::results::{Failure, Summary};
use pybots::domain::time::Timestamp;
use pybots::store::Store;
use pybots::store::views::{Scope, TestSeries};

const NOW: Timestamp = Timestamp::from_millis(9);

const SERIES: TestSeries<'_> = TestSeries {
    project: "project",
    branch: "trunk",
    variant: "default",
    platform: None,
};

/// Ends the first attempt at a run. `failed` has the names of the failed tests, of which `more` are not named.
async fn end(store: &Store, run: &str, outcome: Outcome, failed: &[&str], more: usize, partial: bool) {
    let sql = "SELECT id FROM job WHERE run_id = $1";
    let query = sqlx::query_scalar(sql).bind(RunId::from(run));
    let job: JobId = query.fetch_one(store.pool()).await.unwrap();
    let report = Report {
        summary: Some(Summary {
            passed: 1,
            failed: failed.len() + more,
            partial,
            failures: failed.iter().map(|test| Failure::of(test, "boom")).collect(),
            ..Summary::default()
        }),
        ..Report::of(outcome)
    };
    let mut tx = store.begin().await.unwrap();
    let host = HostId::from("h");
    let attempt = store.insert_attempt(&mut tx, &job, &host, NOW, NOW).await.unwrap();
    assert!(
        store
            .end_attempt(&mut tx, &attempt.id, &report, false, NOW)
            .await
            .unwrap()
    );
    sqlx::query("UPDATE job SET state = 'finished' WHERE id = $1")
        .bind(&job)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn each_result_says_which_tests_failed() {
    for site in sites().await {
        let (store, database) = (&site.sample.store, &site.database);
        let world = World::on(database.name, store).await;
        site.sample.projects(&["project"]).await;
        let failed = || Outcome::Failed { exit_code: 1 };
        let infra = Outcome::Infra { reason: "lost".into() };
        let ends: [(&str, Outcome, &[&str], usize); 6] = [
            ("aa", Outcome::Passed, &[], 0),
            ("bb", failed(), &["u: a", "u: b"], 0),
            ("cc", infra, &["u: a"], 0),
            ("dd", failed(), &["u: a", "u: b"], 0),
            ("ee", failed(), &["u: a", "u: c"], 0),
            ("ff", failed(), &["u: a"], 200),
        ];
        let (mut revisions, mut runs) = (Vec::new(), Vec::new());
        for (at, (sha, outcome, tests, more)) in (1..).zip(ends) {
            let built = world.revision("trunk", sha, at).await;
            let run = world.run("project", &built, at).await;
            end(store, &run, outcome, tests, more, false).await;
            revisions.push(RevisionId::from(built.revision.as_str()));
            runs.push(run);
        }
        let history = store.test_history(SERIES, None, 10).await.unwrap();
        let of = |test: &str| history.iter().map(|result| result.failing.of(test)).collect::<Vec<_>>();
        use TestResult::{DidNotFail, Failed, Unknown};
        assert_eq!(
            of("u: a"),
            [Failed, Failed, Failed, Unknown, Failed, DidNotFail],
            "{}",
            database.name
        );
        // of the newest, two hundred failures are not named
        assert_eq!(
            of("u: c"),
            [Unknown, Failed, DidNotFail, Unknown, DidNotFail, DidNotFail]
        );
        // the same tests are one row
        let sets: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM failing_tests")
            .fetch_one(store.pool())
            .await
            .unwrap();
        assert_eq!(sets, 3);
        assert_eq!(store.wrong_cells(9).await.unwrap(), [""; 0]);

        let from = store.test_history(SERIES, Some(&revisions[3]), 2).await.unwrap();
        let shas: Vec<&str> = from.iter().map(|result| result.result.sha.as_str()).collect();
        assert_eq!(shas, ["dd000000", "cc000000"]);
        let elsewhere = TestSeries {
            branch: "2.5",
            ..SERIES
        };
        assert!(store.test_history(elsewhere, None, 10).await.unwrap().is_empty());

        // as many tests fail at `ee` as at `dd`, with the same first error, but others
        let matrix = store.matrix(&Scope::All, 9, None).await.unwrap();
        let same: Vec<Option<bool>> = (0..6).map(|row| matrix.is_same(row, 0)).collect();
        assert_eq!(same, [Some(false), Some(false), Some(true), None, Some(false), None]);

        // at `ee`, a new test fails and another one goes on
        let page = site.page(&format!("/run/{}", runs[4])).await;
        let link = |words: &str, sha: &str| format!("{words} <a href=\"/revision/{sha}000000\">");
        assert!(page.contains(&link("seen failing since", "bb")), "{page}");
        assert!(page.contains(&link("first seen failing at", "ee")), "{page}");
        // what the run of another revision says is nothing that this one says
        let page = site.page(&format!("/run/{}", runs[2])).await;
        assert!(
            page.contains("/project/project/tests?branch") && !page.contains("seen failing"),
            "{page}"
        );

        // a suite that broke off says nothing about the tests that it has not reported
        let built = world.revision("trunk", "99", 7).await;
        let run = world.run("project", &built, 7).await;
        end(store, &run, failed(), &["u: d"], 0, true).await;
        let newest = store.test_history(SERIES, None, 1).await.unwrap();
        assert_eq!(
            (newest[0].failing.of("u: d"), newest[0].failing.of("u: a")),
            (Failed, Unknown)
        );

        let page = site.page("/project/project/tests").await;
        assert!(page.contains("at least 1 test failed at 99000000"), "{page}");
        assert!(page.contains(&link("first seen failing at", "99")), "{page}");
        let page = site.page("/project/project/tests?branch=trunk&test=u%3A+b").await;
        assert!(page.contains("it failed in 2 of the 4 results"), "{page}");
        assert_eq!(page.matches("unclear").count(), 3, "{page}");
        let page = site
            .page("/project/project/tests?test=nosuch&variant=<b>odd&branch=2.5")
            .await;
        assert!(
            page.contains("no result here says anything") && !page.contains("odd"),
            "{page}"
        );
        for path in ["/project/nosuch/tests", "/project/project/tests?branch=nosuch"] {
            assert_eq!(site.get(path).await.status(), 404, "{path}");
        }
        let page = site.page("/project/project").await;
        assert!(
            page.contains("Tests and durations") && page.contains("On trunk"),
            "{page}"
        );
    }
}
