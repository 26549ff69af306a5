//! What a host makes of each way in which a run can end, on the strict fake engine.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use pybots::config::{HostSettings, NetworkSettings, Settings};
use pybots::domain::job::{BuildSpec, Facts, JobSpec, Report, RunSpec};
use pybots::domain::limits::{Limits, Seconds, Size};
use pybots::domain::outcome::{Outcome, Timeout};
use pybots::domain::time::Timestamp;
use pybots::domain::tree::{TreeChange, Wanted};
use pybots::host::log::{Log, Sink};
use pybots::host::{Course, Host, Since, Supply};
use pybots::logfile::{Chunk, Stream};
use pybots::profile::Profiles;
use pybots::recipe::folder::register;
use pybots::runtime::fake::FakeRuntime;
use pybots::runtime::{Container, Network};
use pybots::store::revisions::Revision;
use std::sync::{Arc, Mutex};

const VERSION: &str = "3.14.0 (trunk:0123456789) [GCC 12]";

const RECIPE: &str = r#"
name = "attrs"
source = { pypi = "attrs" }
[[suite]]
name = "tests"
run = "python -m pytest"
"#;

struct NoSupply;

/// The digest of the only folder of a recipe that there is. It is empty.
const FOLDER: &str = "0f01de4";

#[async_trait]
impl Supply for NoSupply {
    async fn tree(&self, _: &str, _: &Wanted) -> anyhow::Result<BoxStream<'static, std::io::Result<Bytes>>> {
        Ok(Box::pin(futures_util::stream::empty()))
    }

    async fn changes(&self, _: &str, _: &str, _: &[String]) -> anyhow::Result<Option<Vec<TreeChange>>> {
        Ok(Some(Vec::new()))
    }
    async fn folder(&self, digest: &str) -> anyhow::Result<Vec<u8>> {
        anyhow::ensure!(digest == FOLDER, "no folder is expected");
        Ok(vec![0; 1024])
    }
}

#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

#[async_trait]
impl Sink for Memory {
    async fn write(&self, chunk: Chunk) -> anyhow::Result<()> {
        self.0.lock().unwrap().extend_from_slice(&chunk.text);
        Ok(())
    }
}

fn revision() -> Revision {
    Revision {
        id: "r".into(),
        branch_id: "b".into(),
        branch: "trunk".into(),
        seq: 1,
        sha: "0123456789abcdef".into(),
        tree: "t".into(),
        author: "a".into(),
        subject: "s".into(),
        committed_at: Timestamp::from_millis(0),
        version: Some("3.14.0".into()),
        left_at: None,
        label: None,
    }
}

fn build_spec() -> BuildSpec {
    let profiles = Profiles::load(None).unwrap();
    let profile = pybots::plan::profile(&revision(), &profiles, "default").unwrap();
    pybots::plan::build(
        &revision(),
        profile,
        &profiles.distribution,
        "inputs",
        "default",
        "linux/amd64",
    )
    .unwrap()
}

fn run_spec(recipe: &str) -> RunSpec {
    let build = build_spec();
    let facts = Facts {
        sys_version: VERSION.into(),
        line: "3.14".into(),
        ..Facts::default()
    };
    let project = register("attrs.toml", recipe.to_owned(), None).unwrap();
    pybots::plan::run(&project, &revision(), &build, &facts, &Limits::default()).unwrap()
}

/// An engine that has every image that a run needs.
fn engine(spec: &RunSpec) -> FakeRuntime {
    FakeRuntime::default()
        .with_image(&spec.image.reference)
        .with_image(&spec.distribution.toolchain_reference())
        .with_image(&spec.distribution.runtime_reference())
        .with_file("/work/.pybots/lock.json", "{\"packages\": []}")
}

async fn perform(engine: &FakeRuntime, spec: JobSpec) -> (Report, String) {
    perform_under(engine, spec, HostSettings::default()).await
}

/// On a host whose owner says so.
async fn perform_under(engine: &FakeRuntime, spec: JobSpec, say: HostSettings) -> (Report, String) {
    let settings = Settings {
        host: say,
        ..Settings::default()
    };
    perform_with(engine, spec, settings).await
}

/// On a host whose settings name an index with a login.
async fn perform_with_login(engine: &FakeRuntime, spec: JobSpec) -> (Report, String) {
    let settings = Settings {
        network: NetworkSettings {
            index: "https://reader:s3cret-w0rd@index.example/simple".into(),
            ..NetworkSettings::default()
        },
        ..Settings::default()
    };
    perform_with(engine, spec, settings).await
}

async fn perform_with(engine: &FakeRuntime, spec: JobSpec, settings: Settings) -> (Report, String) {
    let host = Host::new("host".into(), Arc::new(engine.clone()), Arc::new(NoSupply), &settings);
    let memory = Arc::new(Memory::default());
    let (log, delivered) = Log::start(memory.clone());
    let report = host.perform("attempt", &spec, &log).await;
    drop(log);
    delivered.await.unwrap().unwrap();
    assert_eq!(engine.complaints(), Vec::<String>::new());
    let text = String::from_utf8_lossy(&memory.0.lock().unwrap()).into_owned();
    (report, text)
}

async fn run(engine: &FakeRuntime, spec: RunSpec) -> Report {
    perform(engine, JobSpec::Run(Box::new(spec))).await.0
}

const NEVER_STARTED: &str = "suite `tests` never started the Python under test where Pybots sees it: start it by `python` or `python3`, \
                             at least once without the option -S";

