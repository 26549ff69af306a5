//! Images between hosts through a registry, on the strict fake engine.

use crate::support::factory::Memory;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use pybots::config::{RegistrySettings, Settings};
use pybots::domain::job::{BuildSpec, Facts, JobSpec, Remote, RemoteImage, Report};
use pybots::domain::outcome::Outcome;
use pybots::domain::time::Timestamp;
use pybots::domain::tree::{TreeChange, Wanted};
use pybots::host::log::Log;
use pybots::host::{Host, Supply};
use pybots::profile::Profiles;
use pybots::runtime::fake::{FakeRegistry, FakeRuntime};
use pybots::store::new_id;
use pybots::store::revisions::Revision;
use std::sync::Arc;

const REPOSITORY: &str = "registry.example.org/pybots/cpython";
const SHA: &str = "0123456789abcdef";
const VERSION: &str = "3.14.0 (trunk:0123456789) [GCC 12]";

struct NoSupply;

#[async_trait]
impl Supply for NoSupply {
    async fn tree(&self, _: &str, _: &Wanted) -> anyhow::Result<BoxStream<'static, std::io::Result<Bytes>>> {
        anyhow::bail!("there are no sources here")
    }

    async fn changes(&self, _: &str, _: &str, _: &[String]) -> anyhow::Result<Option<Vec<TreeChange>>> {
        Ok(None)
    }

    async fn folder(&self, _: &str) -> anyhow::Result<Vec<u8>> {
        anyhow::bail!("there are no folders here")
    }
}

fn spec(image: Option<&str>) -> BuildSpec {
    let revision = Revision {
        id: "r".into(),
        branch_id: "b".into(),
        branch: "trunk".into(),
        seq: 1,
        sha: SHA.into(),
        tree: "t".into(),
        author: "a".into(),
        subject: "s".into(),
        committed_at: Timestamp::from_millis(0),
        version: Some("3.14.0".into()),
        left_at: None,
        label: None,
    };
    let profiles = Profiles::load(None).unwrap();
    let profile = pybots::plan::profile(&revision, &profiles, "default").unwrap();
    let below = &profiles.distribution;
    let mut spec = pybots::plan::build(&revision, profile, below, "inputs", "default", "linux/amd64").unwrap();
    let image = image.map(|reference| RemoteImage {
        reference: reference.to_owned(),
        facts: Facts {
            sys_version: VERSION.into(),
            line: "3.14".into(),
            revision: SHA[..10].into(),
            ..Facts::default()
        },
    });
    spec.remote = Some(Remote {
        repository: REPOSITORY.into(),
        image,
    });
    spec
}

/// An engine that holds the image, as if it had built it.
fn builder(registry: &FakeRegistry) -> FakeRuntime {
    let spec = spec(None);
    let labels = [
        ("org.pybots.kind", "cpython"),
        ("org.pybots.build-key", spec.build_key.as_str()),
        ("org.pybots.revision", SHA),
    ];
    FakeRuntime::default()
        .with_registry(registry)
        .with_labelled(&spec.reference(), &labels)
}

/// One probe is expected, and answers.
fn answers(engine: &FakeRuntime) {
    let facts = [
        ("sys_version", VERSION),
        ("line", "3.14"),
        ("revision", &SHA[..10]),
        ("end", ""),
    ];
    let lines = facts.map(|(key, value)| format!("pybots-probe\t{key}\t{value}\n"));
    engine.expect("", "probe").prints(lines.concat().as_bytes());
}

fn host(engine: &FakeRuntime, builds: bool) -> Host {
    let mut host = Host::new(
        new_id(),
        Arc::new(engine.clone()),
        Arc::new(NoSupply),
        &Settings::default(),
    );
    host.builds = builds;
    host
}

async fn perform(host: &Host, spec: BuildSpec) -> (Report, String) {
    let memory = Arc::new(Memory::default());
    let (log, delivered) = Log::start(memory.clone());
    let report = host.perform(&new_id(), &JobSpec::Image(Box::new(spec)), &log).await;
    drop(log);
    delivered.await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&memory.0.lock().unwrap()).into_owned();
    (report, text)
}

