//! Store and queue, on every database that is there.

use pybots::config::Settings;
use pybots::coordinator::keep::Keeper;
use pybots::domain::host::{Capabilities, HostState};
use pybots::domain::id::AttemptId;
use pybots::domain::id::HostId;
use pybots::domain::id::ImageId;
use pybots::domain::job::{BuiltImage, Facts, JobSpec, Layer, Report};
use pybots::domain::outcome::Outcome;
use pybots::domain::retention::{
    DAY_MS, HeldImage, HeldVolume, ImageKind, Inventory, RetentionDecision, RetentionReason, VolumeKind,
};
use pybots::domain::state::ImageState;
use pybots::domain::time::Timestamp;
use pybots::enrolment;
use pybots::profile::Profiles;
use pybots::protocol::{Claim, Receipt};
use pybots::queue::{LEASE_MS, Queue};
use pybots::store::claims::Taker;
use pybots::store::images::{NewImage, RevisionImage};
use pybots::store::jobs::NewJob;
use pybots::store::revisions::{BranchMove, NewRevision, Revision};
use pybots::store::rows::BadRow;
use pybots::store::runs::NewRun;
use pybots::store::views::Scope;
use pybots::store::{
    Store,
    branches::{Branch, Watched},
};
use std::collections::BTreeSet;
use std::sync::LazyLock;

fn capabilities() -> Capabilities {
    Capabilities {
        platform: "linux/amd64".into(),
        ..Capabilities::default()
    }
}

/// A host that may build, and takes everything.
fn trusted(host: &HostId) -> Taker<'_> {
    static OFFER: LazyLock<Capabilities> = LazyLock::new(capabilities);
    Taker {
        host,
        builds: true,
        pulls: false,
        most: None,
        capabilities: &OFFER,
    }
}

/// As after the coordinator's beat, which announces what may have become due.
async fn take(queue: &Queue, taker: &Taker<'_>, now: Timestamp) -> anyhow::Result<Option<Claim>> {
    queue.announce();
    queue.claim(taker, now).await
}

async fn branch(store: &Store) -> Branch {
    let watched = Watched {
        name: "trunk".into(),
        reference: "main".into(),
        source: "sample".into(),
    };
    store.set_branches(&[watched]).await.unwrap();
    store.watched_branches().await.unwrap().remove(0)
}

fn revision(sha: &str) -> NewRevision {
    NewRevision {
        sha: sha.into(),
        tree: format!("tree-{sha}"),
        parent: None,
        author: "A <a@example.org>".into(),
        subject: format!("subject of {sha}"),
        committed_at: Timestamp::from_millis(1000),
        version: Some("3.14.0".into()),
        svn: None,
    }
}

/// A revision with an image that waits for its build.
async fn queued(store: &Store, queue: &Queue, sha: &str) -> (Revision, String) {
    let branch = branch(store).await;
    assert!(
        store
            .advance_branch(
                &branch.id,
                branch.head.as_deref(),
                &BranchMove::onto(sha, &[revision(sha)]),
                Timestamp::from_millis(1)
            )
            .await
            .unwrap()
    );
    let revision = store.revision_by_sha(sha).await.unwrap().unwrap();
    let profiles = Profiles::load(None).unwrap();
    let profile = pybots::plan::profile(&revision, &profiles, "default").unwrap();
    let build = pybots::plan::build(
        &revision,
        profile,
        &profiles.distribution,
        &revision.tree,
        "default",
        "linux/amd64",
    )
    .unwrap();
    let mut tx = store.begin().await.unwrap();
    let new = NewImage {
        revision_id: &revision.id,
        variant: "default",
        platform: "linux/amd64",
        build_key: &build.build_key,
        plans_runs: true,
    };
    let (image, is_new) = store
        .attach_image(&mut tx, &new, Timestamp::from_millis(1))
        .await
        .unwrap();
    assert!(is_new);
    let new = NewJob {
        image: &image,
        run: None,
        platform: "linux/amd64",
        priority: 1,
        spec: &JobSpec::Image(Box::new(build)),
        proven: false,
        probe: None,
    };
    queue.add(&mut tx, &new, Timestamp::from_millis(1)).await.unwrap();
    tx.commit().await.unwrap();
    queue.announce();
    (revision, image.into_string())
}

fn infra() -> Report {
    Report::of(Outcome::Infra {
        reason: "engine gone".into(),
    })
}

#[tokio::test]
async fn a_branch_moves_only_from_the_head_that_was_seen() {
    for test in crate::support::stores().await {
        let store = &test.store;
        let branch = branch(store).await;
        let new = [revision("aaaaaaaa"), revision("bbbbbbbb")];
        assert!(
            store
                .advance_branch(
                    &branch.id,
                    None,
                    &BranchMove::onto("bbbbbbbb", &new),
                    Timestamp::from_millis(1)
                )
                .await
                .unwrap(),
            "{}",
            test.name
        );
        // somebody with an old view changes nothing
        assert!(
            !store
                .advance_branch(
                    &branch.id,
                    None,
                    &BranchMove::onto("cccccccc", &[revision("cccccccc")]),
                    Timestamp::from_millis(1)
                )
                .await
                .unwrap()
        );
        assert!(store.revision_by_sha("cccccccc").await.unwrap().is_none());
        let seqs = [
            store.revision_by_sha("aaaaaaaa").await.unwrap().unwrap().seq,
            store.revision_by_sha("bbbbbbbb").await.unwrap().unwrap().seq,
        ];
        assert_eq!(seqs, [1, 2]);
    }
}

