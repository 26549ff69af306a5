//! Images travel through a real registry from the engine that built them to one that never built.

use crate::support::engine::OwnEngine;
use crate::support::factory::{Factory, Made, tail};
use crate::support::registry::{PASSWORD, Registry};
use crate::support::toy::{Toy, toy};
use crate::support::up::{HostProcess, Up, engine_wanted, pybots, settings, toy_repository};
use crate::support::{copy_folder, here};
use pybots::config::{NetworkSettings, Settings};
use pybots::coordinator::remote::Api;
use pybots::domain::job::{BuildSpec, Remote, RemoteImage};
use pybots::domain::outcome::Outcome;
use pybots::profile::Profiles;
use pybots::runtime::Runtime;
use std::time::Instant;

/// A builder on the machine's engine, and a host on an engine of its own that may not build.
struct Two {
    registry: Registry,
    builder: Toy,
    engine: OwnEngine,
    runner: Factory,
}

async fn two() -> Option<Two> {
    if !engine_wanted() {
        return None;
    }
    let registry = Registry::start()?;
    let engine = OwnEngine::start(4096)?;
    let settings = Settings {
        registry: registry.settings(),
        ..crate::support::settings()
    };
    let builder = Toy::new(settings.clone()).await;
    let mut own = settings;
    own.engine.socket = engine.socket();
    own.engine.min_free_gib = 0;
    let images = builder.folder.path().join("images");
    let mut runner = Factory::open(&builder.repository.path, Some(&images), &own).await;
    runner.host.builds = false;
    Some(Two {
        registry,
        builder,
        engine,
        runner,
    })
}

impl Two {
    /// Built, and pushed.
    async fn build(&self, sha: &str) -> Made {
        let mut spec = self.builder.factory.spec(sha, "default").await.unwrap();
        spec.remote = Some(Remote {
            repository: self.registry.settings().repository,
            image: None,
        });
        let made = self.builder.factory.make_spec(spec).await;
        assert_eq!(made.report.outcome, Outcome::Passed, "{}", made.log);
        made
    }

    /// What the coordinator tells of it.
    fn told(&self, made: &Made) -> BuildSpec {
        let image = made.image();
        let mut spec = made.spec.clone();
        spec.remote = Some(Remote {
            repository: self.registry.settings().repository,
            image: Some(RemoteImage {
                reference: image.remote.clone().unwrap_or_else(|| panic!("{}", tail(&made.log))),
                facts: image.facts.clone(),
            }),
        });
        spec
    }
}

