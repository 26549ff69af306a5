use super::*;
use crate::domain::job::{BuildSpec, BuiltImage, Facts, ImageUnderTest};
use crate::domain::limits::{Limits, Size};
use crate::domain::results::{Failure, Tests};
use crate::domain::suite::{Fetch, Suite};
use std::collections::BTreeMap;

fn build() -> BuildSpec {
    let text = serde_json::json!({
        "build_key": "k".repeat(64), "revision": "0123456789", "branch": "trunk", "version": "3.14.0", "variant": "default",
        "profile": profile(), "distribution": distribution(),
    });
    serde_json::from_value(text).unwrap()
}

fn profile() -> serde_json::Value {
    let profiles = crate::profile::Profiles::load(None).unwrap();
    serde_json::to_value(profiles.for_version(&"3.14.0".parse().unwrap()).unwrap()).unwrap()
}

fn distribution() -> serde_json::Value {
    serde_json::to_value(&crate::profile::Profiles::load(None).unwrap().distribution).unwrap()
}

fn run(suites: usize) -> JobSpec {
    let suite = |number: usize| Suite {
        name: format!("s{number}"),
        run: "true".into(),
        report: None,
        modes: Vec::new(),
    };
    JobSpec::Run(Box::new(RunSpec {
        project: "p".into(),
        image: ImageUnderTest {
            reference: build().reference(),
            build: build(),
            facts: Facts::default(),
        },
        distribution: build().distribution,
        fetch: Fetch {
            project: "p".into(),
            sources: Vec::new(),
            requires: Vec::new(),
            groups: Vec::new(),
            as_of: None,
            python: "3.14".into(),
            free_threaded: false,
            folders: BTreeMap::new(),
            lock: None,
        },
        system: Vec::new(),
        install: None,
        install_network: false,
        wheels_anew: false,
        env: BTreeMap::new(),
        suites: (0..suites).map(suite).collect(),
        limits: Limits::default(),
        labels: Default::default(),
    }))
}

fn receive(job: &JobSpec, builds: bool, report: Report) -> Result<Report, String> {
    receive_all(job, builds, report).map(|received| received.report)
}

fn receive_all(job: &JobSpec, builds: bool, report: Report) -> Result<Received, String> {
    let started_at = Timestamp::from_millis(1_000_000);
    let cancelled = false;
    Expected {
        job: Some(job),
        builds,
        cancelled,
        started_at,
    }
    .receive(report)
}

fn phase(name: &str) -> Phase {
    Phase {
        name: name.into(),
        started_at: Timestamp::from_millis(7),
        seconds: 1.5,
        exit_code: Some(0),
        log_from: 9,
    }
}

#[test]
fn an_honest_report_stays_as_it_is() {
    let report = Report {
        phases: ["fetch", "install", "test s0"].map(phase).to_vec(),
        interpreter: Some("3.14.0 (trunk)".into()),
        images: BTreeMap::from([("runtime".into(), format!("sha256:{}", "a".repeat(64)))]),
        modes: BTreeMap::from([("test s0".into(), "-X dev".into())]),
        tests: Some(Tests {
            failed: vec![Failure::of("s0: a", "boom")],
            ..Tests::default()
        }),
        ..Report::of(Outcome::Failed { exit_code: 1 })
    };
    assert_eq!(receive(&run(1), false, report.clone()), Ok(report));
}

#[test]
fn outcomes_that_nobody_asked_for_are_refused() {
    let reason = "x".to_owned();
    assert!(receive(&run(1), false, Report::of(Outcome::Skipped { reason })).is_err());
    assert!(receive(&run(1), false, Report::of(Outcome::Cancelled)).is_err());
    let job = &run(1);
    let asked = Expected {
        job: Some(job),
        builds: false,
        cancelled: true,
        started_at: Timestamp::default(),
    };
    assert!(asked.receive(Report::of(Outcome::Cancelled)).is_ok());
    assert!(receive(&JobSpec::Image(Box::new(build())), true, Report::of(Outcome::Passed)).is_err());
}

#[test]
fn counts_texts_and_numbers_have_bounds() {
    let mut wild = phase(&format!("\u{1b}]52;c;x{}", "n".repeat(500)));
    (wild.seconds, wild.exit_code, wild.log_from) = (-1e308, Some(i64::MIN), u64::MAX);
    wild.started_at = Timestamp::from_millis(i64::MAX);
    let report = Report {
        phases: vec![wild; 20_003],
        lock: Some("not a lock".into()),
        interpreter: Some("\u{202e}x".repeat(9_000)),
        images: (0..99).map(|n| (format!("{n}"), "sha256:0".into())).collect(),
        modes: (0..99).map(|n| (format!("\n{n}"), "y".repeat(999))).collect(),
        tests: Some(Tests {
            passed: vec!["a".into(); 60_000],
            failed: vec![Failure::of("b", ""); 60_000],
            ..Tests::default()
        }),
        ..Report::of(Outcome::Infra {
            reason: "\n\u{7}".repeat(9_000),
        })
    };
    let report = receive(&run(2), false, report).unwrap();
    assert_eq!(report.phases.len(), 4);
    let phase = &report.phases[0];
    assert!(
        phase.name.len() <= 100 && !phase.name.contains('\u{1b}'),
        "{}",
        phase.name
    );
    assert_eq!((phase.seconds, phase.exit_code), (0.0, Some(-255)));
    assert!(phase.log_from < 1 << 30 && phase.started_at < Timestamp::from_millis(1_000_000 + 2 * AHEAD_MS));
    assert_eq!((report.lock, report.images.len(), report.modes.len()), (None, 0, 4));
    assert!(report.modes.iter().all(|(k, v)| !k.contains('\n') && v.len() <= 100));
    assert!(!report.interpreter.unwrap().contains('\u{202e}'));
    let tests = report.tests.unwrap();
    assert_eq!((tests.failed.len(), tests.passed.len(), tests.cut), (50_000, 0, true));
    let Outcome::Infra { reason } = report.outcome else {
        panic!()
    };
    assert!(reason.len() <= 2_000 && !reason.chars().any(char::is_control));
}