#[tokio::test]
async fn lists_follow_history_whatever_date_a_commit_has() {
    let dated = |sha: &str, at: i64| NewRevision {
        committed_at: Timestamp::from_millis(at),
        ..revision(sha)
    };
    let year_2100 = 4_102_444_800_000;
    for test in crate::support::stores().await {
        let store = &test.store;
        let branch = branch(store).await;
        let new = [
            dated("aaaaaaaa", 5000),
            dated("bbbbbbbb", year_2100),
            dated("cccccccc", 1000),
        ];
        let discovered = Timestamp::from_millis(10_000);
        store
            .advance_branch(&branch.id, None, &BranchMove::onto("cccccccc", &new), discovered)
            .await
            .unwrap();
        let later = [dated("dddddddd", 20_000)];
        let discovered = Timestamp::from_millis(30_000);
        store
            .advance_branch(
                &branch.id,
                Some("cccccccc"),
                &BranchMove::onto("dddddddd", &later),
                discovered,
            )
            .await
            .unwrap();
        let matrix = store.matrix(&Scope::All, 10, None).await.unwrap();
        let shas: Vec<&str> = matrix.rows.iter().map(|row| row.sha.as_str()).collect();
        assert_eq!(shas, ["dddddddd", "cccccccc", "bbbbbbbb", "aaaaaaaa"], "{}", test.name);
        let edge = &matrix.rows[1].revision_id;
        let older = store.matrix(&Scope::All, 10, Some(edge)).await.unwrap();
        let shas: Vec<&str> = older.rows.iter().map(|row| row.sha.as_str()).collect();
        assert_eq!(shas, ["bbbbbbbb", "aaaaaaaa"], "{}", test.name);
    }
}

#[tokio::test]
async fn each_job_is_claimed_once_however_many_ask() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        let mut images = BTreeSet::new();
        for i in 0..20 {
            images.insert(queued(&test.store, &queue, &format!("{i:08x}")).await.1);
        }
        let mut claimers = tokio::task::JoinSet::new();
        for host in 0..8 {
            let queue = queue.clone();
            claimers.spawn(async move {
                let mut mine = Vec::new();
                let mut misses = 0;
                // a miss may be a lost race; several in a row are an empty queue
                while misses < 20 {
                    match take(
                        &queue,
                        &trusted(&format!("host-{host}").into()),
                        Timestamp::from_millis(2),
                    )
                    .await
                    .unwrap()
                    {
                        Some(claim) => mine.push(claim.attempt),
                        None => misses += 1,
                    }
                }
                mine
            });
        }
        let attempts: Vec<AttemptId> = claimers.join_all().await.into_iter().flatten().collect();
        let distinct: BTreeSet<&AttemptId> = attempts.iter().collect();
        assert_eq!((attempts.len(), distinct.len()), (20, 20), "{}", test.name);
    }
}

#[tokio::test]
async fn infra_is_tried_three_times_and_then_after_a_restart() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        let (revision, image) = queued(&test.store, &queue, "aaaaaaaa").await;
        let mut now = 10;
        for number in 1..=3 {
            let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(now))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(claim.number, number);
            queue
                .finish(&claim.attempt, &claim.fence, &infra(), Timestamp::from_millis(now))
                .await
                .unwrap()
                .unwrap();
            assert!(
                take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(now))
                    .await
                    .unwrap()
                    .is_none(),
                "it waits before it is tried again"
            );
            now += 600_000;
        }
        assert!(
            take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(now))
                .await
                .unwrap()
                .is_none(),
            "{}",
            test.name
        );
        // infrastructure is no verdict about the image
        let standing = test
            .store
            .image_of(&revision.id, "default", "linux/amd64")
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(standing, RevisionImage::Image(image) if image.state == ImageState::Wanted));
        // another host that starts has nothing to do with it
        let other = HostId::from("other");
        assert_eq!(queue.revive(&other, Timestamp::from_millis(now)).await.unwrap(), 0);
        assert_eq!(
            queue
                .revive(&HostId::from("h"), Timestamp::from_millis(now))
                .await
                .unwrap(),
            1
        );
        assert_eq!(
            take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(now))
                .await
                .unwrap()
                .unwrap()
                .number,
            4
        );
        assert_eq!(test.store.attempts_of(&image).await.unwrap().len(), 4);
    }
}

