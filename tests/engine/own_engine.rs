//! What happens to an engine happens to builds on it: it stops and comes back, its disk fills up.

use crate::support::engine::OwnEngine;
use crate::support::toy::Toy;
use crate::support::up::engine_wanted;
use pybots::config::Settings;
use pybots::domain::outcome::Outcome;
use pybots::profile::Profiles;
use pybots::runtime::{HOST_LABEL, Runtime};
use std::time::{Duration, Instant};

/// An engine of 4 GiB with the images below CPython.
fn engine() -> Option<(OwnEngine, Settings)> {
    if !engine_wanted() {
        return None;
    }
    let engine = OwnEngine::start(4096)?;
    let below = Profiles::load(None).unwrap().distribution;
    engine.copy(&[below.toolchain_reference(), below.runtime_reference()]);
    let mut settings = crate::support::settings();
    settings.engine.socket = engine.socket();
    settings.engine.min_free_gib = 0;
    Some((engine, settings))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_survives_a_restart_of_the_engine() {
    let Some((mut engine, settings)) = engine() else { return };
    let toy_cpython = Toy::new(settings).await;
    let t = &toy_cpython;
    let slow = t.commit("slow", &[("configure.slow", "600")]);
    let make = t.make(&slow);
    let restart = async {
        let start = Instant::now();
        let filter = format!("label={HOST_LABEL}={}", t.factory.host.id);
        while engine.docker(&["ps", "--quiet", "--filter", &filter]).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(120), "no build begins");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::task::block_in_place(|| {
            engine.stop();
            engine.again();
        });
    };
    let (killed, ()) = tokio::join!(make, restart);
    let Outcome::Infra { reason } = &killed.report.outcome else {
        panic!("{}\n{}", killed.report.outcome, killed.log);
    };
    println!("{reason}");

    // what the next start of a host does first
    t.factory.runtime.reap(HOST_LABEL, &t.factory.host.id).await.unwrap();
    let quick = t.commit("quick", &[("configure.slow", "0")]);
    let again = t.make(&quick).await;
    assert_eq!(again.report.outcome, Outcome::Passed, "{}", again.log);
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "");
    toy_cpython.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_not_held_against_cpython() {
    let Some((engine, settings)) = engine() else { return };
    let toy_cpython = Toy::new(settings).await;
    let t = &toy_cpython;
    engine.fill(15);
    let sha = t.repository.git(&["rev-parse", "HEAD"]);
    let full = t.make(&sha).await;
    let Outcome::Infra { reason } = &full.report.outcome else {
        panic!("{}\n{}", full.report.outcome, full.log);
    };
    println!("{reason}");
    assert!(
        reason.to_lowercase().contains("disk is full") || reason.contains("no space left"),
        "{reason}"
    );
    assert!(t.factory.runtime.image(&full.spec.reference()).await.unwrap().is_none());

    std::fs::remove_file(engine.root().join("full")).unwrap();
    let again = t.make(&sha).await;
    assert_eq!(again.report.outcome, Outcome::Passed, "{}", again.log);
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "");
    toy_cpython.close().await;
}