#[tokio::test]
async fn a_good_run_passes_and_says_what_it_ran_on() {
    let spec = run_spec(RECIPE);
    let engine = engine(&spec).with_file("/witness-tests", VERSION);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install");
    engine.expect("attrs", "test tests").prints(b"12 passed \xff\x00\n");
    let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
    assert_eq!(report.outcome, Outcome::Passed);
    assert_eq!(report.interpreter.as_deref(), Some(VERSION));
    assert_eq!(report.lock.as_deref(), Some("{\"packages\": []}"));
    let names: Vec<&str> = report.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["fetch", "install", "test tests"]);
    assert!(report.phases[2].log_from > report.phases[1].log_from);
    assert!(log.contains("12 passed") && log.contains("outcome: passed"), "{log}");
    // the image's own Python is seen too, but only where suites run
    let has_site = |phase: &str| {
        let volumes = engine.made(phase).unwrap().volumes;
        let site = "/usr/local/lib/python3.14/site-packages";
        volumes.contains(&("pybots-attempt-site".to_owned(), site.to_owned()))
    };
    assert_eq!(["fetch", "install", "test tests"].map(has_site), [false, false, true]);
}

#[tokio::test]
async fn a_report_names_every_image_that_went_into_a_run() {
    let mut spec = run_spec(RECIPE);
    spec.system = vec!["file".into()];
    let toolchain = spec.distribution.toolchain_reference();
    let labels = [("org.pybots.runtime", "sha256:r"), ("org.pybots.base", "sha256:b")];
    let engine = engine(&spec)
        .with_labelled(&spec.image.reference, &labels)
        .with_file("/witness-tests", VERSION);
    for phase in ["fetch", "install", "test tests"] {
        engine.expect("attrs", phase);
    }
    let cpython = spec.image.reference.clone();
    let mut images = run(&engine, spec).await.images;
    let project = images.remove("project").unwrap();
    assert!(project.starts_with("sha256:pybots/project:"), "{project}");
    let expected = [
        ("base", "sha256:b".to_owned()),
        ("cpython", format!("sha256:{cpython}")),
        ("runtime", "sha256:r".to_owned()),
        ("toolchain", format!("sha256:{toolchain}")),
    ];
    assert_eq!(images, expected.map(|(kind, id)| (kind.to_owned(), id)).into());
}

#[tokio::test]
async fn modes_are_of_their_suite_alone() {
    let more =
        "[[suite]]\nname = \"dev\"\nrun = \"x\"\nmodes = [\"-X dev\", \"-W error\", \"-W ignore::UserWarning\"]\n";
    let spec = run_spec(&format!("when = \">=3.7\"{RECIPE}{more}"));
    let engine = engine(&spec)
        .with_file("/witness-tests", VERSION)
        .with_file("/witness-dev", VERSION);
    for phase in ["fetch", "install", "test tests", "test dev"] {
        engine.expect("attrs", phase);
    }
    let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
    assert_eq!(report.outcome, Outcome::Passed);
    let python = |phase: &str| -> Vec<String> {
        let env = engine.made(phase).unwrap().env;
        let ours = env
            .iter()
            .filter(|(name, _)| name.starts_with("PYTHON") && *name != "PYTHON_CPU_COUNT");
        ours.map(|(name, value)| format!("{name}={value}")).collect()
    };
    for phase in ["fetch", "install", "test tests"] {
        assert_eq!(python(phase), Vec::<String>::new(), "{phase}");
    }
    let set = ["PYTHONDEVMODE=1", "PYTHONWARNINGS=error,ignore::UserWarning"];
    assert_eq!(python("test dev"), set);
    let line = "-X dev -W error -W ignore::UserWarning";
    assert_eq!(report.modes, [("test dev".to_owned(), line.to_owned())].into());
    let said = format!("suite dev runs with {line}: {}", set.join(" "));
    assert!(
        log.contains(&said) && log.contains("attrs on 0123456789 (trunk)"),
        "{log}"
    );
    // a report of a host that knows no modes can still be read
    let text = serde_json::to_string(&Report::of(Outcome::Passed)).unwrap();
    assert!(!text.contains("modes") && serde_json::from_str::<Report>(&text).is_ok());
}

#[tokio::test]
async fn a_project_in_a_subfolder_is_installed_and_tested_there() {
    let recipe = r#"
        name = "attrs"
        source = { git = "https://example.org/attrs", rev = "v1", subfolder = "python/core" }
        groups = ["test"]
        [[suite]]
        name = "tests"
        run = "python -m pytest"
    "#;
    let spec = run_spec(recipe);
    let fetch = serde_json::to_value(&spec.fetch).unwrap();
    assert_eq!(fetch["groups"], serde_json::json!(["test"]));
    assert_eq!(fetch["sources"][0]["subfolder"], "python/core");
    let engine = engine(&spec)
        .with_file("/witness-tests", VERSION)
        .with_file("/witness-tests:sources", "attrs 2\n");
    for phase in ["fetch", "install", "test tests"] {
        engine.expect("attrs", phase);
    }
    let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
    assert_eq!(report.outcome, Outcome::Passed);
    for phase in ["install", "test tests"] {
        let command = engine.made(phase).unwrap().command.join(" ");
        assert!(command.contains("/work/src/attrs/python/core"), "{command}");
    }
    let install = engine.made("install").unwrap().command.join(" ");
    let at = |text: &str| install.find(text).unwrap_or_else(|| panic!("no {text} in {install}"));
    assert!(
        at("requirements.txt; fi") < at(". /work/.pybots/versions.sh"),
        "{install}"
    );
    assert!(at(". /work/.pybots/versions.sh") < at("uv pip install ."), "{install}");
    assert!(log.contains("imported `attrs` from the source folder"), "{log}");
}

