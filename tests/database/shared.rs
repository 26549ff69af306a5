//! Specs and reports, whose parts many rows share.

use crate::support::stores;
use crate::support::world::World;
use pybots::domain::id::{HostId, JobId};
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::time::Timestamp;
use pybots::store::Store;

const NOW: Timestamp = Timestamp::from_millis(9);

async fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    query.fetch_one(store.pool()).await.unwrap()
}

fn report(outcome: Outcome, lock: &str) -> Report {
    Report {
        lock: Some(format!("a lock with \"quotes\", {{braces}} and ü: {lock}")),
        interpreter: Some("3.15.0a1+ (heads/main:0123456789)".to_owned()),
        images: [("cpython".to_owned(), "sha256:1".to_owned())].into(),
        modes: [("test: unit".to_owned(), "-X dev".to_owned())].into(),
        ..Report::of(outcome)
    }
}

#[tokio::test]
async fn parts_are_stored_once_and_read_back_as_a_whole() {
    for database in stores().await {
        let (name, store) = (database.name, &database.store);
        let world = World::on(name, store).await;
        let (old, new) = (
            world.revision("trunk", "aa", 1).await,
            world.revision("trunk", "bb", 2).await,
        );
        for built in [&old, &new] {
            world.run("one", built, 1).await;
            world.run("two", built, 1).await;
        }
        // the images of two revisions, and the recipes of two projects
        assert_eq!(count(store, "shared_json").await, 4, "{name}");
        let sql = "SELECT id FROM job WHERE run_id IS NOT NULL ORDER BY id";
        let jobs: Vec<JobId> = sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap();
        for job in &jobs {
            let spec = store.spec_of(job).await.unwrap().unwrap();
            let mut tx = store.begin().await.unwrap();
            assert_eq!(
                store.job(&mut tx, job).await.unwrap().unwrap().spec.unwrap(),
                spec,
                "{name}"
            );
        }
        let titles = jobs
            .iter()
            .map(async |job| store.spec_of(job).await.unwrap().unwrap().title());
        let mut all = Vec::new();
        for title in titles {
            all.push(title.await);
        }
        all.dedup();
        assert_eq!(all.len(), 4, "{name}: {all:?}");

        let reports = [
            report(Outcome::Passed, "first"),
            report(Outcome::Failed { exit_code: 3 }, "first"),
            report(Outcome::Passed, "second"),
            Report::of(Outcome::Infra { reason: "lost".into() }),
        ];
        for report in &reports {
            let mut tx = store.begin().await.unwrap();
            let host = HostId::from("h");
            let attempt = store.insert_attempt(&mut tx, &jobs[0], &host, NOW, NOW).await.unwrap();
            assert!(
                store
                    .end_attempt(&mut tx, &attempt.id, report, false, NOW)
                    .await
                    .unwrap()
            );
            tx.commit().await.unwrap();
            let read = store.attempt(&attempt.id).await.unwrap().unwrap();
            assert_eq!(read.report(), Some(report), "{name}");
        }
        let read = store.attempts_at(&jobs[0]).await.unwrap();
        assert!(
            read.iter().map(|attempt| attempt.report().unwrap()).eq(&reports),
            "{name}"
        );
        // one more for the images of all reports, and two for their locks
        assert_eq!(count(store, "shared_json").await, 4 + 3, "{name}");
        assert_eq!(store.wrong_cells(9).await.unwrap(), [""; 0], "{name}");
    }
}
