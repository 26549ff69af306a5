//! Which tests failed on each revision, and since when.

use crate::support::stores;
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
async fn end(store: &Store, run: &str, outcome: Outcome, failed: &[&str], more: usize) {
    let sql = "SELECT id FROM job WHERE run_id = $1";
    let query = sqlx::query_scalar(sql).bind(RunId::from(run));
    let job: JobId = query.fetch_one(store.pool()).await.unwrap();
    let report = Report {
        summary: Some(Summary {
            passed: 1,
            failed: failed.len() + more,
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
    for database in stores().await {
        let store = &database.store;
        let world = World::on(database.name, store).await;
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
        let mut revisions = Vec::new();
        for (at, (sha, outcome, tests, more)) in (1..).zip(ends) {
            let built = world.revision("trunk", sha, at).await;
            let run = world.run("project", &built, at).await;
            end(store, &run, outcome, tests, more).await;
            revisions.push(RevisionId::from(built.revision.as_str()));
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
    }
}