#[tokio::test]
async fn a_trial_goes_on_in_the_work_folder_that_an_earlier_one_kept() {
    async fn part(engine: &FakeRuntime, since: Since, keeps: bool) -> Report {
        let host = Host::new(
            "host".into(),
            Arc::new(engine.clone()),
            Arc::new(NoSupply),
            &Settings::default(),
        );
        let (log, delivered) = Log::start(Arc::new(Memory::default()));
        let spec = JobSpec::Run(Box::new(run_spec(RECIPE)));
        let report = host.perform_part("attempt", &spec, &log, Course { since, keeps }).await;
        drop(log);
        delivered.await.unwrap().unwrap();
        let mut complaints = engine.complaints();
        complaints.retain(|complaint| !(keeps && complaint.ends_with("was left")));
        assert_eq!(complaints, Vec::<String>::new());
        report
    }
    let phases = |report: &Report| -> Vec<String> { report.phases.iter().map(|phase| phase.name.clone()).collect() };
    let engine = engine(&run_spec(RECIPE)).with_file("/witness-tests", VERSION);

    // nothing was kept
    let report = part(&engine, Since::Test, true).await;
    assert!(
        report.outcome.to_string().contains("`pybots try --keep` leaves one"),
        "{}",
        report.outcome
    );
    assert_eq!(phases(&report), Vec::<String>::new());

    for phase in ["fetch", "install", "test tests"] {
        engine.expect("attrs", phase);
    }
    let report = part(&engine, Since::Fetch, true).await;
    assert_eq!((phases(&report).len(), report.outcome), (3, Outcome::Passed));
    assert!(engine.volumes().contains_key("pybots-attempt-work"));

    let engine = engine
        .with_file("/work/.pybots/fetched", "")
        .with_file("/work/.pybots/installed", "");
    engine.expect("attrs", "install");
    engine.expect("attrs", "test tests");
    let report = part(&engine, Since::Install, true).await;
    assert_eq!(phases(&report), ["install", "test tests"]);
    assert_eq!(report.lock.as_deref(), Some("{\"packages\": []}"));
    let install = engine.made("install").unwrap().command.join(" ");
    assert!(
        install.contains("rm -rf /work/venv") && install.contains("/work/.pybots/src"),
        "{install}"
    );

    engine.expect("attrs", "test tests");
    let report = part(&engine, Since::Test, false).await;
    assert_eq!(phases(&report), ["test tests"]);
    let test = engine.made("test tests").unwrap().command.join(" ");
    assert!(test.contains("/work/.pybots/witness-tests"), "{test}");
    assert!(!engine.volumes().contains_key("pybots-attempt-work"));
}

#[tokio::test]
async fn in_a_kept_work_folder_the_recipes_own_folder_is_replaced() {
    let mut spec = run_spec(RECIPE);
    spec.fetch.folders = [("attrs".to_owned(), FOLDER.to_owned())].into();
    let engine = engine(&spec)
        .with_file("/work/.pybots/fetched", "")
        .with_file("/witness-tests", VERSION);
    engine.expect("attrs", "install");
    engine.expect("attrs", "test tests");
    let host = Host::new(
        "host".into(),
        Arc::new(engine.clone()),
        Arc::new(NoSupply),
        &Settings::default(),
    );
    let (log, delivered) = Log::start(Arc::new(Memory::default()));
    let course = Course {
        since: Since::Install,
        keeps: true,
    };
    let report = host
        .perform_part("attempt", &JobSpec::Run(Box::new(spec)), &log, course)
        .await;
    drop(log);
    delivered.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Passed);
    let install = engine.made("install").unwrap().command.join(" ");
    // what was deleted from the recipe's folder is not in the one that takes its place
    let replaced = ["rm -rf /work/src/", "mv ", ".pybots/folders/0f01de4", " /work/src/"];
    let mut rest = install.as_str();
    for part in replaced {
        rest = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("{part} is not in {install}"))
            .1;
    }
}