#[tokio::test]
async fn what_a_clock_put_off_that_was_ahead_waits_no_longer_than_usual() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        queued(&test.store, &queue, "aaaaaaaa").await;
        let ahead = 7_200_000;
        let claim = take(&queue, &trusted(&HostId::from("h1")), Timestamp::from_millis(ahead))
            .await
            .unwrap()
            .unwrap();
        let finished = queue
            .finish(&claim.attempt, &claim.fence, &infra(), Timestamp::from_millis(ahead))
            .await;
        finished.unwrap().unwrap();
        let later = 100_000;
        assert!(
            take(&queue, &trusted(&HostId::from("h2")), Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_none()
        );
        queue.grant_grace(Timestamp::from_millis(10)).await.unwrap();
        assert!(
            take(&queue, &trusted(&HostId::from("h2")), Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_some(),
            "{}",
            test.name
        );
    }
}

#[tokio::test]
async fn a_connection_that_does_not_know_that_its_transaction_is_over_is_not_used_again() {
    for test in crate::support::stores().await {
        // more often than there are connections
        for _ in 0..20 {
            let mut tx = test.store.begin().await.unwrap();
            // as a database does by itself that has no room left
            sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
        }
    }
}

#[tokio::test]
async fn finish_is_idempotent_and_refuses_the_stale() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        let (revision, _) = queued(&test.store, &queue, "aaaaaaaa").await;
        let first = take(&queue, &trusted(&HostId::from("h1")), Timestamp::from_millis(10))
            .await
            .unwrap()
            .unwrap();
        let leased = test.store.attempt(&first.attempt).await.unwrap().unwrap();
        queue
            .renew(&leased, &first.fence, Timestamp::from_millis(10_000))
            .await
            .unwrap()
            .unwrap();
        // the host falls silent; its lease runs out and the job goes to another
        assert_eq!(
            queue.expire(Timestamp::from_millis(10_000 + LEASE_MS)).await.unwrap(),
            0
        );
        assert_eq!(
            queue.expire(Timestamp::from_millis(10_001 + LEASE_MS)).await.unwrap(),
            1
        );
        let later = 10_001 + LEASE_MS + 5_000;
        let second = take(&queue, &trusted(&HostId::from("h2")), Timestamp::from_millis(later))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(second.number, 2);

        let mut good = Report::of(Outcome::Passed);
        good.image = Some(BuiltImage {
            reference: "r".into(),
            digest: "sha256:1".into(),
            size: 5,
            layer: Default::default(),
            remote: None,
            facts: Facts::default(),
        });
        let lost = test.store.attempt(&first.attempt).await.unwrap().unwrap();
        assert!(
            queue
                .renew(&lost, &first.fence, Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_err()
        );
        // what it brings is kept, and does not count; also when it is brought twice
        for _ in 0..2 {
            let taken = queue
                .finish(&first.attempt, &first.fence, &good, Timestamp::from_millis(later))
                .await
                .unwrap();
            assert_eq!(taken, Ok(Receipt::Late), "{}", test.name);
        }
        let late = test.store.attempt(&first.attempt).await.unwrap().unwrap();
        assert_eq!(
            (late.outcome.as_deref(), late.late_at),
            (Some("infra"), Some(Timestamp::from_millis(later)))
        );
        assert_eq!(late.late_report(), Some(&good));
        assert!(
            queue
                .finish(&first.attempt, &first.fence, &infra(), Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_err()
        );
        assert!(
            queue
                .finish(&second.attempt, "guess", &good, Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_err()
        );
        assert!(
            queue
                .finish(
                    &AttemptId::from("nobody"),
                    "guess",
                    &good,
                    Timestamp::from_millis(later)
                )
                .await
                .unwrap()
                .is_err()
        );
        assert!(
            queue
                .finish(&second.attempt, &second.fence, &good, Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_ok()
        );
        assert!(
            queue
                .finish(&second.attempt, &second.fence, &good, Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_ok(),
            "sent twice"
        );
        assert!(
            queue
                .finish(&second.attempt, &second.fence, &infra(), Timestamp::from_millis(later))
                .await
                .unwrap()
                .is_err(),
            "not twice otherwise"
        );
        let standing = test
            .store
            .image_of(&revision.id, "default", "linux/amd64")
            .await
            .unwrap()
            .unwrap();
        let RevisionImage::Image(image) = standing else {
            panic!("no image")
        };
        assert_eq!(
            (image.state, image.digest.as_deref()),
            (ImageState::Ready, Some("sha256:1")),
            "{}",
            test.name
        );
        assert!(test.store.ahead().await.unwrap().queued == 0);
    }
}

#[tokio::test]
async fn a_failed_build_is_decided_at_once() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        let (revision, _) = queued(&test.store, &queue, "aaaaaaaa").await;
        let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(10))
            .await
            .unwrap()
            .unwrap();
        let failed = Report::of(Outcome::SetupFailed {
            reason: "make ended with exit code 2".into(),
            exit_code: Some(2),
        });
        queue
            .finish(&claim.attempt, &claim.fence, &failed, Timestamp::from_millis(20))
            .await
            .unwrap()
            .unwrap();
        let standing = test
            .store
            .image_of(&revision.id, "default", "linux/amd64")
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(standing, RevisionImage::Image(image) if image.state == ImageState::Failed));
        assert!(
            take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(1_000_000))
                .await
                .unwrap()
                .is_none()
        );
    }
}

