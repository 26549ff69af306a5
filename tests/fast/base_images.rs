//! The images below CPython change: what differs between two runs is then more than CPython.

use crate::support::sim::Sim;
use crate::support::world::PLATFORM;
use pybots::domain::state::ImageState;
use pybots::store::images::RevisionImage;

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_breaks_a_project_is_no_revisions_fault() {
    let mut sim = Sim::new(&["p", "q"], 2).await;
    let faults = "package file a";
    sim.commit("start", faults);
    sim.commits(3, faults);
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    sim.stop();
    sim.add_package("file");
    sim.run().await;
    sim.commit("quiet", faults);
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 0, "{found:#?}");
    let answers = sim.answers().await;
    let about = |answer: &&String| answer.contains("most likely since the images below CPython changed");
    assert_eq!(answers.iter().filter(about).count(), 2, "{answers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_culprit_is_found_across_a_change_of_the_images_below() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commit("start", "");
    sim.commits(2, "");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    sim.stop();
    sim.add_package("file");
    sim.commits(2, "package file b");
    let culprit = sim.commit("breaks", "fail a\npackage file b");
    sim.commits(2, "fail a\npackage file b");
    sim.run().await;
    sim.all_decided().await;
    let found = sim.settled().await;
    let culprits = crate::support::sim::culprits(&found);
    // what the package breaks only since the tree says so has a culprit of its own
    assert!(culprits.contains(&("a", culprit.as_str())), "{found:#?}");
    assert!(!culprits.contains(&("b", culprit.as_str())), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_on_replaced_images_are_no_evidence() {
    let mut sim = Sim::new(&["p"], 2).await;
    let faults = "package file a";
    sim.commit("start", faults);
    sim.commits(6, faults);
    let culprit = sim.commit("breaks", "package file a\nfail b");
    sim.commits(6, "package file a\nfail b");
    sim.run().await;
    sim.inquires().await;
    // the investigation of `b` is under way when the image below changes
    sim.stop_between_jobs().await;
    sim.add_package("file");
    sim.run().await;
    sim.commit("quiet", "package file a\nfail b");
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(
        crate::support::sim::culprits(&found),
        [("b", culprit.as_str())],
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_breaks_a_project_is_no_revisions_fault() {
    let mut sim = Sim::new(&["p"], 2).await;
    let faults = "flag --with-trouble a";
    sim.commit("start", faults);
    sim.commits(3, faults);
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    sim.stop();
    sim.add_flag("--with-trouble");
    sim.run().await;
    sim.commit("quiet", faults);
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 0, "{found:#?}");
    let answers = sim.answers().await;
    assert!(
        answers.iter().any(|answer| answer.contains("when that is rerun today")),
        "{answers:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_on_other_images_is_no_revisions_fault() {
    let mut sim = Sim::new(&["p"], 2).await;
    let old = "nobuild-with file\npackage file a";
    sim.commit("start", old);
    sim.commits(3, old);
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    sim.stop();
    sim.add_package("file");
    sim.run().await;
    // what is built of the revision before it for an investigation fails to build
    sim.commit("quiet", "package file a");
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 0, "{found:#?}");
    let answers = sim.answers().await;
    assert!(
        answers.iter().any(|answer| answer.contains("can't be tested")),
        "{answers:#?}"
    );
}

/// The profile is narrowed while revisions have images that it built.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_no_profile_builds_any_more_keeps_its_image() {
    let mut sim = Sim::new(&["p"], 2).await;
    sim.commits(2, "");
    let old = sim.commit("the last that can be built", "");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    sim.stop();
    sim.builds_only(">=3.15");
    sim.version((3, 16));
    sim.run().await;
    sim.commit("breaks", "fail a");
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 0, "{found:#?}");
    let answers = sim.answers().await;
    // the investigation runs nothing on the old image, for that would differ in more than CPython
    assert!(
        answers.iter().any(|answer| answer.contains("can't be tested")),
        "{answers:#?}"
    );
    let store = &sim.coordinator().store;
    let revision = store.revision_by_sha(&old).await.unwrap().unwrap();
    let image = store.image_of(&revision.id, "default", PLATFORM).await.unwrap();
    assert!(
        matches!(&image, Some(RevisionImage::Image(image)) if image.state == ImageState::Ready),
        "{image:?}"
    );
    assert_eq!(sim.cell(&old, "p").await, "pass");
}

/// Two hosts that built their images on different days have different ones under one reference.
#[tokio::test(flavor = "multi_thread")]
async fn images_below_that_differ_are_named_on_the_incident() {
    let mut sim = Sim::new(&["p"], 1).await;
    sim.commit("start", "base old");
    sim.run().await;
    assert_eq!(sim.settled().await.len(), 0);
    sim.commit("breaks", "base new\nfail a");
    let found = sim.settled().await;
    let difference = "base image: sha256:old in the passing run, sha256:new in the failing one";
    assert_eq!(found[0].regressions[0].conditions, [difference], "{found:#?}");
    let page = sim.page("/incident/1").await;
    assert!(page.contains(&format!("<li>{difference}</li>")), "{page}");
}
