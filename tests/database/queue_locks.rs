//! Transactions of the queue that wait for each other's rows. SQLite has one writer at a time, so these tests need
//! PostgreSQL.

use crate::support::world::World;
use pybots::domain::id::HostId;
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::time::Timestamp;
use pybots::protocol::{Claim, Receipt};
use pybots::queue::Requested;
use pybots::store::Tx;
use pybots::store::claims::Taker;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(10_000_000);

/// By then, whatever waits for a lock waits for it. PostgreSQL looks for deadlocks after a second.
const WAITING: Duration = Duration::from_millis(300);

async fn worlds() -> Vec<(World, crate::support::TestStore)> {
    let mut worlds = Vec::new();
    for test in crate::support::stores().await {
        if test.name == "postgres" {
            worlds.push((World::on(test.name, &test.store).await, test));
        }
    }
    worlds
}

async fn claim(world: &World, host: &str) -> Option<Claim> {
    let taker = Taker {
        host: &HostId::from(host),
        builds: true,
        pulls: false,
        most: None,
        capabilities: &world.capabilities,
    };
    world.queue.claim(&taker, NOW).await.unwrap()
}

async fn execute(tx: &mut Tx, sql: &'static str) {
    sqlx::query(sql).execute(&mut **tx).await.unwrap();
}

#[tokio::test]
async fn a_report_that_meets_a_deadlock_is_counted() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        world.queue.announce();
        let claim = claim(&world, "h").await.unwrap();
        let mut other = world.store.begin().await.unwrap();
        // only the transaction that ends the attempt looks for a deadlock
        execute(&mut other, "SET LOCAL deadlock_timeout = '1min'").await;
        execute(&mut other, "UPDATE job_group SET expected_ms = 7").await;
        let report = Report::of(Outcome::Passed);
        let finish = world.queue.finish(&claim.attempt, &claim.fence, &report, NOW);
        let crossing = async {
            tokio::time::sleep(WAITING).await;
            execute(&mut other, "UPDATE run SET evaluated_at = NULL").await;
            other.commit().await.unwrap();
        };
        let (finished, ()) = tokio::join!(finish, crossing);
        assert_eq!(finished.unwrap(), Ok(Receipt::Counted));
        assert_eq!(world.store.open_jobs().await.unwrap(), (0, 0));
        assert_eq!(world.store.wrong_cells(9).await.unwrap(), [""; 0]);
    }
}

#[tokio::test]
async fn claims_that_meet_a_deadlock_start_again() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let mut other = world.store.begin().await.unwrap();
        execute(&mut other, "SET LOCAL deadlock_timeout = '1min'").await;
        execute(&mut other, "UPDATE job_group SET expected_ms = 7").await;
        world.queue.announce();
        let crossing = async {
            tokio::time::sleep(WAITING).await;
            execute(&mut other, "UPDATE job SET crossed = 0").await;
            other.commit().await.unwrap();
        };
        let (claimed, ()) = tokio::join!(claim(&world, "h"), crossing);
        assert_eq!(claimed.unwrap().number, 1);
        assert_eq!(world.store.open_jobs().await.unwrap(), (0, 1));
    }
}

/// Ending an attempt locks a job before its group, too.
#[tokio::test]
async fn claims_that_wait_for_a_job_lock_no_group() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let run = world.run("q", &revision, 1).await;
        let mut other = world.store.begin().await.unwrap();
        sqlx::query("UPDATE job SET crossed = 0 WHERE run_id = $1")
            .bind(&run)
            .execute(&mut *other)
            .await
            .unwrap();
        world.queue.announce();
        let meanwhile = async {
            tokio::time::sleep(WAITING).await;
            execute(&mut other, "SELECT id FROM job_group FOR UPDATE NOWAIT").await;
            other.commit().await.unwrap();
        };
        let (one, another, ()) = tokio::join!(claim(&world, "g"), claim(&world, "h"), meanwhile);
        assert_ne!(one.unwrap().attempt, another.unwrap().attempt);
        let rounds = "SELECT COUNT(*) FROM job_group WHERE round = 1";
        let rounds: i64 = sqlx::query_scalar(rounds).fetch_one(world.store.pool()).await.unwrap();
        assert_eq!(rounds, 2);
    }
}

#[tokio::test]
async fn a_cancellation_that_waits_for_a_run_locks_no_job() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        let run = world.run("p", &revision, 1).await;
        let mut other = world.store.begin().await.unwrap();
        execute(&mut other, "UPDATE run SET evaluated_at = NULL").await;
        let meanwhile = async {
            tokio::time::sleep(WAITING).await;
            execute(&mut other, "SELECT id FROM job FOR UPDATE NOWAIT").await;
            other.commit().await.unwrap();
        };
        let (cancelled, ()) = tokio::join!(world.queue.cancel(&run, NOW), meanwhile);
        assert_eq!(cancelled.unwrap(), Some(Requested::Done));
    }
}