#[tokio::test]
async fn a_finish_under_load_is_counted_once() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        queued(&test.store, &queue, "aaaaaaaa").await;
        let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(10))
            .await
            .unwrap()
            .unwrap();
        let mut finishers = tokio::task::JoinSet::new();
        for code in 0..10 {
            let (queue, claim) = (queue.clone(), claim.clone());
            finishers.spawn(async move {
                let report = Report::of(Outcome::Failed { exit_code: code + 1 });
                queue
                    .finish(&claim.attempt, &claim.fence, &report, Timestamp::from_millis(20))
                    .await
                    .unwrap()
                    .is_ok()
            });
        }
        let taken = finishers.join_all().await.into_iter().filter(|taken| *taken).count();
        assert_eq!(taken, 1, "{}", test.name);
    }
}

#[tokio::test]
async fn the_database_refuses_nonsense() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        queued(&test.store, &queue, "aaaaaaaa").await;
        for sql in [
            "UPDATE job SET state = 'lost'",
            "UPDATE image SET state = 'ready'",
            "UPDATE branch SET watched = 2",
            "UPDATE job SET image_id = NULL",
            "UPDATE revision SET branch_id = 'nobody'",
            "INSERT INTO job (id, kind, image_id, state, priority, not_before, created_at, spec)
             SELECT 'other', kind, image_id, state, priority, not_before, created_at, spec FROM job",
        ] {
            let refused = sqlx::query(sql).execute(test.store.pool()).await;
            assert!(refused.is_err(), "{}: {sql}", test.name);
        }
        let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(10))
            .await
            .unwrap()
            .unwrap();
        let ended = sqlx::query("UPDATE attempt SET state = 'finished' WHERE id = $1").bind(&claim.attempt);
        assert!(
            ended.execute(test.store.pool()).await.is_err(),
            "an end needs its time and outcome"
        );
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_error_that_names_it() {
    for test in crate::support::stores().await {
        let (store, queue) = (&test.store, Queue::new(test.store.clone()));
        queued(store, &queue, "aaaaaaaa").await;
        let now = Timestamp::from_millis(10);
        let claim = take(&queue, &trusted(&HostId::from("h")), now).await.unwrap().unwrap();
        let report = Report::of(Outcome::Passed);
        let finished = queue.finish(&claim.attempt, &claim.fence, &report, now).await;
        assert_eq!(finished.unwrap(), Ok(Receipt::Counted), "{}", test.name);
        let host = HostId::from("h");
        assert!(
            store
                .insert_host(&host, "one", "o@example.org", true, now)
                .await
                .unwrap()
        );
        for sql in [
            "UPDATE host SET capabilities = '{'",
            "UPDATE attempt SET report = '{\"outcome\": \"sideways\"}'",
        ] {
            sqlx::query(sql).execute(store.pool()).await.unwrap();
        }
        let error = store.hosts().await.unwrap_err();
        let bad = BadRow::of(&error).unwrap();
        assert_eq!(
            (bad.table, bad.id.as_str(), bad.column.as_str()),
            ("host", "h", "capabilities"),
            "{}",
            test.name
        );
        // the page of an attempt shows how it ended all the same
        let attempt = store.attempt(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(attempt.report(), None);
        assert_eq!(attempt.outcome.as_deref(), Some("passed"));
        let bad = attempt.report.unwrap().unwrap_err();
        assert_eq!((bad.table, bad.id.as_str()), ("attempt", claim.attempt.as_str()));
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_read_holds_up_nobody() {
    for test in crate::support::stores().await {
        let queue = Queue::new(test.store.clone());
        queued(&test.store, &queue, "aaaaaaaa").await;
        sqlx::query("UPDATE job SET spec = '{}', priority = 99")
            .execute(test.store.pool())
            .await
            .unwrap();
        queued(&test.store, &queue, "bbbbbbbb").await;
        let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(10))
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(claim.spec, JobSpec::Image(build) if build.revision == "bbbbbbbb"));
        let ended: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM attempt WHERE outcome = 'infra'")
            .fetch_one(test.store.pool())
            .await
            .unwrap();
        assert_eq!(ended, 1, "{}", test.name);
    }
}

/// Pages and commands call revisions of Subversion by their numbers, and none is a row twice.
#[tokio::test]
async fn a_revision_of_subversion_is_found_by_its_label() {
    for test in crate::support::stores().await {
        let (name, store) = (test.name, &test.store);
        let branch = branch(store).await;
        let numbered = |sha: &str, place: &str| NewRevision {
            svn: Some(place.parse().unwrap()),
            ..revision(sha)
        };
        let (a, b) = (
            numbered("aaaaaaaa", "uuid trunk@9"),
            numbered("bbbbbbbb", "uuid trunk@10"),
        );
        let line = a.svn.clone().unwrap().folder;
        let advance = async |head: Option<&str>, to: &str, new: &[NewRevision], left: &[String]| {
            let branch_move = BranchMove {
                left: left.to_vec(),
                ..BranchMove::onto(to, new)
            };
            store
                .advance_branch(&branch.id, head, &branch_move, Timestamp::from_millis(1))
                .await
        };
        assert!(advance(None, "bbbbbbbb", &[a, b], &[]).await.unwrap(), "{name}");
        let known = [(9, "aaaaaaaa".to_owned()), (10, "bbbbbbbb".to_owned())];
        assert_eq!(store.in_svn_folder(&branch.id, &line).await.unwrap(), known, "{name}");
        let found = store.revision_by_sha("r10").await.unwrap().unwrap();
        assert_eq!((found.sha.as_str(), found.name()), ("bbbbbbbb", "r10"));
        assert!(store.revision_by_sha("r1").await.unwrap().is_none());
        let page = store.revision_page("r9").await.unwrap().unwrap();
        assert_eq!((page.rows.len(), page.rows[0].name()), (1, "r9"));

        let again = numbered("cccccccc", "uuid trunk@10");
        assert!(
            advance(Some("bbbbbbbb"), "cccccccc", &[again], &[]).await.is_err(),
            "{name}"
        );
        // another repository in its place has numbers of its own
        let other = numbered("dddddddd", "other trunk@10");
        let left: Vec<String> = known.iter().map(|(_, sha)| sha.clone()).collect();
        assert!(
            advance(Some("bbbbbbbb"), "dddddddd", &[other], &left).await.unwrap(),
            "{name}"
        );
        assert_eq!(store.in_svn_folder(&branch.id, &line).await.unwrap(), []);
        let newest = store.revision_by_sha("r10").await.unwrap().unwrap();
        assert_eq!(newest.sha, "dddddddd", "{name}");
        assert_eq!(store.revision_page("r10").await.unwrap().unwrap().rows.len(), 2);
    }
}

/// A host's images are judged by what the store knows of them.
#[tokio::test]
async fn what_a_host_may_let_go_is_told_from_the_store() {
    for test in crate::support::stores().await {
        let (name, store) = (test.name, &test.store);
        let queue = Queue::new(store.clone());
        let day = DAY_MS;
        let now = 100 * day;
        let built = |day: i64| Report {
            image: Some(BuiltImage {
                reference: "r".into(),
                digest: "sha256:1".into(),
                size: 1,
                facts: Facts::default(),
                layer: Layer::default(),
                remote: None,
            }),
            ..Report::of(if day >= 0 { Outcome::Passed } else { Outcome::Cancelled })
        };
        let mut keys = Vec::new();
        let mut specs = Vec::new();
        for (sha, at) in [("aaaaaaaa", 1), ("bbbbbbbb", 2), ("cccccccc", 3)] {
            queued(store, &queue, sha).await;
            let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(at * day))
                .await
                .unwrap()
                .unwrap();
            let JobSpec::Image(build) = claim.spec else {
                panic!("{name}")
            };
            queue
                .finish(
                    &claim.attempt,
                    &claim.fence,
                    &built(at),
                    Timestamp::from_millis(at * day + 5),
                )
                .await
                .unwrap()
                .unwrap();
            keys.push(build.build_key.clone());
            specs.push(build);
        }
        let held = |key: &str| HeldImage {
            id: key.to_owned(),
            names: vec![format!("pybots/cpython:{key}")],
            kind: ImageKind::Cpython,
            build_key: key.to_owned(),
            version: "3.14.0".into(),
            depth: 1,
            bytes: 7,
            ..HeldImage::default()
        };
        let build_tree = HeldVolume {
            name: specs[0].build_tree(&HostId::from("h")),
            kind: VolumeKind::BuildTree,
            owner: "h".into(),
            ..HeldVolume::default()
        };
        let cache = HeldVolume {
            name: specs[0].cache(),
            kind: VolumeKind::Cache,
            ..HeldVolume::default()
        };
        let stranger = HeldVolume {
            name: "pybots-cache-theirs".into(),
            ..cache.clone()
        };
        let in_force = HeldVolume {
            name: "pybots-cache-in-force".into(),
            ..stranger.clone()
        };
        let inventory = Inventory {
            host: "h".into(),
            free: None,
            images: keys.iter().map(|key| held(key)).chain([held("strange")]).collect(),
            volumes: vec![build_tree, cache, stranger, in_force],
        };
        let keeper = Keeper {
            store,
            policy: Settings::default().policy(),
            cache: "pybots-cache-in-force".into(),
            repository: None,
        };
        let judge = async |now: Timestamp| {
            let verdicts = keeper.receive(&inventory, true, now).await.unwrap();
            let words = |verdicts: &[RetentionDecision]| {
                verdicts
                    .iter()
                    .map(|verdict| verdict.reason.clone())
                    .collect::<Vec<_>>()
            };
            (words(&verdicts.images), words(&verdicts.volumes))
        };
        let (recent, unused) = (
            RetentionReason::Recent { days: 14 },
            RetentionReason::Unused { days: 14 },
        );
        let (old, tip) = (
            RetentionReason::Old { days: 14 },
            RetentionReason::Tip { branch: "trunk".into() },
        );
        let (images, volumes) = judge(Timestamp::from_millis(10 * day)).await;
        assert_eq!(
            images,
            [recent.clone(), recent.clone(), tip.clone(), RetentionReason::Foreign],
            "{name}"
        );
        assert_eq!(
            volumes,
            [recent.clone(), recent.clone(), RetentionReason::Foreign, recent.clone()],
            "{name}"
        );
        let (images, volumes) = judge(Timestamp::from_millis(now)).await;
        assert_eq!(
            images,
            [old.clone(), old.clone(), tip.clone(), RetentionReason::Foreign],
            "{name}"
        );
        assert_eq!(
            volumes,
            [unused.clone(), unused, RetentionReason::Foreign, recent],
            "{name}"
        );

        // a pin, twice for the same reason, and a job that waits
        let pinned = RetentionReason::Pinned { reason: "bug 1".into() };
        assert_eq!(
            store.build_keys_of("aaaaaaaa").await.unwrap(),
            [keys[0].clone()],
            "{name}"
        );
        for reason in ["bug 1", "bug 1", "bug 2"] {
            store
                .pin_image(&keys[0], reason, Timestamp::from_millis(5))
                .await
                .unwrap();
        }
        assert!(
            store
                .pin_image("strange", "bug 1", Timestamp::from_millis(5))
                .await
                .is_err(),
            "{name}"
        );
        sqlx::query("UPDATE job SET state = 'queued' WHERE spec LIKE '%bbbbbbbb%'")
            .execute(store.pool())
            .await
            .unwrap();
        let (images, volumes) = judge(Timestamp::from_millis(now)).await;
        assert_eq!(
            images[..2],
            [pinned.clone(), RetentionReason::OpenJob { jobs: 1 }],
            "{name}"
        );
        assert!(volumes[0].stays() && volumes[1].stays(), "{name}");
        assert_eq!(store.unpin_image(&keys[0], Some("bug 2")).await.unwrap(), 1, "{name}");
        assert_eq!(judge(Timestamp::from_millis(now)).await.0[0], pinned, "{name}");
        assert_eq!(store.unpin_image(&keys[0], None).await.unwrap(), 1, "{name}");
        assert_eq!(judge(Timestamp::from_millis(now)).await.0[0], old, "{name}");

        // which host holds what
        let revision = store.revision_by_sha("aaaaaaaa").await.unwrap().unwrap();
        let Some(RevisionImage::Image(image)) = store.image_of(&revision.id, "default", "linux/amd64").await.unwrap()
        else {
            panic!("{name}")
        };
        assert_eq!(store.hosts_with(&image.id).await.unwrap(), ["h"], "{name}");
        store
            .set_held(&HostId::from("h"), &keys[1..], true, Timestamp::from_millis(now + 1))
            .await
            .unwrap();
        assert_eq!(
            store.hosts_with(&image.id).await.unwrap(),
            Vec::<HostId>::new(),
            "{name}"
        );

        // who may not build does not hold an image by saying its key, which everybody can read
        let held = async |host: &str, trusted: bool, at: i64| {
            let keys = &keys[..1];
            let at = Timestamp::from_millis(now + at);
            store.set_held(&HostId::from(host), keys, trusted, at).await.unwrap();
            store.hosts_with(&image.id).await.unwrap()
        };
        assert_eq!(held("liar", false, 2).await, Vec::<HostId>::new(), "{name}");
        // what a build or a run of its own has shown is confirmed
        assert_eq!(held("built", true, 2).await, ["built"], "{name}");
        assert_eq!(held("built", false, 3).await, ["built"], "{name}");
        // and anybody can pull what a registry has
        let reference = format!("registry.example.org/cpython@sha256:{}", "a".repeat(64));
        assert!(store.set_remote(&keys[0], Some(&reference)).await.unwrap(), "{name}");
        assert_eq!(held("liar", false, 4).await, ["built", "liar"], "{name}");
    }
}