#[test]
fn only_a_trusted_build_says_what_an_image_is() {
    let image = |reference: String, digest: &str| BuiltImage {
        reference,
        digest: digest.into(),
        size: 1,
        facts: Facts::default(),
        layer: Default::default(),
        remote: None,
    };
    let id = format!("sha256:{}", "a".repeat(64));
    let with = |image: BuiltImage| Report {
        image: Some(image),
        ..Report::of(Outcome::Passed)
    };
    let job = JobSpec::Image(Box::new(build()));
    let good = with(image(build().reference(), &id));
    assert!(receive(&job, true, good.clone()).unwrap().image.is_some());
    assert!(receive(&job, false, good.clone()).is_err());
    assert!(receive(&job, true, with(image("other:tag".into(), &id))).is_err());
    assert!(receive(&job, true, with(image(build().reference(), "x y"))).is_err());
    // a run builds nothing
    assert!(receive(&run(1), true, good).unwrap().image.is_none());
}

#[test]
fn a_log_is_as_long_as_the_limits_of_its_job_allow() {
    let JobSpec::Run(mut spec) = run(1) else { panic!() };
    spec.limits.log = Size(1 << 20);
    let most = |spec: &RunSpec, builds| log_most(Some(&JobSpec::Run(Box::new(spec.clone()))), builds);
    assert_eq!(most(&spec, false), (3 << 20) + LOG_MARGIN);
    spec.limits.run_log = Size(2 << 20);
    assert_eq!(most(&spec, false), (2 << 20) + 3 * LOG_OF_PHASE + LOG_MARGIN);
    assert!(most(&spec, true) > LOG_OF_BUILD);
    spec.limits.log = Size(u64::MAX);
    spec.limits.run_log = Size(u64::MAX);
    assert_eq!(most(&spec, true), u64::MAX);
}

#[test]
fn no_login_comes_with_a_report() {
    let reason = "git failed: unable to access 'https://hal9000:s3cret@h.org/x/'".to_owned();
    let report = Report {
        unreachable: Some("https://hal9000:s3cret@h.org/x".into()),
        ..Report::of(Outcome::Infra { reason })
    };
    let job = run(1);
    let expected = Expected {
        job: Some(&job),
        builds: false,
        cancelled: false,
        started_at: Timestamp::default(),
    };
    let report = expected.receive(report).unwrap().report;
    assert_eq!(report.unreachable.as_deref(), Some("https://h.org/x"));
    let shown = report.outcome.to_string();
    assert!(!shown.contains("s3cret") && shown.contains("@h.org/x/"), "{shown}");
}

#[test]
fn only_a_trusted_host_or_the_job_itself_says_what_other_hosts_install() {
    let lock = |version: &str| {
        let package = format!(r#"{{"file":null,"name":"d","role":"run","sha256":null,"version":"{version}"}}"#);
        format!(r#"{{"packages":[{package}],"project":{{"name":"p","sha256":null,"source":"pypi:p","version":"1"}}}}"#)
    };
    let job = |ordered: Option<String>| match run(1) {
        JobSpec::Run(mut run) => {
            run.fetch.sources = vec![serde_json::from_str(r#"{"name": "p", "pypi": "p"}"#).unwrap()];
            run.fetch.lock = ordered;
            JobSpec::Run(run)
        }
        image => image,
    };
    let locks = |job: &JobSpec, builds: bool| {
        let report = Report {
            lock: Some(lock("2")),
            // no host says this
            unconfirmed_lock: Some(lock("3")),
            ..Report::of(Outcome::Passed)
        };
        let report = receive(job, builds, report).unwrap();
        let is_there = |text: Option<String>| {
            text.is_some_and(|text| {
                assert_eq!(text, lock("2"));
                true
            })
        };
        (is_there(report.lock), is_there(report.unconfirmed_lock))
    };
    assert_eq!(locks(&job(None), true), (true, false), "a trusted host");
    assert_eq!(locks(&job(None), false), (false, true), "another host");
    assert_eq!(locks(&job(Some(lock("2"))), false), (true, false), "as its job says");
    assert_eq!(
        locks(&job(Some(lock("1"))), false),
        (false, true),
        "not as its job says"
    );
    // what is no lock of the job is none, whoever says it
    let report = Report {
        lock: Some(lock("2").replace("pypi:p", "pypi:q")),
        ..Report::of(Outcome::Passed)
    };
    let received = receive_all(&job(None), true, report).unwrap();
    assert_eq!((received.report.lock, received.report.unconfirmed_lock), (None, None));
    assert!(received.refused_lock.is_some_and(|reason| reason.contains("pypi:q")));
}

/// A host reads jobs of a coordinator that may have another version.
#[test]
fn no_text_of_a_job_is_too_short_to_be_named() {
    let JobSpec::Run(mut run) = run(1) else { panic!() };
    for text in ["", "k", "ééééééééééééééé", "kkkkkkkkkkkkkkkkkkkkkkkééé"] {
        run.image.build.build_key = text.into();
        run.image.build.revision = text.into();
        assert!(run.image.build.reference().starts_with("pybots/cpython:"));
        assert!(JobSpec::Run(run.clone()).title().starts_with("p on "));
    }
}