fn seconds(made: &Made, phase: &str) -> f64 {
    let phases = made.report.phases.iter().filter(|ran| ran.name == phase);
    phases.map(|ran| ran.seconds).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_arrives_on_an_engine_that_never_built() {
    let Some(two) = two().await else { return };
    let wire = two.engine.reach(two.registry.port);
    let t = &two.builder;
    let first = two.build(&t.commit("first", &[("Lib/toy.py", &toy("A = 1"))])).await;
    let (frame_bytes, frame_push) = (two.registry.bytes(), seconds(&first, "push"));
    let second = two.build(&t.commit("second", &[("Lib/toy.py", &toy("A = 2"))])).await;
    let (both_bytes, delta_push) = (two.registry.bytes(), seconds(&second, "push"));

    // two slots of the host want it at once
    let told = two.told(&first);
    let (one, other) = tokio::join!(two.runner.make_spec(told.clone()), two.runner.make_spec(told));
    for pulled in [&one, &other] {
        assert_eq!(pulled.report.outcome, Outcome::Passed, "{}", pulled.log);
        assert_eq!(pulled.image().facts, first.image().facts);
        assert_eq!(pulled.image().digest, first.image().digest);
    }
    let pulls = [&one, &other]
        .iter()
        .filter(|made| made.log.contains("pulling "))
        .count();
    assert_eq!(pulls, 1, "{}\n{}", one.log, other.log);
    let frame_came = wire.came();
    let clock = Instant::now();
    let delta = two.runner.make_spec(two.told(&second)).await;
    let delta_seconds = clock.elapsed().as_secs_f64();
    assert_eq!(delta.report.outcome, Outcome::Passed, "{}", delta.log);
    let delta_came = wire.came() - frame_came;
    println!(
        "key frame: {frame_bytes} bytes pushed in {frame_push:.1} s, {frame_came} bytes pulled in {:.1} s; built in {:.1} s\n\
         next revision: {} bytes pushed in {delta_push:.1} s, {delta_came} bytes pulled in {delta_seconds:.1} s with probe; built in {:.1} s",
        seconds(&one, "pull") + seconds(&other, "pull"),
        first.seconds,
        both_bytes - frame_bytes,
        second.seconds,
    );
    assert!(delta_came * 100 < frame_came, "{delta_came} of {frame_came}");
    assert!((both_bytes - frame_bytes) * 100 < frame_bytes);
    assert!(
        delta.log.contains("1 of ") && delta.log.contains("were there"),
        "{}",
        delta.log
    );

    // an image has one name on each engine, and no other
    let names = two.engine.docker(&[
        "images",
        "--digests",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.Digest}}",
    ]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    let mut wanted = [&one, &delta].map(|made| format!("{} <none>", made.image().reference));
    wanted.sort_unstable();
    assert_eq!(names, wanted);

    // what is let go is gone; then it is said who can do what about that
    let api = Api::open(
        &two.registry.settings(),
        &NetworkSettings::default(),
        &two.registry.settings().repository,
    )
    .unwrap();
    let told = two.told(&second);
    let reference = &told.remote.as_ref().unwrap().image.as_ref().unwrap().reference;
    let (_, digest) = reference.split_once('@').unwrap();
    assert!(api.has(digest).await.unwrap());
    api.delete(digest).await.unwrap();
    assert!(!api.has(digest).await.unwrap());
    api.delete(digest).await.unwrap();
    let name = told.reference();
    // an engine remembers the manifest of an image that it no longer has until it next removes garbage, and the layers stay in
    // the registry until that does
    let mut tries = 0;
    let lost = loop {
        two.runner.runtime.remove_image(&name).await.unwrap();
        let made = two.runner.make_spec(told.clone()).await;
        tries += 1;
        if made.report.outcome != Outcome::Passed || tries == 10 {
            break made;
        }
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    };
    let Outcome::Infra { reason } = &lost.report.outcome else {
        panic!("{}", lost.log)
    };
    assert!(
        reason.contains("can't be pulled") && reason.contains("may not build"),
        "{reason}"
    );
    println!("{reason}");
    t.factory.runtime.remove_image(&name).await.unwrap();
    let rebuilt = t.factory.make_spec(told).await;
    assert_eq!(rebuilt.report.outcome, Outcome::Passed, "{}", rebuilt.log);
    assert!(rebuilt.log.contains("; building it"), "{}", rebuilt.log);

    let Two { builder, runner, .. } = two;
    runner.close().await;
    builder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_must_be_what_was_built() {
    let Some(mut two) = two().await else { return };
    let _wire = two.engine.reach(two.registry.port);
    let t = &two.builder;
    let first = two.build(&t.commit("first", &[("Lib/toy.py", &toy("A = 1"))])).await;
    let second = two.build(&t.commit("second", &[("Lib/toy.py", &toy("A = 2"))])).await;

    // another image under the digest that was told
    let mut wrong = two.told(&second);
    wrong.remote = two.told(&first).remote;
    let refused = two.runner.make_spec(wrong).await;
    let Outcome::Infra { reason } = &refused.report.outcome else {
        panic!("{}", refused.log)
    };
    assert!(reason.contains("its build key is"), "{reason}");
    // the right one, which says something else of itself
    let mut wrong = two.told(&first);
    let image = wrong.remote.as_mut().unwrap().image.as_mut().unwrap();
    image.facts.abi_key = Some("another".into());
    let refused = two.runner.make_spec(wrong).await;
    let Outcome::Infra { reason } = &refused.report.outcome else {
        panic!("{}", refused.log)
    };
    assert!(reason.contains("it reports"), "{reason}");
    assert_eq!(two.engine.docker(&["images", "--quiet"]), "", "nothing of it is left");

    // without the login nothing is had, and the password is in no word of it
    let mut stranger = two.runner.host.clone();
    stranger.registry.user = String::new();
    let stranger = two.runner.with(stranger);
    let refused = stranger.make_spec(two.told(&first)).await;
    let Outcome::Infra { reason } = &refused.report.outcome else {
        panic!("{}", refused.log)
    };
    assert!(reason.contains("no basic auth credentials"), "{reason}");
    assert!(!refused.log.contains(PASSWORD) && !first.log.contains(PASSWORD));

    // a registry that is down spoils no build
    two.registry.stop();
    let t = &two.builder;
    let third = two.build(&t.commit("third", &[("Lib/toy.py", &toy("A = 3"))])).await;
    assert_eq!(third.image().remote, None);
    assert!(third.log.contains("not pushed: "), "{}", third.log);
    let Two { builder, runner, .. } = two;
    runner.close().await;
    builder.close().await;
}

#[test]
fn hosts_that_may_not_build_run_what_others_built() {
    if !engine_wanted() {
        return;
    }
    let Some(mut registry) = Registry::start() else { return };
    let Some(engine) = OwnEngine::start(6144) else { return };
    let _wire = engine.reach(registry.port);
    engine.copy(&[Profiles::load(None).unwrap().distribution.toolchain_reference()]);
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let projects = folder.path().join("projects");
    copy_folder(&here().join("tests/fixtures/projects/passes"), &projects.join("passes"));
    let login = registry.toml();
    let retention = |days: u32| format!("{login}[retention]\nevery = \"1s\"\ndays = {days}\n");
    settings(folder.path(), &projects, &[("trunk", "main", 1)], &retention(14));
    let mut up = Up::start_as(folder.path(), "serve");
    let (builds, runs) = (up.enrol("builds", &["--builds"]), up.enrol("runs", &[]));
    let mut builder = HostProcess::start_with(&folder.path().join("builds"), Some(&builds), &registry.toml());
    let first = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(up.decided(&first, "passes")["state"], "pass", "{}", builder.log());

    // what the registry has lost is pushed again
    assert!(registry.bytes() > 1_000_000, "{}", registry.log());
    registry.wipe();
    up.until("the loss to be seen", || {
        up.log().contains("the registry lost an image").then_some(())
    });
    up.until("another push", || {
        builder.log().contains("pushed reference").then_some(())
    });

    // an engine that never built, and a host that may not
    assert!(pybots(folder.path(), &["host", "drain", "builds"]).status.success());
    let own = format!(
        "{}[engine]\nsocket = {:?}\nnetwork = \"none\"\nmin_free_gib = 0\n",
        registry.toml(),
        engine.socket()
    );
    let mut runner = HostProcess::start_with(&folder.path().join("runs"), Some(&runs), &own);
    repository.write("NEWS", "nothing that a build reads");
    let second = repository.commit("news");
    let cell = up.decided(&second, "passes");
    assert_eq!(cell["state"], "pass", "{cell} {}", runner.log());
    let log = pybots(folder.path(), &["logs", cell["run"].as_str().unwrap()]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("pulling ") && log.contains("layers moved"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    let held = engine.docker(&["images", "--format", "{{.Repository}}"]);
    assert!(
        held.contains("pybots/cpython") && !held.contains("pybots/runtime"),
        "{held}"
    );

    let where_it_is = |name: &str| {
        let images = pybots(folder.path(), &["images", "--json"]);
        let images: serde_json::Value = serde_json::from_slice(&images.stdout).unwrap();
        let images = images["images"].as_array().unwrap();
        let mine = |image: &&serde_json::Value| image["revision"] == second.as_str();
        images.iter().find(mine).unwrap()[name].clone()
    };
    let repository_name = registry.settings().repository;
    assert!(where_it_is("remote").as_str().unwrap().starts_with(&repository_name));
    let shown = pybots(folder.path(), &["config"]);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains(PASSWORD));

    // once nobody needs it, it goes from the registry too
    runner.stop();
    builder.stop();
    up.stop();
    settings(folder.path(), &projects, &[("other", "none-such", 1)], &retention(0));
    let up = Up::start_as(folder.path(), "serve");
    up.until("the removal", || {
        up.log().contains("removed from the registry").then_some(())
    });
    assert!(where_it_is("remote").is_null());
}
