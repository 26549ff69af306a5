//! The cell of a run, which is written with each attempt that ends.

use crate::support::stores;
use crate::support::world::World;
use pybots::domain::id::{AttemptId, HostId, JobId, RunId};
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::time::Timestamp;
use pybots::store::Store;
use pybots::store::views::Scope;
use pybots::verdict::Cell;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(9);

async fn job_of(store: &Store, run: &str) -> JobId {
    let sql = "SELECT id FROM job WHERE run_id = $1 ORDER BY id DESC LIMIT 1";
    sqlx::query_scalar(sql)
        .bind(RunId::from(run))
        .fetch_one(store.pool())
        .await
        .unwrap()
}

async fn attempt(store: &Store, job: &JobId) -> AttemptId {
    let mut tx = store.begin().await.unwrap();
    let attempt = store
        .insert_attempt(&mut tx, job, &HostId::from("h"), NOW, NOW)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    attempt.id
}

async fn state(store: &Store) -> (Cell, usize) {
    let matrix = store.matrix(&Scope::All, 9, None).await.unwrap();
    let cell = matrix.rows[0].cells[0].as_ref().unwrap();
    (cell.state, cell.attempts)
}

/// Two hosts report at once about one run.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_end_together_are_both_in_the_cell() {
    for database in stores().await {
        let store = &database.store;
        let world = World::on(database.name, store).await;
        let built = world.revision("trunk", "aa", 1).await;
        let run = world.run("project", &built, 1).await;
        let first = job_of(store, &run).await;
        let passed = attempt(store, &first).await;
        let copy = "INSERT INTO job (id, kind, run_id, state, priority, not_before, created_at, spec)
                    SELECT 'z', kind, run_id, 'finished', priority, not_before, created_at, spec FROM job WHERE id = $1";
        sqlx::query(copy).bind(&first).execute(store.pool()).await.unwrap();
        let failed = attempt(store, &JobId::from("z")).await;

        let mut tx = store.begin().await.unwrap();
        let report = Report::of(Outcome::Passed);
        assert!(store.end_attempt(&mut tx, &passed, &report, false, NOW).await.unwrap());
        let other = tokio::spawn({
            let store = store.clone();
            async move {
                let mut tx = store.begin().await.unwrap();
                let report = Report::of(Outcome::Failed { exit_code: 1 });
                assert!(store.end_attempt(&mut tx, &failed, &report, false, NOW).await.unwrap());
                tx.commit().await.unwrap();
            }
        });
        // by then the other transaction waits for this one
        tokio::time::sleep(Duration::from_millis(300)).await;
        tx.commit().await.unwrap();
        other.await.unwrap();
        assert_eq!(state(store).await, (Cell::Flaky, 2), "{}", database.name);
        assert_eq!(store.wrong_cells(9).await.unwrap(), [""; 0], "{}", database.name);
    }
}

/// A program of the version before ends attempts without writing a cell: the next start computes it.
#[tokio::test]
async fn cells_that_another_version_left_out_are_computed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("db.sqlite").display());
    let store = Store::open(&url).await.unwrap();
    let world = World::on("sqlite", &store).await;
    let built = world.revision("trunk", "aa", 1).await;
    let run = world.run("project", &built, 1).await;
    let job = job_of(&store, &run).await;
    let ended = attempt(&store, &job).await;
    let mut tx = store.begin().await.unwrap();
    let report = Report::of(Outcome::Passed);
    store.end_attempt(&mut tx, &ended, &report, false, NOW).await.unwrap();
    store.reevaluate_run(&mut tx, &RunId::from(run.as_str())).await.unwrap();
    tx.commit().await.unwrap();
    for left_out in [
        "cell_ended = 0, cell_attempts = 0",
        "cell_ended = NULL, cell_attempts = NULL",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE run SET {left_out}, cell_state = NULL"));
        sqlx::query(sql).execute(store.pool()).await.unwrap();
        assert_eq!(state(&store).await, (Cell::Pending, 0));
        let again = Store::open(&url).await.unwrap();
        assert_eq!(state(&again).await, (Cell::Pass, 1), "{left_out}");
    }
}

/// A host that was given up reports after all: its run has ended twice, and has one attempt.
#[tokio::test]
async fn a_cell_is_up_to_date_after_a_lost_host_has_come_back() {
    for database in stores().await {
        let store = &database.store;
        let world = World::on(database.name, store).await;
        let built = world.revision("trunk", "aa", 1).await;
        let run = world.run("project", &built, 1).await;
        let job = job_of(store, &run).await;
        let id = attempt(store, &job).await;
        let end = async |outcome: Outcome, lost: bool| {
            let mut tx = store.begin().await.unwrap();
            let report = Report::of(outcome);
            assert!(store.end_attempt(&mut tx, &id, &report, lost, NOW).await.unwrap());
            store.reevaluate_run(&mut tx, &RunId::from(run.as_str())).await.unwrap();
            tx.commit().await.unwrap();
        };
        let reason = "silent".to_owned();
        end(Outcome::Infra { reason }, true).await;
        let lost = store.attempt(&id).await.unwrap().unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(store.regain_attempt(&mut tx, &lost, NOW).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(state(store).await, (Cell::Pending, 0), "{}", database.name);
        end(Outcome::Passed, false).await;
        assert_eq!(state(store).await, (Cell::Pass, 1), "{}", database.name);
        let stale = "SELECT COUNT(*) FROM run WHERE cell_ended IS NULL OR cell_ended < ended";
        let stale: i64 = sqlx::query_scalar(stale).fetch_one(store.pool()).await.unwrap();
        assert_eq!(stale, 0, "{}", database.name);
    }
}
