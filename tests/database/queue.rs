//! Whose turn it is, what a maintainer requests, and hosts that fail: on every database that is there.

use crate::support::world::{PLATFORM, World};
use pybots::domain::host::HostState;
use pybots::domain::id::HostId;
use pybots::domain::id::{ImageId, RevisionId};
use pybots::domain::job::{JobSpec, Report};
use pybots::domain::outcome::Outcome;
use pybots::domain::time::Timestamp;
use pybots::domain::trust::{Maintained, Trust};
use pybots::enrolment;
use pybots::protocol::{Claim, Receipt};
use pybots::queue::{LEASE_MS, Queue, Requested};
use pybots::store::claims::Taker;

async fn worlds() -> Vec<(World, crate::support::TestStore)> {
    let mut worlds = Vec::new();
    for test in crate::support::stores().await {
        worlds.push((World::on(test.name, &test.store).await, test));
    }
    worlds
}

/// What a test does with it.
trait Hosts {
    async fn take(&self, host: &str, now: Timestamp) -> Option<Claim>;
    async fn order(&self, host: &str, now: Timestamp) -> Vec<String>;
    async fn end(&self, claim: &Claim, outcome: Outcome, now: Timestamp) -> Receipt;
}

impl Hosts for World {
    /// As after the coordinator's beat.
    async fn take(&self, host: &str, now: Timestamp) -> Option<Claim> {
        let taker = Taker {
            host: &HostId::from(host),
            builds: true,
            pulls: false,
            most: None,
            capabilities: &self.capabilities,
        };
        self.queue.announce();
        self.queue.claim(&taker, now).await.unwrap()
    }

    /// Which project on which revision a host gets, again and again, as long as there is something.
    async fn order(&self, host: &str, now: Timestamp) -> Vec<String> {
        let mut order = Vec::new();
        while let Some(claim) = self.take(host, now).await {
            order.push(title(&claim));
        }
        order
    }

    async fn end(&self, claim: &Claim, outcome: Outcome, now: Timestamp) -> Receipt {
        let report = Report::of(outcome);
        let ended = self.queue.finish(&claim.attempt, &claim.fence, &report, now).await;
        ended.unwrap().unwrap()
    }
}

fn title(claim: &Claim) -> String {
    match &claim.spec {
        JobSpec::Run(run) => format!("{} {}", run.project, run.image.build.revision.trim_end_matches('0')),
        JobSpec::Image(build) => format!("image {}", build.revision),
    }
}

fn infra() -> Outcome {
    Outcome::Infra { reason: "gone".into() }
}

/// Long after all that was queued is due.
const NOW: Timestamp = Timestamp::from_millis(10_000_000);

#[tokio::test]
async fn the_newest_goes_first_and_older_ones_take_turns() {
    for (world, _kept) in worlds().await {
        let old = world.revision("trunk", "d1", 100).await;
        let older = world.revision("2.5", "25aa", 50).await;
        let new = world.revision("trunk", "d2", 200).await;
        for (at, revision) in [(100, &old), (200, &new)] {
            world.run("alpha", revision, at).await;
        }
        world.run("beta", &old, 100).await;
        world.run("alpha", &older, 50).await;
        // what is newest on its branch, for each project; then what is left
        let order = world.order("h", NOW).await;
        let (fresh, rest) = order.split_at(3);
        let mut fresh = fresh.to_vec();
        fresh.sort();
        assert_eq!(fresh, ["alpha 25aa", "alpha d2", "beta d1"], "{}", world.name);
        assert_eq!(rest, ["alpha d1"], "{}", world.name);
    }
}