/// Pushes the image, and returns where it is.
async fn pushed(registry: &FakeRegistry) -> String {
    let engine = builder(registry);
    answers(&engine);
    let (report, log) = perform(&host(&engine, true), spec(None)).await;
    assert_eq!(engine.complaints(), Vec::<String>::new());
    assert_eq!(engine.image_names(), [spec(None).reference()], "{log}");
    assert!(report.phases.iter().any(|phase| phase.name == "push"));
    report.image.unwrap().remote.unwrap_or_else(|| panic!("{log}"))
}

#[tokio::test]
async fn what_one_host_pushed_two_jobs_of_another_pull_once() {
    let registry = FakeRegistry::default();
    let reference = pushed(&registry).await;
    assert!(reference.starts_with(&format!("{REPOSITORY}@sha256:")), "{reference}");
    let engine = FakeRuntime::default().with_registry(&registry);
    answers(&engine);
    answers(&engine);
    let runner = host(&engine, false);
    let ((one, _), (other, _)) = tokio::join!(
        perform(&runner, spec(Some(&reference))),
        perform(&runner, spec(Some(&reference)))
    );
    assert_eq!((&one.outcome, &other.outcome), (&Outcome::Passed, &Outcome::Passed));
    assert_eq!(registry.traffic(), (1, 1));
    assert_eq!(engine.image_names(), [spec(None).reference()]);
    assert_eq!(engine.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_registry_that_is_down_stops_only_who_may_not_build() {
    let registry = FakeRegistry::default();
    let reference = pushed(&registry).await;
    registry.set_down(true);

    let engine = FakeRuntime::default().with_registry(&registry);
    let (report, _) = perform(&host(&engine, false), spec(Some(&reference))).await;
    let Outcome::Infra { reason } = report.outcome else {
        panic!("{}", report.outcome)
    };
    assert!(
        reason.contains("connection refused") && reason.contains("may not build"),
        "{reason}"
    );
    // the other goes on to build, for which this engine has nothing
    let (_, log) = perform(&host(&engine, true), spec(Some(&reference))).await;
    assert!(log.contains("connection refused; building it"), "{log}");

    let engine = builder(&registry);
    answers(&engine);
    let (report, log) = perform(&host(&engine, true), spec(None)).await;
    assert_eq!(report.outcome, Outcome::Passed);
    assert_eq!(report.image.unwrap().remote, None);
    assert!(log.contains("not pushed: "), "{log}");
    assert_eq!(engine.image_names(), [spec(None).reference()]);
}

#[tokio::test]
async fn what_is_another_image_gets_no_name() {
    let registry = FakeRegistry::default();
    let reference = pushed(&registry).await;
    let engine = FakeRuntime::default().with_registry(&registry);
    answers(&engine);
    let mut other = spec(Some(&reference));
    if let Some(image) = other.remote.as_mut().and_then(|remote| remote.image.as_mut()) {
        image.facts.soabi = "cpython-315".into();
    }
    let (report, _) = perform(&host(&engine, false), other).await;
    assert!(matches!(report.outcome, Outcome::Infra { .. }), "{}", report.outcome);
    let mut other = spec(Some(&reference));
    other.build_key = "another".into();
    let (report, _) = perform(&host(&engine, false), other).await;
    let Outcome::Infra { reason } = report.outcome else {
        panic!("{}", report.outcome)
    };
    assert!(reason.contains(", not another"), "{reason}");
    assert_eq!(engine.image_names(), Vec::<String>::new());
    assert_eq!(engine.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_password_that_can_t_be_read_is_said() {
    let registry = FakeRegistry::default();
    let engine = builder(&registry);
    answers(&engine);
    let mut host = host(&engine, true);
    host.registry = RegistrySettings {
        repository: REPOSITORY.into(),
        user: "mary".into(),
        password_file: "/nowhere/password".into(),
    };
    let (report, log) = perform(&host, spec(None)).await;
    assert_eq!(report.outcome, Outcome::Passed);
    assert!(log.contains("correct `registry.password_file`"), "{log}");
}