/// A run keeps its image and its project's wheels.
#[tokio::test]
async fn a_run_counts_as_a_use_of_its_image() {
    for test in crate::support::stores().await {
        let (name, store) = (test.name, &test.store);
        let queue = Queue::new(store.clone());
        let (revision, image) = queued(store, &queue, "aaaaaaaa").await;
        let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(1))
            .await
            .unwrap()
            .unwrap();
        let facts = Facts {
            abi_key: Some("abi".into()),
            ..Facts::default()
        };
        let report = Report {
            image: Some(BuiltImage {
                reference: "r".into(),
                digest: "sha256:1".into(),
                size: 1,
                facts,
                layer: Layer::default(),
                remote: None,
            }),
            ..Report::of(Outcome::Passed)
        };
        queue
            .finish(&claim.attempt, &claim.fence, &report, Timestamp::from_millis(2))
            .await
            .unwrap()
            .unwrap();
        let JobSpec::Image(build) = claim.spec else {
            panic!("{name}")
        };
        sqlx::query("INSERT INTO recipe (digest, project, text, seen_at) VALUES ('d', 'p', '', 1)")
            .execute(store.pool())
            .await
            .unwrap();
        let mut tx = store.begin().await.unwrap();
        let new = NewRun {
            revision_id: &revision.id,
            project: "p",
            variant: "default",
            platform: "linux/amd64",
            recipe: "d",
            image_id: Some(&ImageId::from(image.as_str())),
            skip_reason: None,
        };
        let run = store
            .insert_run(&mut tx, &new, Timestamp::from_millis(3))
            .await
            .unwrap()
            .unwrap();
        let spec = JobSpec::Image(build.clone());
        let new = NewJob {
            image: &ImageId::from(image.as_str()),
            run: Some(&run),
            platform: "linux/amd64",
            priority: 1,
            spec: &spec,
            proven: false,
            probe: None,
        };
        queue.add(&mut tx, &new, Timestamp::from_millis(3)).await.unwrap();
        tx.commit().await.unwrap();
        let keys = [build.build_key.clone()];
        let used = store.image_uses(&keys).await.unwrap().remove(0);
        assert_eq!((used.open_builds, used.open_runs, used.run_at), (0, 1, None), "{name}");
        let projects = [("p".to_owned(), report.image.unwrap().facts)];
        assert_eq!(
            store.runs_since(Timestamp::from_millis(i64::MAX)).await.unwrap(),
            projects,
            "{name}"
        );
        let claim = take(&queue, &trusted(&HostId::from("h")), Timestamp::from_millis(50))
            .await
            .unwrap()
            .unwrap();
        let report = Report::of(Outcome::Passed);
        queue
            .finish(&claim.attempt, &claim.fence, &report, Timestamp::from_millis(60))
            .await
            .unwrap()
            .unwrap();
        let used = store.image_uses(&keys).await.unwrap().remove(0);
        assert_eq!(
            (used.built_at, used.run_at, used.open_runs),
            (Some(Timestamp::from_millis(2)), Some(Timestamp::from_millis(60)), 0),
            "{name}"
        );
        assert_eq!(
            store.runs_since(Timestamp::from_millis(50)).await.unwrap(),
            projects,
            "{name}"
        );
        assert_eq!(
            store.runs_since(Timestamp::from_millis(51)).await.unwrap(),
            [],
            "{name}"
        );
    }
}