/// Reruns have high priorities, and an investigation may ask for any number of them.
#[tokio::test]
async fn the_image_of_a_new_revision_waits_for_no_rerun_of_an_investigation() {
    for (world, _kept) in worlds().await {
        let seen = world.revision("trunk", "aa", 1).await;
        for project in ["one", "two", "three", "four", "five"] {
            let run = world.run(project, &seen, 1).await;
            let claim = world.take("h", NOW).await.unwrap();
            world.end(&claim, Outcome::Failed { exit_code: 1 }, NOW).await;
            world.rerun(&run, &seen).await;
        }
        // the builds of two older revisions, one of which an investigation asks for
        let old = world.revision("trunk", "bb", 2).await;
        let wanted = world.revision("trunk", "cc", 3).await;
        let tip = world.revision("trunk", "dd", 4).await;
        for (at, built) in [(4, &tip), (2, &old), (3, &wanted)] {
            world.build_at(built, at).await;
        }
        for hastened in [&wanted, &tip] {
            let revision = RevisionId::from(hastened.revision.as_str());
            let done = world.store.hasten_build(&revision, "default", PLATFORM, NOW).await;
            done.unwrap();
        }
        world.run("one", &tip, 4).await;
        let order = world.order("h", NOW).await;
        assert_eq!(order[..2], ["one dd", "image dd000000"], "{}: {order:?}", world.name);
        assert_eq!(order[order.len() - 1], "image bb000000", "{}", world.name);
        let at = order.iter().position(|title| title == "image cc000000");
        assert!(at.is_some_and(|at| at < order.len() - 1), "it takes turns: {order:?}");
    }
}

#[tokio::test]
async fn a_project_with_many_old_runs_keeps_nobody_waiting() {
    for (world, _kept) in worlds().await {
        let mut revisions = Vec::new();
        for at in 1..=6 {
            revisions.push(world.revision("trunk", &format!("c{at}"), at).await);
        }
        for (at, revision) in (1..).zip(&revisions) {
            world.run("many", revision, at).await;
        }
        // its newest has run, and half of the old ones had their turn, before the other one comes
        for _ in 0..3 {
            world.take("h", NOW).await.unwrap();
        }
        for (at, revision) in (1..).zip(&revisions).take(2) {
            world.run("few", revision, at).await;
        }
        let order = world.order("h", NOW).await;
        assert_eq!(
            order,
            ["few c2", "many c3", "many c2", "few c1", "many c1"],
            "{}",
            world.name
        );
    }
}

#[tokio::test]
async fn of_equals_the_longest_goes_first_and_before_it_what_the_host_holds() {
    for (world, _kept) in worlds().await {
        let first = world.revision("trunk", "aa", 1).await;
        for (project, took) in [("short", 1_000), ("long", 90_000)] {
            world.run(project, &first, 1).await;
            let claim = world.take("h", NOW).await.unwrap();
            world.end(&claim, Outcome::Passed, NOW + took).await;
        }
        let second = world.revision("trunk", "bb", 2).await;
        world.run("short", &second, 2).await;
        world.run("long", &second, 2).await;
        assert_eq!(
            world.order("other", NOW).await,
            ["long bb", "short bb"],
            "{}",
            world.name
        );

        // h holds the image of `aa`, for it has passed there: it is asked before all others
        let now = NOW + NOW.as_millis();
        let third = world.revision("trunk", "cc", 3).await;
        let run = world.run("long", &third, 3).await;
        world.queue.cancel(&run, now).await.unwrap();
        world.queue.rerun(&run, now).await.unwrap();
        let mut tx = world.store.begin().await.unwrap();
        world
            .store
            .holds(&mut tx, &HostId::from("h"), &ImageId::from(third.image.as_str()), now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(world.take("other", now + 100).await.is_none(), "{}", world.name);
        assert_eq!(title(&world.take("h", now + 100).await.unwrap()), "long cc");
        world.run("short", &third, 3).await;
        assert!(
            world.take("other", now + 600).await.is_some(),
            "nobody waits long for a better host"
        );
    }
}

#[tokio::test]
async fn a_host_gets_what_its_owner_lets_in() {
    for (mut world, _kept) in worlds().await {
        let trunk = world.revision("trunk", "aa", 1).await;
        let old = world.revision("2.5", "bb", 1).await;
        for revision in [&trunk, &old] {
            for project in ["a", "a-b", "ab"] {
                world.run(project, revision, 1).await;
            }
        }
        let only = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        world.capabilities.projects = only(&["a-b"]);
        world.capabilities.branches = only(&["2.5"]);
        assert_eq!(world.order("h", NOW).await, ["a-b bb"], "{}", world.name);
        world.capabilities.projects = only(&[]);
        world.capabilities.branches = None;
        assert!(world.take("h", NOW).await.is_none(), "{}", world.name);
        world.capabilities.projects = None;
        world.capabilities.memory_mib = Some(1024);
        assert!(world.take("h", NOW).await.is_none(), "{}", world.name);
        world.capabilities.memory_mib = Some(2048);
        world.capabilities.platform = "linux/arm64".into();
        assert!(world.take("h", NOW).await.is_none(), "{}", world.name);
        world.capabilities.platform = PLATFORM.into();
        assert_eq!(world.order("h", NOW).await.len(), 5, "{}", world.name);
    }
}

#[tokio::test]
async fn what_a_host_failed_goes_to_another_first() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let claim = world.take("bad", NOW).await.unwrap();
        world.end(&claim, infra(), NOW).await;
        // nobody else is there
        let due = NOW + 6_000;
        let claim = world.take("bad", due).await.unwrap();
        let (_, token) = enrolment::add(&world.store, "good", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let digest = enrolment::Token::digest(token.secret());
        let good = world.store.host_of_token(&digest).await.unwrap().unwrap();
        world.store.saw_host(&good, None, due).await.unwrap();
        world.end(&claim, infra(), due).await;
        let due = due + 61_000;
        assert!(world.take("bad", due).await.is_none(), "{}", world.name);
        assert!(world.take(good.id.as_str(), due).await.is_some(), "{}", world.name);
    }
}