#[tokio::test]
async fn logins_of_the_network_are_in_no_log_and_no_reason() {
    let spec = run_spec(RECIPE);
    let engine = engine(&spec);
    let says = b"error: 401 for https://reader:s3cret-w0rd@index.example/simple, by s3cret-w0rd\n";
    engine.expect("attrs", "fetch").exits(10).prints(says);
    let (report, text) = perform_with_login(&engine, JobSpec::Run(Box::new(spec))).await;
    let reason = report.outcome.to_string();
    for shown in [&text, &reason] {
        assert!(
            shown.contains("401 for https://***@index.example/simple, by ***"),
            "{shown}"
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

/// A mask would answer the guesses of a suite, which sees no login anyway.
#[tokio::test]
async fn what_a_suite_writes_is_not_masked() {
    let spec = run_spec(RECIPE);
    let engine = engine(&spec).with_file("/witness-tests", VERSION);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install").prints(b"is it reader:s3cret-w0rd?\n");
    engine.expect("attrs", "test tests").prints(b"or s3cret-w0rd?\n");
    let (_, text) = perform_with_login(&engine, JobSpec::Run(Box::new(spec))).await;
    assert!(
        text.contains("is it reader:s3cret-w0rd?") && text.contains("or s3cret-w0rd?"),
        "{text}"
    );
}

#[tokio::test]
async fn each_way_to_fail_has_its_outcome() {
    type Arrange = fn(&FakeRuntime);
    let good = |engine: &FakeRuntime, phases: &[&str]| {
        for phase in phases {
            engine.expect("attrs", phase);
        }
    };
    let table: [(Arrange, &[&str], Outcome); 11] = [
        (
            |e| {
                e.expect("attrs", "test tests").exits(1);
            },
            &["fetch", "install"],
            Outcome::Failed { exit_code: 1 },
        ),
        (
            |e| {
                e.expect("attrs", "test tests").exits(139);
            },
            &["fetch", "install"],
            Outcome::Crashed { signal: 11 },
        ),
        (
            |e| {
                e.expect("attrs", "test tests").oom();
            },
            &["fetch", "install"],
            Outcome::OutOfMemory,
        ),
        (
            |e| {
                e.expect("attrs", "install").exits(1);
            },
            &["fetch"],
            Outcome::SetupFailed {
                reason: "install ended with exit code 1".into(),
                exit_code: Some(1),
            },
        ),
        // what nobody fetched is missing on every CPython
        (
            |e| {
                let uv = "  × No solution found when resolving dependencies:\n  ╰─▶ Because ninja was not found in the cache\n";
                e.expect("attrs", "install").exits(1).prints(uv.as_bytes());
            },
            &["fetch"],
            Outcome::RecipeError {
                reason: "`ninja` was not fetched, and install is offline: add `requires = [\"ninja\"]`, or set \
                         `install_network = true`"
                    .into(),
            },
        ),
        (
            |e| {
                e.expect("attrs", "fetch")
                    .exits(10)
                    .prints(b"x\nno release 9.9 of attrs\n");
            },
            &[],
            Outcome::RecipeError {
                reason: "no release 9.9 of attrs".into(),
            },
        ),
        (
            |e| {
                e.expect("attrs", "fetch").exits(11).prints(b"the index is down\n");
            },
            &[],
            Outcome::Infra {
                reason: "fetch ended with exit code 11: the index is down".into(),
            },
        ),
        (
            |e| {
                e.expect("attrs", "test tests").loses_engine();
            },
            &["fetch", "install"],
            Outcome::Infra {
                reason: "the container engine refused: the output of a container ended early: connection reset".into(),
            },
        ),
        // it ends well, but never started the Python under test
        (
            |e| {
                e.expect("attrs", "test tests");
            },
            &["fetch", "install"],
            Outcome::RecipeError {
                reason: NEVER_STARTED.into(),
            },
        ),
        (
            |e| {
                let _ = e.clone().with_file("/witness-tests", "3.11.2 of the system");
                e.expect("attrs", "test tests");
            },
            &["fetch", "install"],
            Outcome::RecipeError {
                reason: format!("suite `tests` ran on another Python, 3.11.2 of the system, instead of {VERSION}"),
            },
        ),
        // a suite that fails on another Python says nothing about the one under test
        (
            |e| {
                let _ = e.clone().with_file("/witness-tests", "3.11.2 of the system");
                e.expect("attrs", "test tests").exits(1);
            },
            &["fetch", "install"],
            Outcome::RecipeError {
                reason: format!("suite `tests` ran on another Python, 3.11.2 of the system, instead of {VERSION}"),
            },
        ),
    ];
    for (arrange, phases, outcome) in table {
        let spec = run_spec(RECIPE);
        let engine = engine(&spec);
        good(&engine, phases);
        arrange(&engine);
        assert_eq!(run(&engine, spec).await.outcome, outcome);
    }
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_named() {
    const ADDRESS: &str = "https://user:secret@example.org/attrs.git";
    const SHOWN: &str = "https://example.org/attrs.git";
    let recipe = RECIPE.replace("pypi = \"attrs\"", &format!("git = \"{SHOWN}\", rev = \"main\""));
    type Arrange = fn(&FakeRuntime);
    let table: [(Arrange, &str, Option<&str>); 3] = [
        (
            |e| {
                let said = b"source unreachable: attrs: example.org could not be read\n";
                e.expect("attrs", "fetch").exits(12).prints(said);
            },
            "source unreachable: attrs: example.org could not be read",
            Some(SHOWN),
        ),
        (
            |e| {
                e.expect("attrs", "fetch").hangs();
            },
            "source unreachable: https://example.org/attrs.git did not answer in time",
            Some(SHOWN),
        ),
        // the index does not answer, or the recipe gives it no time; neither is a source
        (
            |e| {
                let _ = e.clone().with_file("/fetching", "https://example.org/simple");
                e.expect("attrs", "fetch").hangs();
            },
            "fetch did not end within the run's time limit of 1s",
            None,
        ),
    ];
    for (arrange, reason, address) in table {
        let mut spec = run_spec(&recipe);
        spec.limits.timeout = Seconds(1);
        // as a version before planned it, which accepted such recipes
        spec.fetch.sources[0].git = Some(ADDRESS.into());
        let engine = engine(&spec).with_file("/fetching", ADDRESS);
        arrange(&engine);
        let report = run(&engine, spec).await;
        let reason = reason.to_owned();
        let outcome = match address {
            Some(_) => Outcome::Infra { reason },
            None => Outcome::RecipeError { reason },
        };
        assert_eq!(report.outcome, outcome);
        assert_eq!(report.unreachable.as_deref(), address);
    }
}

#[tokio::test]
async fn a_fetch_that_works_on_its_own_waits_for_nobody() {
    let table = [
        (
            Some("unpacking attrs.tar.bz2"),
            Outcome::RecipeError {
                reason: "fetch did not end in time: it was unpacking attrs.tar.bz2, which waits for no server".into(),
            },
        ),
        (
            None,
            Outcome::Infra {
                reason: "fetch did not end in time; is the package index slow or out of reach?".into(),
            },
        ),
    ];
    for (busy, outcome) in table {
        let mut spec = run_spec(RECIPE);
        spec.limits.silence = Seconds(1);
        let mut engine = engine(&spec);
        if let Some(doing) = busy {
            engine = engine.with_file("/work/.pybots/busy", doing);
        }
        engine.expect("attrs", "fetch").hangs();
        assert_eq!(run(&engine, spec).await.outcome, outcome);
    }
}

#[tokio::test]
async fn a_file_that_the_engine_refuses_to_read_is_the_projects() {
    let recipe = format!("{RECIPE}report = \"r.xml\"\n");
    let never = Outcome::RecipeError {
        reason: NEVER_STARTED.into(),
    };
    let table = [
        ("/witness-tests", RECIPE, never),
        ("/results-tests", RECIPE, Outcome::Passed),
        ("/witness-tests:sources", RECIPE, Outcome::Passed),
        ("/r.xml", &recipe, Outcome::NO_COMPLETE_REPORT),
    ];
    for (path, recipe, outcome) in table {
        let spec = run_spec(recipe);
        let engine = engine(&spec).with_file("/witness-tests", VERSION).with_unreadable(path);
        let engine = engine.with_file("/etc/passwd", "");
        for phase in ["fetch", "install", "test tests"] {
            engine.expect("attrs", phase);
        }
        assert_eq!(run(&engine, spec).await.outcome, outcome, "{path}");
    }
    // an engine that refuses everything has failed itself
    let spec = run_spec(RECIPE);
    let engine = engine(&spec)
        .with_unreadable("/witness-tests")
        .with_unreadable("/etc/passwd");
    for phase in ["fetch", "install", "test tests"] {
        engine.expect("attrs", phase);
    }
    let outcome = run(&engine, spec).await.outcome;
    assert!(matches!(outcome, Outcome::Infra { .. }), "{outcome}");
}

#[tokio::test]
async fn a_source_that_cannot_be_surveyed_is_no_failure_of_the_host() {
    type Arrange = fn(&FakeRuntime);
    let table: [(Arrange, &str); 4] = [
        (
            |e| {
                e.expect("attrs", "survey").exits(1);
            },
            "ended early, with exit code 1",
        ),
        (
            |e| {
                e.expect("attrs", "survey").oom();
            },
            "takes too much memory",
        ),
        (
            |e| {
                e.expect("attrs", "survey").hangs();
            },
            "reading it does not end",
        ),
        (
            |e| {
                e.expect("attrs", "survey");
            },
            "there is no answer",
        ),
    ];
    for (arrange, why) in table {
        let mut spec = run_spec(RECIPE);
        spec.limits.silence = Seconds(1);
        let engine = engine(&spec);
        engine.expect("attrs", "fetch");
        arrange(&engine);
        let runtime = Arc::new(engine.clone());
        let host = Host::new("host".into(), runtime, Arc::new(NoSupply), &Settings::default());
        let (log, delivered) = Log::start(Arc::new(Memory::default()));
        let outcome = host.survey("attempt", &spec, &log).await.unwrap_err();
        drop(log);
        delivered.await.unwrap().unwrap();
        assert!(
            matches!(&outcome, Outcome::RecipeError { reason } if reason.contains(why)),
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn a_full_folder_is_named_with_its_limit() {
    let work = "the work folder is full: its limit is 2GiB (`limits.work`)";
    let spec = run_spec(RECIPE);
    let engine = engine(&spec);
    engine.expect("attrs", "fetch");
    let written = b"error: failed to write\n== full /work 2097152\n";
    engine.expect("attrs", "install").exits(1).prints(written);
    let report = run(&engine, spec.clone()).await;
    let reason = format!("install ended with exit code 1: {work}");
    let exit_code = Some(1);
    assert_eq!(report.outcome, Outcome::SetupFailed { reason, exit_code });

    let engine = self::engine(&spec);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install");
    engine.expect("attrs", "test tests").exits(1).prints(written);
    let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
    assert_eq!(report.outcome, Outcome::Failed { exit_code: 1 });
    assert_eq!(report.limit.as_deref(), Some(work));
    assert!(log.contains(&format!("[pybots] {work}")) || log.contains(work), "{log}");
}

#[tokio::test]
async fn limits_that_no_container_can_have_are_the_recipes_fault() {
    let mut spec = run_spec(RECIPE);
    spec.limits.memory = Size(1 << 20);
    let report = run(&FakeRuntime::default(), spec).await;
    let reason = "no container can have these limits: `memory` must be at least 6MiB".into();
    assert_eq!(report.outcome, Outcome::RecipeError { reason });
}

#[tokio::test]
async fn many_suites_have_one_time_and_one_log() {
    let mut recipe = RECIPE.to_owned();
    for number in 0..8 {
        recipe += &format!("[[suite]]\nname = \"s{number}\"\nrun = \"true\"\n");
    }
    let mut spec = run_spec(&recipe);
    spec.limits.run_log = Size(256 << 10);
    let engine = engine(&spec);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install");
    let names = std::iter::once("tests".to_owned()).chain((0..8).map(|number| format!("s{number}")));
    let flood = vec![b'x'; 200 << 10];
    for name in names {
        let engine = engine.clone().with_file(&format!("/witness-{name}"), VERSION);
        engine.expect("attrs", &format!("test {name}")).prints(&flood);
    }
    let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec.clone()))).await;
    assert_eq!(report.outcome, Outcome::Passed);
    assert!((256 << 10..900 << 10).contains(&log.len()), "{}", log.len());

    let engine = self::engine(&spec);
    spec.limits.run_timeout = Seconds(1);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install").hangs();
    let started = std::time::Instant::now();
    let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
    let reason = "install did not end in time".to_owned();
    let exit_code = None;
    assert_eq!(report.outcome, Outcome::SetupFailed { reason, exit_code }, "{log}");
    assert!(started.elapsed().as_secs() < 20);
}

#[tokio::test]
async fn silence_and_total_time_are_two_clocks() {
    for (timeout, silence, which) in [(60, 1, Timeout::Silence), (1, 60, Timeout::Total)] {
        let mut spec = run_spec(RECIPE);
        spec.limits.timeout = Seconds(timeout);
        spec.limits.silence = Seconds(silence);
        let engine = engine(&spec);
        engine.expect("attrs", "fetch");
        engine.expect("attrs", "install");
        engine.expect("attrs", "test tests").hangs();
        assert_eq!(run(&engine, spec).await.outcome, Outcome::TimedOut { which });
        let [stacks] = engine.executed().try_into().unwrap();
        assert!(stacks.contains("kill -45"), "{stacks}");
    }
}

#[tokio::test]
async fn the_first_suite_that_fails_decides() {
    let two = format!("{RECIPE}[[suite]]\nname = \"more\"\nrun = \"python -m more\"\n");
    let spec = run_spec(&two);
    let engine = engine(&spec).with_file("/witness-tests", VERSION);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install");
    engine.expect("attrs", "test tests");
    engine.expect("attrs", "test more").exits(3);
    assert_eq!(run(&engine, spec).await.outcome, Outcome::Failed { exit_code: 3 });
}

#[tokio::test]
async fn an_exit_code_of_0_counts_only_with_the_end_of_the_report() {
    let begin = format!("{{\"begin\": \"pytest\", \"python\": \"{VERSION}\"}}\n");
    let other = "{\"begin\": \"pytest\", \"python\": \"3.1\"}\n{\"end\": 0}\n".to_owned();
    let test = "{\"run\": \"t.a\"}\n{\"test\": \"t.a\", \"result\": \"passed\"}\n";
    let end = "{\"end\": 0}\n";
    let on_another = Outcome::RecipeError {
        reason: format!("suite `tests` ran on another Python, 3.1, instead of {VERSION}"),
    };
    for (recorded, expected) in [
        (format!("{begin}{test}{end}"), Outcome::Passed),
        (format!("{begin}{test}"), Outcome::NO_COMPLETE_REPORT),
        (other, on_another),
    ] {
        let spec = run_spec(RECIPE);
        let engine = engine(&spec)
            .with_file("/witness-tests", VERSION)
            .with_file("/work/.pybots/results-tests", &recorded);
        for phase in ["fetch", "install", "test tests"] {
            engine.expect("attrs", phase);
        }
        let report = run(&engine, spec).await;
        assert_eq!(report.outcome, expected);
        let env = engine.made("test tests").unwrap().env;
        assert_eq!(env["PYBOTS_RESULTS"], "/work/.pybots/results-tests");
    }
}

/// A pytest outside of the environment under test has no recorder, only the file that it is asked for.
#[tokio::test]
async fn a_broken_report_of_pytest_is_no_pass() {
    let whole = "<testsuite><testcase classname='T' name='t'/></testsuite>";
    let unused = "no test was recorded, and the suite writes a report of its own";
    for (run, file, expected, line) in [
        ("python -m pytest", Some(whole), Outcome::Passed, ""),
        (
            "python -m pytest",
            Some(&whole[..30]),
            Outcome::NO_COMPLETE_REPORT,
            "can't be read",
        ),
        (
            "python -m pytest",
            Some("12 passed"),
            Outcome::NO_COMPLETE_REPORT,
            "can't be read",
        ),
        ("python -m pytest", Some(""), Outcome::NO_COMPLETE_REPORT, "it is empty"),
        ("python -m tests", None, Outcome::Passed, ""),
        ("python -m pytest --junitxml=r.xml", None, Outcome::Passed, unused),
    ] {
        let spec = run_spec(&RECIPE.replace("python -m pytest", run));
        let mut engine = engine(&spec).with_file("/witness-tests", VERSION);
        if let Some(file) = file {
            engine = engine.with_file("/work/.pybots/junit-tests", file);
        }
        for phase in ["fetch", "install", "test tests"] {
            engine.expect("attrs", phase);
        }
        let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
        assert_eq!(report.outcome, expected, "{file:?}: {log}");
        assert!(log.contains(line) && log.contains(unused) == (line == unused), "{log}");
    }
}

#[tokio::test]
async fn an_environment_of_another_python_is_named() {
    let on_another = Outcome::RecipeError {
        reason: format!(
            "suite `tests` ran on another Python, 3.11.2 of the environment .tox/py311, instead of {VERSION}; run the environment of \
             the Python under test, such as `tox -e py`"
        ),
    };
    for (note, expected) in [
        ("same .tox/py 3.14.0\nother .tox/py311 3.11.2\n", Outcome::Passed),
        ("other .tox/py311 3.11.2\n", on_another),
    ] {
        let spec = run_spec(RECIPE);
        let engine = engine(&spec)
            .with_file("/witness-tests", VERSION)
            .with_file("/witness-tests:environments", note);
        for phase in ["fetch", "install", "test tests"] {
            engine.expect("attrs", phase);
        }
        let (report, log) = perform(&engine, JobSpec::Run(Box::new(spec))).await;
        assert_eq!(report.outcome, expected);
        assert!(
            log.contains("note: the environment .tox/py311 has Python 3.11.2"),
            "{log}"
        );
    }
}

#[tokio::test]
async fn after_a_suite_that_failed_the_next_tells_of_its_tests() {
    let two = format!("{RECIPE}[[suite]]\nname = \"more\"\nrun = \"python -m more\"\n");
    for (code, expected) in [
        (0, Outcome::Failed { exit_code: 1 }),
        (3, Outcome::Failed { exit_code: 1 }),
        // what breaks off tells more than what failed
        (139, Outcome::Crashed { signal: 11 }),
    ] {
        let spec = run_spec(&two);
        let case = |inner: &str| format!("<testsuite><testcase classname='T' name='t'>{inner}</testcase></testsuite>");
        let engine = engine(&spec)
            .with_file("/witness-tests", VERSION)
            .with_file("/witness-more", VERSION)
            .with_file("/work/.pybots/junit-tests", &case("<failure message='boom'/>"))
            .with_file("/work/.pybots/junit-more", &case(""));
        for phase in ["fetch", "install"] {
            engine.expect("attrs", phase);
        }
        engine.expect("attrs", "test tests").exits(1);
        engine.expect("attrs", "test more").exits(code);
        let report = run(&engine, spec).await;
        assert_eq!(report.outcome, expected);
        let tests = report.tests.unwrap();
        assert_eq!(tests.passed, ["more: T.t"]);
        assert_eq!((tests.failed[0].test.as_str(), tests.failed.len()), ("tests: T.t", 1));
        let env = engine.made("test tests").unwrap().env;
        assert_eq!(
            env["PYTEST_ADDOPTS"],
            "--junitxml=/work/.pybots/junit-tests/$TOX_ENV_NAME.xml"
        );
    }
}

const STEPS: &[u8] = b"== step configure\n== step make\n== step install\n== step layer\n";
const LAYER: &str = r#"{"on": null, "digest": "00", "gone": 0, "bytes": 7, "all_bytes": 7}"#;

#[tokio::test]
async fn an_image_that_does_not_pass_its_probe_gets_no_name() {
    let spec = build_spec();
    let answer = |revision: &str| {
        format!("pybots-probe\tsys_version\t{VERSION}\npybots-probe\trevision\t{revision}\npybots-probe\tend\t\n")
    };
    for (revision, good) in [("0123456789", true), ("ffffffffff", false)] {
        let engine = FakeRuntime::default()
            .with_image(&spec.distribution.toolchain_reference())
            .with_image(&spec.distribution.runtime_reference())
            .with_file("/out/layer.json", LAYER)
            .with_file("/out/layer.tar", "a layer");
        engine.expect("", "build").prints(STEPS);
        engine.expect("", "probe").prints(answer(revision).as_bytes());
        let (report, _) = perform(&engine, JobSpec::Image(Box::new(spec.clone()))).await;
        assert_eq!(report.image.is_some(), good);
        assert_eq!(report.outcome == Outcome::Passed, good, "{}", report.outcome);
        use pybots::runtime::Runtime;
        assert_eq!(engine.image(&spec.reference()).await.unwrap().is_some(), good);
        let candidate = format!("{}-attempt", spec.reference());
        assert_eq!(engine.image(&candidate).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_module_that_a_continued_build_lacks_is_proved_by_a_clean_one() {
    use pybots::runtime::Runtime;
    let spec = build_spec();
    let answer = |more: &str| {
        let known = format!("pybots-probe\tsys_version\t{VERSION}\npybots-probe\trevision\t0123456789\n");
        format!("{known}{more}pybots-probe\tend\t\n")
    };
    let lacking = answer("pybots-probe\tmissing\tbz2: No module named '_bz2'\n");
    // what each build gives, whether a tree can be continued, and what the image lacks in the end
    for (kept, answers, missing) in [
        (true, vec![&lacking, &answer("")], vec![]),
        (true, vec![&lacking, &lacking], vec!["bz2: No module named '_bz2'"]),
        (false, vec![&lacking], vec!["bz2: No module named '_bz2'"]),
    ] {
        let mut engine = FakeRuntime::default()
            .with_image(&spec.distribution.toolchain_reference())
            .with_image(&spec.distribution.runtime_reference())
            .with_file("/out/layer.json", LAYER)
            .with_file("/out/layer.tar", "a layer");
        if kept {
            engine = engine.with_file("/build/tree.json", r#"{"revision": "fedcba9876543210"}"#);
        }
        for answer in &answers {
            engine.expect("", "build").prints(STEPS);
            engine.expect("", "probe").prints(answer.as_bytes());
        }
        let (report, log) = perform(&engine, JobSpec::Image(Box::new(spec.clone()))).await;
        assert_eq!(report.outcome, Outcome::Passed, "{log}");
        assert_eq!(report.image.unwrap().facts.missing_modules, missing);
        assert!(log.contains("modules can't be imported: bz2"), "{log}");
        assert!(engine.image(&spec.reference()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_build_that_fails_says_in_which_step() {
    let spec = build_spec();
    let engine = FakeRuntime::default()
        .with_image(&spec.distribution.toolchain_reference())
        .with_image(&spec.distribution.runtime_reference());
    engine
        .expect("", "build")
        .exits(2)
        .prints(b"== step configure\n== step make\nbroken.c:1: error\n");
    let (report, log) = perform(&engine, JobSpec::Image(Box::new(spec))).await;
    let outcome = Outcome::SetupFailed {
        reason: "make ended with exit code 2".into(),
        exit_code: Some(2),
    };
    assert_eq!(report.outcome, outcome);
    assert!(log.contains("broken.c:1: error"), "{log}");
}

#[tokio::test]
async fn no_phase_sees_the_cache_of_wheels() {
    let sdist = format!(
        r#"{{"packages": [{{"name": "a", "version": "1.0", "file": "a-1.0.tar.gz", "sha256": "{}", "role": "run"}}]}}"#,
        "a".repeat(64)
    );
    for (abi, lock, kept, anew) in [
        (Some("0123456789abcdef"), sdist.as_str(), true, false),
        (Some("0123456789abcdef"), &sdist, true, true),
        (None, &sdist, false, false),
        (Some("0123456789abcdef"), "{\"packages\": []}", false, false),
    ] {
        let mut spec = run_spec(RECIPE);
        spec.wheels_anew = anew;
        let toolchain = spec.distribution.toolchain_reference();
        spec.image.facts.abi_key = abi.map(str::to_owned);
        let engine = engine(&spec)
            .with_file("/work/.pybots/lock.json", lock)
            .with_file("/witness-tests", VERSION);
        for phase in ["fetch", "install", "test tests"] {
            engine.expect("attrs", phase);
        }
        assert_eq!(run(&engine, spec).await.outcome, Outcome::Passed);
        let volumes = engine.volumes();
        let wheels: Vec<&String> = volumes
            .keys()
            .filter(|name| name.starts_with("pybots-wheels-attrs-"))
            .collect();
        assert_eq!(wheels.len(), usize::from(kept), "{volumes:?}");
        let mounted = |container: &Container| container.volumes.iter().any(|(name, _)| wheels.contains(&name));
        for phase in ["fetch", "install", "test tests"] {
            assert!(!mounted(&engine.made(phase).unwrap()), "{phase}");
        }
        // what serves install is on the toolchain image
        let serving = engine.served();
        let commands: Vec<&str> = serving
            .iter()
            .filter(|c| mounted(c))
            .map(|c| c.command[4].as_str())
            .collect();
        let expected: &[&str] = match (kept, anew) {
            (false, _) => &[],
            (true, false) => &["take", "keep"],
            (true, true) => &["keep"],
        };
        assert_eq!(commands, expected);
        assert!(
            serving
                .iter()
                .filter(|c| mounted(c))
                .all(|c| c.image == toolchain && c.network == Network::Loopback)
        );
        let install = engine.made("install").unwrap().command.join(" ");
        assert_eq!(install.contains("wheels.sh"), kept, "{install}");
    }
}

#[tokio::test]
async fn the_fake_complains_about_a_bad_caller() {
    use pybots::runtime::Runtime;
    let spec = run_spec(RECIPE);
    let engine = engine(&spec);
    engine.expect("attrs", "test never");
    assert!(
        engine
            .put("nobody", "/", pybots::runtime::tar::stream(Vec::new()))
            .await
            .is_err()
    );
    let complaints = engine.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
}

#[tokio::test]
async fn what_the_owner_does_not_give_is_not_taken() {
    let recipe = RECIPE.replace("source =", "needs = [\"gpu\"]\nsource =");
    for (recipe, say, reason) in [
        (RECIPE, "projects = [\"idna\"]", "excludes the project attrs"),
        (RECIPE, "branches = [\"2.5\"]", "excludes the branch trunk"),
        (
            RECIPE,
            "memory = \"1GiB\"",
            "gives a run 1GiB of memory, and this one may use 2GiB",
        ),
        (&recipe, "labels = [\"big\"]", "lacks the labels gpu"),
    ] {
        let spec = run_spec(recipe);
        let engine = engine(&spec);
        let say = toml::from_str(say).unwrap();
        let (report, log) = perform_under(&engine, JobSpec::Run(Box::new(spec)), say).await;
        let Outcome::Infra { reason: why } = &report.outcome else {
            panic!("{}", report.outcome);
        };
        assert!(why.contains(reason) && log.contains(reason), "{why}\n{log}");
    }
}

#[tokio::test]
async fn fewer_processors_than_a_run_may_use_are_said() {
    let spec = run_spec(RECIPE);
    let engine = engine(&spec).with_file("/witness-tests", VERSION);
    for phase in ["fetch", "install", "test tests"] {
        engine.expect("attrs", phase);
    }
    let say = toml::from_str("cpus = 0.5\nprojects = [\"attrs\"]\nlabels = [\"gpu\"]").unwrap();
    let (report, log) = perform_under(&engine, JobSpec::Run(Box::new(spec)), say).await;
    assert_eq!(report.outcome, Outcome::Passed);
    assert!(log.contains("gives a run 0.5 processors instead of 2"), "{log}");
    assert_eq!(engine.made("test tests").unwrap().cpus, 0.5);
}

#[tokio::test]
async fn what_an_engine_did_not_let_go_goes_when_it_is_back() {
    let spec = run_spec(RECIPE);
    let engine = engine(&spec);
    engine.expect("attrs", "fetch").loses_engine();
    let host = Host::new(
        "host".into(),
        Arc::new(engine.clone()),
        Arc::new(NoSupply),
        &Settings::default(),
    );
    let (log, _delivered) = Log::start(Arc::new(Memory::default()));
    engine.away(true);
    let report = host.perform("attempt", &JobSpec::Run(Box::new(spec)), &log).await;
    assert!(matches!(report.outcome, Outcome::Infra { .. }));
    host.clear_left().await;
    assert_ne!(engine.complaints(), Vec::<String>::new());
    engine.away(false);
    host.clear_left().await;
    assert_eq!(engine.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_log_knows_who_wrote_what() {
    #[derive(Default)]
    struct Chunks(Mutex<Vec<Chunk>>);
    #[async_trait]
    impl Sink for Chunks {
        async fn write(&self, chunk: Chunk) -> anyhow::Result<()> {
            self.0.lock().unwrap().push(chunk);
            Ok(())
        }
    }
    let spec = run_spec(RECIPE);
    let engine = engine(&spec).with_file("/witness-tests", VERSION);
    engine.expect("attrs", "fetch");
    engine.expect("attrs", "install");
    engine
        .expect("attrs", "test tests")
        .prints(b"out\n")
        .complains(b"err\n");
    let host = Host::new(
        "host".into(),
        Arc::new(engine.clone()),
        Arc::new(NoSupply),
        &Settings::default(),
    );
    let chunks = Arc::new(Chunks::default());
    let (log, delivered) = Log::start(chunks.clone());
    let report = host.perform("attempt", &JobSpec::Run(Box::new(spec)), &log).await;
    drop(log);
    delivered.await.unwrap().unwrap();
    let chunks = chunks.0.lock().unwrap();
    let of = |stream| -> Vec<u8> { chunks.iter().flat_map(|chunk| chunk.only(stream)).collect() };
    assert_eq!(of(Stream::Stdout), b"out\n");
    assert_eq!(of(Stream::Stderr), b"err\n");
    let said = String::from_utf8(of(Stream::Control)).unwrap();
    assert!(said.contains("[pybots] phase test tests"), "{said}");
    // a phase's place in the log is where its output begins
    let all: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.text.to_vec()).collect();
    assert!(all[report.phases[2].log_from as usize..].starts_with(b"out\nerr\n"));
}