#[tokio::test]
async fn hosts_are_kept_with_a_digest_of_their_token() {
    for test in crate::support::stores().await {
        let (store, name) = (&test.store, test.name);
        let (host, token) = enrolment::add(store, "one", "o@example.org", false, Timestamp::from_millis(5))
            .await
            .unwrap();
        let digest = enrolment::Token::digest(token.secret());
        let found = store.host_of_token(&digest).await.unwrap().unwrap();
        assert_eq!(
            (&found.id, found.token_at, found.builds),
            (&host.id, Some(Timestamp::from_millis(5)), false),
            "{name}"
        );
        assert!(
            enrolment::add(store, "one", "o@example.org", true, Timestamp::from_millis(6))
                .await
                .is_err()
        );

        // not trusted: only runs, on what it holds
        let queue = Queue::new(store.clone());
        queued(store, &queue, "aaaaaaaa").await;
        let runner = Taker {
            host: &host.id,
            builds: false,
            pulls: false,
            most: None,
            capabilities: &capabilities(),
        };
        assert!(
            take(&queue, &runner, Timestamp::from_millis(10))
                .await
                .unwrap()
                .is_none(),
            "{name}"
        );
        let claim = take(
            &queue,
            &trusted(&HostId::from(host.id.as_str())),
            Timestamp::from_millis(10),
        )
        .await
        .unwrap()
        .unwrap();
        assert_eq!(store.attempts_by(&host.id, 5).await.unwrap()[0].id, claim.attempt);
        assert_eq!(store.host_loads().await.unwrap().get(&host.id), Some(&1));
        let history = store.host_history(&host.id, 5).await.unwrap();
        assert_eq!((history.len(), history[0].project.as_ref()), (1, None), "{name}");
        assert_eq!(history[0].branch, "trunk");

        // a new token ends the one before; a removed host has none
        let (_, newer) = enrolment::rotate(store, "one", Timestamp::from_millis(7))
            .await
            .unwrap();
        assert_eq!(store.host_of_token(&digest).await.unwrap(), None, "{name}");
        enrolment::bring(store, "one", HostState::Removed).await.unwrap();
        let newer = enrolment::Token::digest(newer.secret());
        assert_eq!(store.host_of_token(&newer).await.unwrap(), None, "{name}");
        assert!(
            enrolment::rotate(store, "one", Timestamp::from_millis(8))
                .await
                .is_err()
        );
        assert!(enrolment::bring(store, "one", HostState::Active).await.is_err());
    }
}