#[tokio::test]
async fn a_host_that_comes_back_in_time_goes_on() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        for project in ["renews", "ends"] {
            world.run(project, &revision, 1).await;
        }
        let one = world.take("h", NOW).await.unwrap();
        let other = world.take("h", NOW).await.unwrap();
        let late = NOW + LEASE_MS + 1;
        assert_eq!(world.queue.expire(late).await.unwrap(), 2);
        // nobody was given the jobs: one is renewed, the other's result counts
        let lost = world.store.attempt(&one.attempt).await.unwrap().unwrap();
        world.queue.renew(&lost, &one.fence, late).await.unwrap().unwrap();
        assert_eq!(
            world.end(&other, Outcome::Passed, late).await,
            Receipt::Counted,
            "{}",
            world.name
        );
        assert!(world.take("h2", late + 600_000).await.is_none(), "{}", world.name);
        assert_eq!(world.end(&one, Outcome::Passed, late).await, Receipt::Counted);
        assert!(world.store.ahead().await.unwrap().nothing() || world.store.open_jobs().await.unwrap() == (0, 0));
    }
}

#[tokio::test]
async fn what_is_handed_back_or_cancelled_costs_no_try() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        let run = world.run("p", &revision, 1).await;
        let mut now = NOW;
        for host in ["a", "b", "c", "d", "e"] {
            let claim = world.take(host, now).await.unwrap();
            let report = Report::handed_back();
            let taken = world.queue.finish(&claim.attempt, &claim.fence, &report, now).await;
            assert_eq!(taken.unwrap(), Ok(Receipt::Counted), "{}", world.name);
            // nobody else is there: not at once again
            assert!(world.take(host, now + 1_000).await.is_none(), "{}", world.name);
            now = now + 6_000;
        }
        // one that waits
        assert_eq!(world.queue.cancel(&run, now).await.unwrap(), Some(Requested::Done));
        assert!(world.take("h", now).await.is_none());
        assert_eq!(world.queue.cancel(&run, now).await.unwrap(), Some(Requested::Needless));
        assert_eq!(world.queue.rerun(&run, now).await.unwrap(), Some(Requested::Done));
        let later = now + 1_000;
        // one in work: its host is told, and whatever comes of it, it begins again
        let claim = world.take("h", later).await.unwrap();
        assert_eq!(world.queue.rerun(&run, later).await.unwrap(), Some(Requested::Pending));
        let told = world.queue.unwanted();
        world.queue.look_for_requests().await.unwrap();
        assert!(told.borrow().contains(&claim.attempt), "{}", world.name);
        world.end(&claim, Outcome::Cancelled, later - 500).await;
        let claim = world.take("h", later).await.unwrap();
        // a host that is lost while it is to cancel has cancelled
        world.queue.cancel(&run, later).await.unwrap();
        assert_eq!(world.queue.expire(later + LEASE_MS + 1).await.unwrap(), 1);
        let ended = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(ended.outcome.as_deref(), Some("cancelled"), "{}", world.name);
        assert!(world.take("h", now + 600_000).await.is_none());
        assert_eq!(world.queue.cancel("nothing", now).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_attempt_that_ends_during_the_evaluation_is_evaluated_too() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        let run = world.run("p", &revision, 1).await;
        let claim = world.take("h", NOW).await.unwrap();
        world.end(&claim, Outcome::Passed, NOW).await;
        let read = world.store.unevaluated(10).await.unwrap();
        assert_eq!(read.len(), 1, "{}", world.name);
        // the run is repeated, and has failed, before the evaluation of its first attempt is over
        world.queue.rerun(&run, NOW).await.unwrap();
        let claim = world.take("h", NOW + 1_000).await.unwrap();
        world.end(&claim, Outcome::Failed { exit_code: 1 }, NOW + 1_000).await;
        world.store.mark_evaluated(&read[0], true, NOW + 2_000).await.unwrap();
        let again = world.store.unevaluated(10).await.unwrap();
        assert_eq!(again.len(), 1, "{}", world.name);
        world.store.mark_evaluated(&again[0], true, NOW + 3_000).await.unwrap();
        assert_eq!(world.store.unevaluated(10).await.unwrap(), [], "{}", world.name);
    }
}

