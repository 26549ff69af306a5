//! Hosts that take a job when a test says so, and what the coordinator makes of the first results of a new one.

use super::{PATIENCE, PLATFORM, Sim, recipe_error};
use pybots::clock::now;
use pybots::domain::host::{Capabilities, HostState, PROVEN};
use pybots::domain::id::ImageId;
use pybots::domain::job::FETCH;
use pybots::domain::received::Expected;
use pybots::enrolment;
use pybots::protocol::Claim;
use pybots::store::claims::Taker;
use std::time::{Duration, Instant};

/// Its number is that of `onhost` in a tree.
struct HostByHand<'a> {
    sim: &'a Sim,
    name: &'static str,
    number: usize,
    projects: Option<&'static str>,
    /// The release of the dependency that it reports in place of what it installed.
    lie: Option<u64>,
    /// The phases of the report in which it blames the recipe, whatever it found.
    blame: Option<&'static [&'static str]>,
}

impl HostByHand<'_> {
    /// Accepts one project only.
    fn accepting(self, project: &'static str) -> Self {
        Self {
            projects: Some(project),
            ..self
        }
    }

    /// Reports a lock with a release of its own.
    fn lying(self, release: u64) -> Self {
        Self {
            lie: Some(release),
            ..self
        }
    }

    /// Reports an error of the recipe in the last of these phases.
    fn blaming(self, phases: &'static [&'static str]) -> Self {
        Self {
            blame: Some(phases),
            ..self
        }
    }

    /// Claims a job, if there is one. It holds all images, and so does the registry.
    async fn claim(&self) -> Option<Claim> {
        let coordinator = self.sim.coordinator();
        let store = &coordinator.store;
        let host = store.host(self.name).await.unwrap().unwrap();
        let mut capabilities = Capabilities {
            version: "1".into(),
            platform: PLATFORM.into(),
            slots: 1,
            projects: self.projects.map(|project| [project.to_owned()].into()),
            ..Capabilities::default()
        };
        store.save_capabilities(&host, &capabilities).await.unwrap();
        store.saw_host(&host, None, now()).await.unwrap();
        let images: Vec<String> = sqlx::query_scalar("SELECT id FROM image WHERE state = 'ready'")
            .fetch_all(store.pool())
            .await
            .unwrap();
        let mut tx = store.begin().await.unwrap();
        for image in images {
            store
                .holds(&mut tx, &host.id, &ImageId::from(image), now())
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        sqlx::query("UPDATE image SET remote = 'registry/image@sha256:1' WHERE state = 'ready'")
            .execute(store.pool())
            .await
            .unwrap();
        if host.state != HostState::Active {
            return None;
        }
        if !host.is_new() {
            capabilities.labels.insert(PROVEN.to_owned());
        }
        let taker = Taker {
            host: &host.id,
            builds: host.builds,
            pulls: false,
            most: None,
            capabilities: &capabilities,
        };
        coordinator.queue.announce();
        coordinator.queue.claim(&taker, now()).await.unwrap()
    }

    /// Waits for a job, and does it.
    async fn work(&self) {
        let start = Instant::now();
        loop {
            self.sim.coordinator().nudge();
            if let Some(claim) = self.claim().await {
                return self.finish(&claim).await;
            }
            assert!(start.elapsed() < PATIENCE, "{} gets no job", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Does a job, if there is one.
    async fn work_if_any(&self) {
        if let Some(claim) = self.claim().await {
            return self.finish(&claim).await;
        }
        self.sim.coordinator().nudge();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    async fn finish(&self, claim: &Claim) {
        let coordinator = self.sim.coordinator();
        let (mut report, tests, _) = self.sim.world.perform(&claim.spec, self.number);
        report.summary = tests.as_ref().map(|tests| tests.summary());
        if let (Some(release), Some(lock)) = (self.lie, &mut report.lock) {
            let mut lie: serde_json::Value = serde_json::from_str(lock).unwrap();
            lie["packages"][0]["version"] = release.to_string().into();
            *lock = lie.to_string();
        }
        let tests = match self.blame {
            Some(phases) => {
                report = recipe_error("there is no such package", phases);
                None
            }
            None => tests,
        };
        let attempt = coordinator.store.attempt(&claim.attempt).await.unwrap().unwrap();
        let expected = Expected {
            job: Some(&claim.spec),
            builds: claim.builds,
            cancelled: false,
            started_at: attempt.started_at,
        };
        let report = expected.receive(report).unwrap().report;
        if let Some(tests) = tests {
            coordinator.objects.put_tests(&claim.attempt, &tests).await.unwrap();
        }
        let finished = coordinator.queue.finish(&claim.attempt, &claim.fence, &report, now());
        finished.await.unwrap().unwrap();
        coordinator.nudge();
    }
}

const OPENED: &str = "SELECT COUNT(*) FROM investigation";
const INCIDENTS: &str = "SELECT COUNT(*) FROM incident";
const ALONE: &str = "SELECT COUNT(*) FROM attempt WHERE repetition = 'no_host'";
const UNEVALUATED: &str = "SELECT COUNT(*) FROM run WHERE evaluated_at IS NULL";

impl Sim {
    async fn enrol(&self, name: &str, builds: bool) {
        self.enrol_of(&format!("{name}@example.org"), name, builds).await;
    }

    /// Commits one revision, and enrols a host that may build and a new one.
    async fn begin_with_a_new_host(&mut self) {
        self.commit("before", "");
        self.run().await;
        self.enrol("old", true).await;
        self.enrol("new", false).await;
    }

    async fn enrol_of(&self, owner: &str, name: &str, builds: bool) {
        let store = &self.coordinator().store;
        enrolment::add(store, name, owner, builds, now()).await.unwrap();
    }

    fn by_hand(&self, name: &'static str, number: usize) -> HostByHand<'_> {
        HostByHand {
            sim: self,
            name,
            number,
            projects: None,
            lie: None,
            blame: None,
        }
    }

    /// Until so many results of new hosts are in a state.
    async fn repetitions(&self, state: &str, count: i64) {
        let sql = format!("SELECT COUNT(*) FROM attempt WHERE repetition = '{state}'");
        self.until_count(&sql, count).await;
    }

    /// Has these hosts do what is left, until nothing is.
    async fn done_by(&self, hosts: [&HostByHand<'_>; 2]) {
        let start = Instant::now();
        loop {
            let ahead = self.coordinator().store.ahead().await.unwrap();
            if ahead.nothing() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{ahead:?}");
            for host in hosts {
                host.work_if_any().await;
            }
        }
    }

    /// A revision, of which one host builds the image and another one makes the run.
    async fn revision_by(&mut self, builder: &'static str, runner: &'static str, faults: &str) {
        self.commit(faults, faults);
        self.by_hand(builder, 0).work().await;
        self.by_hand(runner, 1).work().await;
    }
}

/// Another host repeats the first results of a new host. `sim` has no hosts of its own, and three results are repeated.
pub async fn first_results_are_repeated(mut sim: Sim) {
    sim.begin_with_a_new_host().await;
    sim.by_hand("old", 0).work().await;
    sim.by_hand("new", 1).work().await;
    sim.queued(1).await;
    assert!(
        sim.by_hand("new", 1).claim().await.is_none(),
        "only another host repeats it"
    );
    sim.by_hand("old", 0).work().await;
    sim.repetitions("agreed", 1).await;

    // a lie opens nothing, and is no evidence
    sim.revision_by("old", "new", "onhost 1 a").await;
    sim.queued(1).await;
    assert_eq!(sim.count(UNEVALUATED).await, 1, "it waits for the repetition");
    sim.by_hand("old", 0).work().await;
    sim.repetitions("disagreed", 1).await;
    sim.until_count(UNEVALUATED, 0).await;
    assert_eq!(sim.count(OPENED).await, 0);
    let page = sim.page("/host/new").await;
    assert!(page.contains("This host is new"), "{page}");
    assert!(page.contains("which counts instead: <a href=\"/run/"), "{page}");

    // what another host sees too opens an investigation, in which a new host has no part
    sim.revision_by("old", "new", "fail a").await;
    sim.queued(1).await;
    assert_eq!(sim.count(OPENED).await, 0);
    sim.by_hand("old", 0).work().await;
    sim.repetitions("agreed", 2).await;
    sim.until_count(OPENED, 1).await;
    let start = Instant::now();
    while sim.count(INCIDENTS).await == 0 {
        assert!(start.elapsed() < PATIENCE);
        assert!(sim.by_hand("new", 1).claim().await.is_none(), "it proves nothing");
        sim.by_hand("old", 0).work_if_any().await;
    }

    // the third result that agrees is the last one that is repeated
    sim.revision_by("old", "new", "fail a\n").await;
    sim.by_hand("old", 0).work().await;
    sim.repetitions("agreed", 3).await;
    sim.revision_by("old", "new", "fail a\n\n").await;
    sim.until_count(UNEVALUATED, 0).await;
    assert_eq!(sim.queued_runs().await, 0);
    let page = sim.page("/host/new").await;
    assert!(page.contains("This host is no longer new"), "{page}");
}

/// The results of a new host differ from those of others, and then no other host is there. One result is repeated.
pub async fn a_new_host_that_differs_is_looked_at(mut sim: Sim) {
    sim.begin_with_a_new_host().await;
    sim.by_hand("old", 0).work().await;
    sim.by_hand("old", 0).work().await;
    for number in 1..=4 {
        sim.revision_by("old", "new", &format!("onhost 1 a{}", "\n".repeat(number)))
            .await;
        sim.by_hand("old", 0).work().await;
        sim.repetitions("disagreed", number as i64).await;
    }
    sim.revision_by("old", "new", "onhost 1 a").await;
    sim.repetitions("unrepeated", 1).await;
    sim.until_count(UNEVALUATED, 0).await;
    let store = sim.coordinator().store.clone();
    assert_eq!(store.host("new").await.unwrap().unwrap().state, HostState::Quarantined);
    assert_eq!((sim.queued_runs().await, sim.count(OPENED).await), (0, 0));
    // a person looked at it
    enrolment::bring(&store, "new", HostState::Active).await.unwrap();
    sim.revision_by("old", "new", "onhost 1 a\n").await;
    sim.by_hand("old", 0).work().await;
    sim.repetitions("disagreed", 5).await;
    assert_eq!(sim.count(OPENED).await, 0);

    // the other host accepts other projects only from now on, so results count as they are: one that waited, and one that comes later
    sim.revision_by("old", "new", "onhost 1 a\n\n").await;
    sim.queued(1).await;
    assert!(sim.by_hand("old", 0).accepting("other").claim().await.is_none());
    sim.repetitions("no_host", 1).await;
    sim.until_count(OPENED, 1).await;
    sim.commit("later", "onhost 1 a\n\n\n");
    sim.by_hand("old", 0).accepting("other").work().await;
    // the new host is all there is, so it makes the reruns too
    let start = Instant::now();
    while sim.count(ALONE).await < 2 || sim.probes().await == 0 {
        assert!(start.elapsed() < PATIENCE);
        sim.by_hand("new", 1).work_if_any().await;
    }
    let page = sim.page("/host/new").await;
    assert!(page.contains("no other host can do these runs"), "{page}");
}

const PINNED: &str = "SELECT COUNT(*) FROM pinned_lock";

impl Sim {
    /// The text of the one pinned lock.
    async fn pinned(&self) -> String {
        self.until_count(PINNED, 1).await;
        let query = sqlx::query_scalar("SELECT text FROM pinned_lock");
        query.fetch_one(self.coordinator().store.pool()).await.unwrap()
    }

    /// Asserts that no job has this release of the dependency in its lock.
    async fn never_installs(&self, release: u64) {
        let jobs = format!("SELECT COUNT(*) FROM job_spec WHERE spec LIKE '%{release}%'");
        let locks = format!("SELECT COUNT(*) FROM pinned_lock WHERE text LIKE '%{release}%'");
        assert_eq!((self.count(&jobs).await, self.count(&locks).await), (0, 0));
    }
}

/// A host that may not build reports a lock of its own. Its first result is repeated.
pub async fn a_new_host_chooses_no_code_of_others(mut sim: Sim) {
    const LIE: u64 = 666_666;
    sim.begin_with_a_new_host().await;
    sim.by_hand("old", 0).work().await;
    sim.by_hand("new", 1).lying(LIE).work().await;
    sim.queued(1).await;
    sim.never_installs(LIE).await;
    sim.by_hand("old", 0).work().await;
    sim.repetitions("agreed", 1).await;
    assert!(
        sim.pinned().await.contains(r#""version":"1""#),
        "the lock of a trusted host is pinned"
    );
    // it is no longer new, fails on one revision, and reports another lock than that of its job: both ends are run with the pinned one
    sim.commit("lie", "onhost 1 a");
    sim.by_hand("old", 0).work().await;
    sim.by_hand("new", 1).lying(LIE).work().await;
    sim.until_count(OPENED, 1).await;
    let start = Instant::now();
    while sim.probes().await == 0 {
        assert!(start.elapsed() < PATIENCE);
        sim.by_hand("old", 0).work_if_any().await;
    }
    sim.never_installs(LIE).await;
    // newer versions are tried on a trusted host
    let (old, new) = (sim.by_hand("old", 0), sim.by_hand("new", 1).lying(LIE));
    sim.done_by([&old, &new]).await;
    sim.never_installs(LIE).await;
    let store = &sim.coordinator().store;
    sqlx::query("UPDATE pinned_lock SET pinned_at = 0")
        .execute(store.pool())
        .await
        .unwrap();
    sim.until_count("SELECT COUNT(*) FROM pinned_lock WHERE refresh_job IS NOT NULL", 1)
        .await;
    assert!(sim.by_hand("new", 1).lying(LIE).claim().await.is_none());
    sim.by_hand("old", 0).work().await;
    sim.until_count("SELECT COUNT(*) FROM pinned_lock WHERE pinned_at > 0", 1)
        .await;
    sim.never_installs(LIE).await;
}

/// Two hosts that may not build report the same lock.
pub async fn two_hosts_confirm_a_lock(mut sim: Sim) {
    sim.commit("before", "");
    sim.run().await;
    sim.enrol("old", true).await;
    for name in ["one", "two"] {
        sim.enrol(name, false).await;
    }
    sim.enrol_of("ONE@example.org", "another", false).await;
    sim.by_hand("old", 0).work().await;
    sim.by_hand("one", 1).work().await;
    sim.revision_by("old", "one", "nothing 1").await;
    sim.until_count(UNEVALUATED, 0).await;
    assert_eq!(sim.count(PINNED).await, 0, "one host reported it twice");
    sim.revision_by("old", "another", "nothing 2").await;
    sim.until_count(UNEVALUATED, 0).await;
    assert_eq!(sim.count(PINNED).await, 0, "two hosts of one owner reported it");
    sim.revision_by("old", "two", "nothing 3").await;
    sim.until_count(UNEVALUATED, 0).await;
    assert!(sim.pinned().await.contains("dependency"));
}

const CURRENT_LOCKS: &str = "SELECT COUNT(*) FROM pinned_lock WHERE pinned_at > 0 AND refresh_job IS NULL";

/// A new host blames the recipe where a test fails. What it reports is repeated, and says nothing about the pinned lock.
pub async fn a_new_host_blames_no_recipe(mut sim: Sim) {
    sim.begin_with_a_new_host().await;
    sim.by_hand("old", 0).work().await;
    sim.by_hand("old", 0).work().await;
    sim.until_count(CURRENT_LOCKS, 1).await;

    sim.commit("break", "fail a");
    sim.by_hand("old", 0).work().await;
    sim.by_hand("new", 1).blaming(&[]).work().await;
    sim.queued(1).await;
    assert_eq!(sim.count(UNEVALUATED).await, 1, "it waits for the repetition");
    assert!(sim.by_hand("new", 1).claim().await.is_none(), "another host repeats it");
    sim.by_hand("old", 0).work().await;
    sim.repetitions("disagreed", 1).await;
    sim.until_count(OPENED, 1).await;
    assert_eq!(sim.count(CURRENT_LOCKS).await, 1);
    let old = sim.by_hand("old", 0);
    sim.done_by([&old, &old]).await;

    // what the lock names has really vanished: the lock is resolved anew once the other host has seen the same
    sim.delete_old_releases();
    let vanished = sim.commit("vanished", "fail a\n");
    sim.by_hand("old", 0).work().await;
    sim.by_hand("new", 1).work().await;
    sim.queued(1).await;
    assert_eq!(sim.count(CURRENT_LOCKS).await, 1);
    sim.by_hand("old", 0).work().await;
    sim.repetitions("agreed", 1).await;
    sim.until_count(CURRENT_LOCKS, 0).await;
    sim.by_hand("old", 0).work().await;
    sim.until_count(CURRENT_LOCKS, 1).await;
    let outcomes = sim.outcomes_on(&vanished).await;
    assert_eq!(outcomes, ["recipe_error", "recipe_error", "failed"]);

    // no other host can repeat it, so it counts, but versions stay as they are
    sim.until_count(UNEVALUATED, 0).await;
    sim.commit("alone", "fail a\n\n");
    sim.by_hand("old", 0).accepting("other").work().await;
    sim.by_hand("new", 1).blaming(&[FETCH]).work().await;
    sim.repetitions("no_host", 1).await;
    sim.until_count(UNEVALUATED, 0).await;
    assert_eq!(sim.count(CURRENT_LOCKS).await, 1);
}