/// Each version of a recipe's folder is stored, and recipes change.
#[tokio::test]
async fn source_folders_that_nobody_needs_are_removed() {
    use crate::support::world::World;

    for test in crate::support::stores().await {
        let world = World::on(test.name, &test.store).await;
        let data = tempfile::tempdir().unwrap();
        let objects = pybots::store::logs::Objects::open(data.path()).unwrap();
        for digest in ["old", "queued", "registered"] {
            objects.put_folder(digest, b"tar").await.unwrap();
        }
        let revision = world.revision("trunk", "aa", 1).await;
        world.run("p", &revision, 1).await;
        let text: String = sqlx::query_scalar(
            "SELECT whole.spec FROM job_spec AS whole JOIN job ON job.id = job_id WHERE kind = 'run'",
        )
        .fetch_one(test.store.pool())
        .await
        .unwrap();
        let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
        spec["fetch"]["folders"] = serde_json::json!({ "p": "queued" });
        sqlx::query("UPDATE job SET spec = $1, spec_image = NULL, spec_recipe = NULL WHERE kind = 'run'")
            .bind(spec.to_string())
            .execute(test.store.pool())
            .await
            .unwrap();
        let recipe = "name = \"p\"\nsource = { pypi = \"p\" }\n[[suite]]\nname = \"s\"\nrun = \"true\"\n";
        let mut project = pybots::recipe::folder::register("p.toml", recipe.to_owned(), None).unwrap();
        project.folders = [("p".to_owned(), "registered".to_owned())].into();
        let projects = [project];
        let removed = async |at: Timestamp| {
            let done = pybots::coordinator::keep::remove_folders(&test.store, &objects, &projects, 14, at).await;
            done.unwrap()
        };
        let now = pybots::clock::now();
        assert_eq!(removed(now + 13 * DAY_MS).await, 0, "{}", test.name);
        assert_eq!(removed(now + 15 * DAY_MS).await, 1, "{}", test.name);
        let there = async |digest: &str| objects.folder(digest).await.unwrap().is_some();
        assert!(!there("old").await && there("queued").await && there("registered").await);
        // what is needed again is stored again
        objects.put_folder("old", b"tar").await.unwrap();
        assert!(there("old").await);
    }
}