#[tokio::test]
async fn a_host_whose_machinery_fails_rests_and_is_tried_with_one_job() {
    for (world, _kept) in worlds().await {
        let (host, _) = enrolment::add(&world.store, "bad", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let (well, _) = enrolment::add(&world.store, "well", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let revision = world.revision("trunk", "aa", 1).await;
        for project in 0..20 {
            world.run(&format!("p{project}"), &revision, 1).await;
        }
        let row = async || world.store.host("bad").await.unwrap().unwrap();
        for consecutive_failures in 1..=3 {
            let claim = world.take(host.id.as_str(), NOW).await.unwrap();
            world.end(&claim, infra(), NOW).await;
            assert_eq!(row().await.consecutive_failures, consecutive_failures, "{}", world.name);
        }
        assert_eq!(row().await.backoff_until, Some(NOW + 10_000));
        // on trial: it rests longer, and the job loses no try
        let claim = world.take(host.id.as_str(), NOW + 10_000).await.unwrap();
        world.end(&claim, infra(), NOW + 10_000).await;
        assert_eq!(row().await.backoff_until, Some(NOW + 30_000));
        let tries = sqlx::query_scalar("SELECT infra_attempts FROM job ORDER BY id");
        let tries: Vec<i64> = tries.fetch_all(world.store.pool()).await.unwrap();
        assert_eq!(tries.iter().sum::<i64>(), 3, "{}: {tries:?}", world.name);
        // where others do well, rest ends with a person
        let claim = world.take(well.id.as_str(), NOW + 10_000).await.unwrap();
        world.end(&claim, Outcome::Passed, NOW + 10_001).await;
        for _ in 0..11 {
            let claim = world.take(host.id.as_str(), NOW + 20_000).await.unwrap();
            world.end(&claim, infra(), NOW + 20_000).await;
        }
        assert_eq!(row().await.state, HostState::Quarantined, "{}", world.name);
        enrolment::bring(&world.store, "bad", HostState::Active).await.unwrap();
        let row = row().await;
        assert_eq!(
            (row.consecutive_failures, row.backoff_until),
            (0, None),
            "{}",
            world.name
        );
        // what ends well is the end of all consecutive_failures
        let claim = world.take(host.id.as_str(), NOW + 90_000).await.unwrap();
        world.end(&claim, infra(), NOW + 90_000).await;
        let claim = world.take(host.id.as_str(), NOW + 90_000).await.unwrap();
        world.end(&claim, Outcome::Failed { exit_code: 1 }, NOW + 90_000).await;
        assert_eq!(
            world.store.host("bad").await.unwrap().unwrap().consecutive_failures,
            0,
            "{}",
            world.name
        );
    }
}

/// A stranger can register any number of recipes, each with a source of its own.
#[tokio::test]
async fn recipes_of_one_stranger_put_no_host_to_rest() {
    for (mut world, _kept) in worlds().await {
        let trust = Trust {
            maintained: Maintained::These(["ours".to_owned()].into()),
            probation: 1,
            owners: [("a".to_owned(), "alice".to_owned())].into(),
        };
        world.queue = Queue::with_trust(world.store.clone(), trust);
        let (host, _) = enrolment::add(&world.store, "one", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let revision = world.revision("trunk", "aa", 1).await;
        // of each project: how many strikes the host has after its failure
        for (project, strikes) in [("x", 1), ("y", 1), ("z", 1), ("w", 1), ("a", 3), ("ours", 5)] {
            world.run(project, &revision, 1).await;
            let claim = world.take(host.id.as_str(), NOW).await.unwrap();
            world.end(&claim, infra(), NOW).await;
            let row = world.store.host("one").await.unwrap().unwrap();
            assert_eq!(row.consecutive_failures, strikes, "{}: {project}", world.name);
            assert_eq!(row.backoff_until.is_some(), strikes >= 3, "{}: {project}", world.name);
        }
    }
}

#[tokio::test]
async fn a_bad_project_puts_no_host_to_rest() {
    for (world, _kept) in worlds().await {
        let (host, _) = enrolment::add(&world.store, "one", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let mut now = NOW;
        for number in 0..8 {
            let revision = world.revision("trunk", &format!("a{number}"), 1).await;
            world.run("bad", &revision, 1).await;
            let claim = world.take(host.id.as_str(), now).await.unwrap();
            world.end(&claim, infra(), now).await;
            now = now + 1_000;
        }
        let row = world.store.host("one").await.unwrap().unwrap();
        assert_eq!(row.backoff_until, None, "{}", world.name);
        // its jobs end, although no host ever rests for them
        for _ in 0..16 {
            now = now + 120_000;
            while let Some(claim) = world.take(host.id.as_str(), now).await {
                world.end(&claim, infra(), now).await;
            }
        }
        assert_eq!(world.store.open_jobs().await.unwrap(), (0, 0), "{}", world.name);
        // an unrelated project that fails too is a reason to rest
        let revision = world.revision("trunk", "bb", 1).await;
        world.run("other", &revision, 1).await;
        let claim = world.take(host.id.as_str(), now).await.unwrap();
        world.end(&claim, infra(), now).await;
        let row = world.store.host("one").await.unwrap().unwrap();
        assert_eq!(row.backoff_until, Some(now + 10_000), "{}", world.name);
    }
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_tried_later_and_is_no_strike() {
    for (mut world, _kept) in worlds().await {
        let (host, _) = enrolment::add(&world.store, "one", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let host = host.id.as_str();
        let address = "https://user:secret@example.org/p.git";
        let unreachable = |address: &str| Report {
            unreachable: Some(address.into()),
            ..Report::of(infra())
        };
        world.source = Some(address.into());
        // several projects, whose server is away
        let mut now = NOW;
        for (project, sha) in [("a", "a1"), ("b", "b1"), ("c", "c1"), ("d", "d1")] {
            let revision = world.revision("trunk", sha, 1).await;
            world.run(project, &revision, 1).await;
        }
        for _ in 0..4 {
            let claim = world.take(host, now).await.unwrap();
            let report = unreachable(address);
            let finished = world.queue.finish(&claim.attempt, &claim.fence, &report, now);
            assert_eq!(finished.await.unwrap(), Ok(Receipt::Counted), "{}", world.name);
        }
        let row = async || world.store.host("one").await.unwrap().unwrap();
        assert_eq!((row().await.consecutive_failures, row().await.backoff_until), (0, None));
        let stored: Vec<(String, i64)> = sqlx::query_as("SELECT address, failures FROM unreachable_source")
            .fetch_all(world.store.pool())
            .await
            .unwrap();
        assert_eq!(stored, [("https://example.org/p.git".to_owned(), 1)], "{}", world.name);
        // pages and commands say what the jobs wait for
        let waiting = world.store.waiting_jobs().await.unwrap();
        assert_eq!(waiting.len(), 4, "{}", world.name);
        for (waiting, _) in waiting {
            assert_eq!(
                waiting.reason(now).to_string(),
                "its source https://example.org/p.git did not answer; the next try is at 1970-01-01 02:47 UTC"
            );
        }
        // what is planned meanwhile waits, too
        let revision = world.revision("trunk", "e", 1).await;
        world.run("e", &revision, 1).await;
        assert!(world.take(host, now + 59_000).await.is_none(), "{}", world.name);
        // another project is not held up
        world.source = None;
        let revision = world.revision("trunk", "f", 1).await;
        world.run("good", &revision, 1).await;
        let claim = world.take(host, now + 1_000).await.unwrap();
        world.end(&claim, Outcome::Passed, now + 1_000).await;
        // a host may not put off what its job does not need
        let revision = world.revision("trunk", "ff", 1).await;
        world.run("liar", &revision, 1).await;
        let claim = world.take(host, now + 1_000).await.unwrap();
        let report = unreachable("https://example.org/other.git");
        let finished = world.queue.finish(&claim.attempt, &claim.fence, &report, now + 1_000);
        finished.await.unwrap().unwrap();
        assert_eq!(row().await.consecutive_failures, 1, "{}", world.name);
        // an answer ends the wait
        now = now + 61_000;
        while let Some(claim) = world.take(host, now).await {
            world.end(&claim, Outcome::Passed, now).await;
        }
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM unreachable_source")
            .fetch_one(world.store.pool())
            .await
            .unwrap();
        assert_eq!(left, 0, "{}", world.name);
        assert_eq!(world.store.open_jobs().await.unwrap(), (0, 0), "{}", world.name);
        // and a server that never comes back keeps no job for ever
        world.source = Some(address.into());
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("a", &revision, 1).await;
        for _ in 0..20 {
            now = now + 3_700_000;
            while let Some(claim) = world.take(host, now).await {
                let report = unreachable(address);
                let finished = world.queue.finish(&claim.attempt, &claim.fence, &report, now);
                finished.await.unwrap().unwrap();
            }
        }
        assert_eq!(world.store.open_jobs().await.unwrap(), (0, 0), "{}", world.name);
    }
}

/// A host says again and again that a source does not answer.
#[tokio::test]
async fn a_source_that_another_host_reaches_is_a_strike() {
    for (mut world, _kept) in worlds().await {
        let (liar, _) = enrolment::add(&world.store, "liar", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let (good, _) = enrolment::add(&world.store, "good", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let good_row = world.store.host("good").await.unwrap().unwrap();
        world.store.saw_host(&good_row, None, NOW).await.unwrap();
        let address = "https://example.org/p.git";
        world.source = Some(address.into());
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let claim = world.take(liar.id.as_str(), NOW).await.unwrap();
        let report = Report {
            unreachable: Some(address.into()),
            ..Report::of(infra())
        };
        let finished = world.queue.finish(&claim.attempt, &claim.fence, &report, NOW).await;
        finished.unwrap().unwrap();
        let strikes = async || world.store.host("liar").await.unwrap().unwrap().consecutive_failures;
        assert_eq!(strikes().await, 0, "{}", world.name);
        // another host is asked first
        let later = NOW + 61_000;
        assert!(world.take(liar.id.as_str(), later).await.is_none(), "{}", world.name);
        let claim = world.take(good.id.as_str(), later).await.unwrap();
        world.end(&claim, Outcome::Passed, later).await;
        assert_eq!(strikes().await, 1, "{}", world.name);
    }
}

#[tokio::test]
async fn a_report_that_meets_the_end_of_its_lease_is_not_lost() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        for project in 0..10 {
            world.run(&format!("p{project}"), &revision, 1).await;
        }
        let late = NOW + LEASE_MS + 1;
        for _ in 0..10 {
            let claim = world.take("h", NOW).await.unwrap();
            let leased = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
            let report = Report::of(Outcome::Passed);
            // all at once: the lease runs out, is renewed, and the report comes
            let (ended, _, _) = tokio::join!(
                world.queue.finish(&claim.attempt, &claim.fence, &report, late),
                world.queue.expire(late),
                world.queue.renew(&leased, &claim.fence, late),
            );
            assert_eq!(ended.unwrap(), Ok(Receipt::Counted), "{}", world.name);
            let ended = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
            assert_eq!(ended.outcome.as_deref(), Some("passed"), "{}", world.name);
        }
        assert_eq!(world.store.open_jobs().await.unwrap(), (0, 0), "{}", world.name);
    }
}

/// A host whose lease ran out sends the same report twice at once: its first response was lost.
#[tokio::test]
async fn a_late_report_that_comes_twice_leaves_no_job_leased() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        for project in 0..10 {
            world.run(&format!("p{project}"), &revision, 1).await;
        }
        let late = NOW + LEASE_MS + 1;
        for _ in 0..10 {
            let claim = world.take("h", NOW).await.unwrap();
            assert_eq!(world.queue.expire(late).await.unwrap(), 1, "{}", world.name);
            let report = Report::of(infra());
            let finish = async || {
                world
                    .queue
                    .finish(&claim.attempt, &claim.fence, &report, late)
                    .await
                    .unwrap()
            };
            let both = tokio::join!(finish(), finish());
            assert_eq!(both, (Ok(Receipt::Counted), Ok(Receipt::Counted)), "{}", world.name);
        }
        assert_eq!(world.store.open_jobs().await.unwrap(), (10, 0), "{}", world.name);
    }
}

#[tokio::test]
async fn a_report_about_a_cancelled_job_may_come_twice() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        let run = world.run("p", &revision, 1).await;
        let claim = world.take("h", NOW).await.unwrap();
        world.queue.cancel(&run, NOW).await.unwrap();
        for _ in 0..2 {
            assert_eq!(
                world.end(&claim, infra(), NOW).await,
                Receipt::Counted,
                "{}",
                world.name
            );
        }
        let ended = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(ended.outcome.as_deref(), Some("cancelled"), "{}", world.name);
    }
}

#[tokio::test]
async fn three_cuts_in_one_long_run_cost_nothing() {
    for (world, _kept) in worlds().await {
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let claim = world.take("h", NOW).await.unwrap();
        let mut now = NOW;
        for _ in 0..5 {
            now = now + 2 * LEASE_MS;
            assert_eq!(world.queue.expire(now).await.unwrap(), 1, "{}", world.name);
            let lost = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
            world.queue.renew(&lost, &claim.fence, now).await.unwrap().unwrap();
        }
        assert_eq!(
            world.end(&claim, Outcome::Passed, now).await,
            Receipt::Counted,
            "{}",
            world.name
        );
    }
}

/// A host that renews its leases for ever, whatever the limits of its jobs are.
#[tokio::test]
async fn an_attempt_ends_when_it_takes_longer_than_its_job_allows() {
    const HOUR_MS: i64 = 3_600_000;
    for (world, _kept) in worlds().await {
        let (host, _) = enrolment::add(&world.store, "busy", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let run = world.take(host.id.as_str(), NOW).await.unwrap();
        let built = world.revision("trunk", "bb", 2).await;
        world.build(&built).await;
        let build = world.take(host.id.as_str(), NOW).await.unwrap();
        let renewed = async |claim: &Claim, now: Timestamp| {
            let attempt = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
            world.queue.renew(&attempt, &claim.fence, now).await.unwrap().is_ok()
        };
        // the four hours of the run, and two for all else; twelve for a build
        for (hours, run_goes_on, build_goes_on) in
            [(6, true, true), (7, false, true), (12, false, true), (13, false, false)]
        {
            let now = NOW + hours * HOUR_MS;
            world.queue.end_overdue(now).await.unwrap();
            assert_eq!(renewed(&run, now).await, run_goes_on, "{}: {hours}", world.name);
            assert_eq!(renewed(&build, now).await, build_goes_on, "{}: {hours}", world.name);
        }
        let strikes = world.store.host("busy").await.unwrap().unwrap().consecutive_failures;
        assert_eq!(strikes, 2, "{}", world.name);
        // its report comes too late
        let report = Report::of(Outcome::Passed);
        let now = NOW + 13 * HOUR_MS;
        let finished = world.queue.finish(&run.attempt, &run.fence, &report, now).await;
        assert!(finished.unwrap().is_err(), "{}", world.name);
        let now = now + HOUR_MS;
        assert!(world.take("other", now).await.is_some(), "{}", world.name);

        // after a time in which no host could deliver anything, reports may come first
        let claim = world.take("other", now).await.unwrap();
        let later = now + 100 * HOUR_MS;
        world.queue.grant_grace(later).await.unwrap();
        assert_eq!(world.queue.end_overdue(later + 1).await.unwrap(), 0, "{}", world.name);
        assert!(renewed(&claim, later + 1).await, "{}", world.name);
        assert_eq!(
            world.queue.end_overdue(later + HOUR_MS).await.unwrap(),
            2,
            "{}",
            world.name
        );
    }
}

#[tokio::test]
async fn reasons_name_hosts_by_their_names() {
    for (world, _kept) in worlds().await {
        let (one, _) = enrolment::add(&world.store, "one", "o@example.org", true, Timestamp::from_millis(1))
            .await
            .unwrap();
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let reason = async |claim: &Claim| {
            let attempt = world.store.attempt(&claim.attempt).await.unwrap().unwrap();
            attempt.report().unwrap().outcome.to_string()
        };
        let claim = world.take(one.id.as_str(), NOW).await.unwrap();
        assert_eq!(world.queue.expire(NOW + LEASE_MS).await.unwrap(), 1);
        assert_eq!(
            reason(&claim).await,
            "infrastructure: host one fell silent; its lease ran out",
            "{}",
            world.name
        );
        let claim = world.take(one.id.as_str(), NOW + 2 * LEASE_MS).await.unwrap();
        assert_eq!(world.queue.abandon(&one.id, NOW + 2 * LEASE_MS).await.unwrap(), 1);
        assert_eq!(
            reason(&claim).await,
            "infrastructure: host one was started again",
            "{}",
            world.name
        );
    }
}

#[tokio::test]
async fn waits_for_a_source_cost_no_try_and_no_start_shortens_them() {
    for (mut world, _kept) in worlds().await {
        let address = "https://example.org/p.git";
        world.source = Some(address.into());
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let mut now = NOW;
        for _ in 0..6 {
            let claim = world.take("h", now).await.unwrap();
            let report = Report {
                unreachable: Some(address.into()),
                ..Report::of(infra())
            };
            let finished = world.queue.finish(&claim.attempt, &claim.fence, &report, now).await;
            assert_eq!(finished.unwrap(), Ok(Receipt::Counted));
            // the coordinator starts, and the job goes on waiting
            world.queue.grant_grace(now).await.unwrap();
            let (waiting, _) = world.store.waiting_jobs().await.unwrap().remove(0);
            assert!(
                waiting.reason(now).to_string().contains("did not answer"),
                "{}",
                world.name
            );
            let until: i64 = sqlx::query_scalar("SELECT not_before FROM job WHERE state = 'queued'")
                .fetch_one(world.store.pool())
                .await
                .unwrap();
            assert!(
                world.take("h", Timestamp::from_millis(until - 1)).await.is_none(),
                "{}",
                world.name
            );
            now = Timestamp::from_millis(until + 1_000);
        }
        // now the infrastructure fails it, three times as any job
        for tries in 1..=3 {
            let claim = world.take("h", now).await.unwrap();
            world.end(&claim, infra(), now).await;
            assert_eq!(
                world.store.open_jobs().await.unwrap().0,
                i64::from(tries < 3),
                "{}",
                world.name
            );
            now = now + 200_000;
        }
    }
}

/// A job that the infrastructure failed waits for its source like the others of its project.
#[tokio::test]
async fn a_source_that_answers_ends_the_wait_of_jobs_that_failed_before() {
    for (mut world, _kept) in worlds().await {
        world.source = Some("https://example.org/p.git".into());
        for sha in ["aa", "bb", "cc"] {
            let revision = world.revision("trunk", sha, 1).await;
            world.run("p", &revision, 1).await;
        }
        let failed = world.take("h", NOW).await.unwrap();
        let put_off = world.take("h", NOW).await.unwrap();
        let answered = world.take("h", NOW).await.unwrap();
        world.end(&failed, infra(), NOW).await;
        let report = Report {
            unreachable: world.source.clone(),
            ..Report::of(infra())
        };
        let now = NOW + 1_000;
        let finished = world.queue.finish(&put_off.attempt, &put_off.fence, &report, now).await;
        finished.unwrap().unwrap();
        assert!(world.take("h", now).await.is_none(), "{}", world.name);
        world.end(&answered, Outcome::Passed, NOW + 2_000).await;
        // the other one waits as long as after its failure, and not longer
        let waits: Vec<i64> = sqlx::query_scalar(
            "SELECT not_before FROM job WHERE state = 'queued' AND run_id IS NOT NULL ORDER BY not_before",
        )
        .fetch_all(world.store.pool())
        .await
        .unwrap();
        let expected = [NOW + 2_000, NOW + 7_000].map(Timestamp::as_millis);
        assert_eq!(waits, expected, "{}", world.name);
        let claim = world.take("h", NOW + 3_000).await.unwrap();
        assert_eq!(title(&claim), title(&put_off), "{}", world.name);
        world.end(&claim, Outcome::Passed, NOW + 3_000).await;
        let mut claim = world.take("h", NOW + 8_000).await.unwrap();
        assert_eq!(title(&claim), title(&failed), "{}", world.name);
        // its failures are still counted: two more end it
        for left in [1, 0] {
            let now = NOW + 200_000 * (2 - left);
            world.end(&claim, infra(), now).await;
            assert_eq!(world.store.open_jobs().await.unwrap().0, left, "{}", world.name);
            if left > 0 {
                claim = world.take("h", now + 90_000).await.unwrap();
            }
        }
    }
}
