//! What runs, what waits, and when it will be done.

use crate::support::stores;
use crate::support::world::World;
use pybots::domain::id::HostId;
use pybots::domain::waiting::WaitReason;
use pybots::store::claims::Taker;

#[tokio::test]
async fn the_queue_says_when_it_is_done_and_what_nobody_does() {
    for database in stores().await {
        let (store, name, now) = (&database.store, database.name, pybots::clock::now());
        let world = World::on(name, store).await;
        let empty = store.queue_forecast(now).await.unwrap();
        assert_eq!((empty.running.len(), empty.groups.len(), empty.ends_at()), (0, 0, None));
        assert_eq!(store.backlog(now).await.unwrap().takes_ms, None);

        let built = world.revision("trunk", "aa", 1).await;
        world.build(&built).await;
        for (at, sha) in (2..5).zip(["bb", "cc", "dd"]) {
            let built = world.revision("trunk", sha, at).await;
            world.run("alpha", &built, at).await;
        }
        let other = world.revision("2.5", "ee", 5).await;
        world.run("beta", &other, 5).await;
        let sql =
            "UPDATE job_group SET expected_ms = CASE project WHEN 'alpha' THEN 60000 WHEN 'beta' THEN 10000 ELSE 0 END";
        sqlx::query(sql).execute(store.pool()).await.unwrap();

        // one host, which takes no job of the branch 2.5
        let (lab, _) = pybots::enrolment::add(store, "lab", "o@example.org", true, now)
            .await
            .unwrap();
        let mut capabilities = world.capabilities.clone();
        capabilities.slots = 2;
        capabilities.branches = Some(["trunk".to_owned()].into());
        store.saw_host(&lab, None, now).await.unwrap();
        store.save_capabilities(&lab, &capabilities).await.unwrap();
        let queue = store.queue_forecast(now).await.unwrap();
        let shown: Vec<(&str, i64, bool)> = queue
            .groups
            .iter()
            .map(|line| (line.group.project.as_str(), line.jobs, line.has_taker))
            .collect();
        assert_eq!(shown, [("beta", 1, false), ("", 1, true), ("alpha", 3, true)], "{name}");
        assert_eq!((queue.stuck(), queue.fleet.online, queue.fleet.slots), (1, 1, 2));
        assert!(
            matches!(queue.groups[0].reason, WaitReason::NoneFits { .. }),
            "{:?}",
            queue.groups[0].reason
        );
        // a build was never measured, and counts as the mean of 60 s and 10 s; of three jobs in two slots, one comes second
        let ends: Vec<Option<i64>> = queue.groups.iter().map(|line| Some(line.ends_at? - now)).collect();
        assert_eq!(ends, [None, None, Some(120_000)], "{name}");
        // the build may end later
        assert_eq!((queue.ends_at(), queue.may_end_later()), (Some(now + 120_000), true));
        assert!(!queue.may_have_more_stuck());
        // a job that waits for its next try ends after it at the earliest
        sqlx::query("UPDATE job SET not_before = $1 WHERE state = 'queued'")
            .bind(now + 900_000)
            .execute(store.pool())
            .await
            .unwrap();
        let later = store.queue_forecast(now).await.unwrap();
        assert_eq!(later.ends_at(), Some(now + 960_000), "{name}");
        sqlx::query("UPDATE job SET not_before = 1 WHERE state = 'queued'")
            .execute(store.pool())
            .await
            .unwrap();

        let backlog = store.backlog(now).await.unwrap();
        // five jobs of (3 * 60 + 10) / 4 s each, by two slots
        assert_eq!((backlog.queued, backlog.takes_ms), (5, Some(47_500 * 5 / 2)), "{name}");

        // a job in progress counts with what is left of it
        let taker = Taker {
            host: &lab.id,
            builds: false,
            pulls: false,
            most: None,
            capabilities: &capabilities,
        };
        sqlx::query("INSERT INTO image_on_host (host, image_id, seen_at) SELECT $1, id, 1 FROM image")
            .bind(&lab.id)
            .execute(store.pool())
            .await
            .unwrap();
        world.queue.announce();
        assert!(world.queue.claim(&taker, now).await.unwrap().is_some());
        let later = now + 20_000;
        let queue = store.queue_forecast(later).await.unwrap();
        assert_eq!(queue.running.len(), 1);
        let job = &queue.running[0];
        assert_eq!(job.host_name.as_deref(), Some("lab"));
        assert_eq!(
            (&job.host, job.ends_at()),
            (&HostId::from(lab.id.as_str()), Some(now + 60_000))
        );
        assert_eq!(job.attempt.project.as_deref(), Some("alpha"));
        assert_eq!(queue.groups.iter().map(|line| line.jobs).sum::<i64>(), 4);
    }
}