#[tokio::test]
async fn ended_tokens_and_old_audit_entries_are_removed() {
    use pybots::access;
    use pybots::domain::access::{Permissions, Roles};
    use pybots::store::audit::AuditEntry;
    use pybots::store::tokens::NewToken;

    for test in crate::support::stores().await {
        let store = &test.store;
        let now = pybots::clock::now();
        let ago = |days: i64| now - days * DAY_MS;
        let mut tx = store.begin().await.unwrap();
        let account = store
            .insert_account(&mut tx, "ann", "", &Roles::default(), ago(1_000))
            .await;
        let account = account.unwrap().unwrap();
        // name, days since it expired, days since it was revoked
        for (name, expired, revoked) in [
            ("valid", -1, None),
            ("expired lately", 89, None),
            ("expired", 91, None),
            ("revoked lately", -200, Some(89)),
            ("revoked", -200, Some(91)),
            ("both", 91, Some(91)),
            ("of a session", 91, None),
        ] {
            let new = NewToken {
                account: &account.id,
                name,
                digest: name,
                permissions: &Permissions::all(),
                expires_at: ago(expired),
                login: false,
            };
            let token = store.insert_token(&mut tx, &new, ago(300)).await.unwrap();
            if name == "of a session" {
                store
                    .insert_session(&mut tx, "cookie", &token, (now, now + DAY_MS))
                    .await
                    .unwrap();
            }
            if let Some(days) = revoked {
                assert!(store.revoke_token(&mut tx, &token.id, ago(days)).await.unwrap());
            }
        }
        // more than are removed at a time
        for number in 0..1_100 {
            let days = if number < 1_050 { 731 } else { 729 };
            let entry = AuditEntry {
                id: String::new(),
                at: ago(days),
                account: "ann".into(),
                token: String::new(),
                address: String::new(),
                action: "test".into(),
                subject: "project p".into(),
                before: String::new(),
                after: String::new(),
            };
            store.insert_audit(&mut tx, &entry).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(
            access::remove_old(store, 730, now).await.unwrap(),
            3 + 1_050,
            "{}",
            test.name
        );
        let mut names: Vec<String> = Vec::new();
        names.extend(
            store
                .tokens(&account.id, 100)
                .await
                .unwrap()
                .into_iter()
                .map(|token| token.name),
        );
        names.sort();
        assert_eq!(
            names,
            ["expired lately", "of a session", "revoked lately", "valid"],
            "{}",
            test.name
        );
        let entries = store.audit(None, None, 10_000).await.unwrap();
        assert!(
            entries.len() == 50 && entries.iter().all(|entry| entry.at == ago(729)),
            "{}",
            test.name
        );
        assert_eq!(access::remove_old(store, 730, now).await.unwrap(), 0, "{}", test.name);
        // a setting says how long the audit log stays
        assert_eq!(access::remove_old(store, 700, now).await.unwrap(), 50, "{}", test.name);
        if test.name != "sqlite" {
            continue;
        }
        // none of the tables is read from end to end
        for (table, column) in [
            ("access_token", "expires_at"),
            ("access_token", "revoked_at"),
            ("audit_entry", "at"),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN SELECT id FROM {table} WHERE {column} < 1 ORDER BY {column} LIMIT 1");
            let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .fetch_all(store.pool())
                .await
                .unwrap();
            let plan: Vec<&str> = rows.iter().map(|(.., detail)| detail.as_str()).collect();
            assert!(
                matches!(&plan[..], [one] if one.starts_with("SEARCH ")),
                "{table}.{column}: {plan:?}"
            );
        }
    }
}
