//! `make bench-dispatch`: what a trivial run costs through coordinator and host, against a bare `docker run` of the same
//! command in the same sandbox, as many at a time. And how long work waits for an idle host. A table, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_BENCH_RUNS` | how many runs; 100 |
//! | `PYBOTS_BENCH_SLOTS` | how many at a time; 2 |
//! | `PYBOTS_BENCH_CLAIMS` | how many claims of an idle host; 20 |

#[path = "../tests/support/mod.rs"]
mod support;

use pybots::domain::job::{JobSpec, Report, RunSpec};
use pybots::runtime::tar::{self, FileOwner};
use sqlx::AnyPool;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::up::{HostProcess, Up, pybots, settings, toy_repository};

/// What each run does once it is set up.
const SUITE: &str = "python -c 'print(1)'";

#[tokio::main]
async fn main() {
    let number = |name: &str, default: usize| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default).max(1)
    };
    let (runs, slots) = (number("PYBOTS_BENCH_RUNS", 100), number("PYBOTS_BENCH_SLOTS", 2));
    let claims = number("PYBOTS_BENCH_CLAIMS", 20);
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let projects = folder.path().join("projects");
    recipe(&projects, 0);
    settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
    let mut up = Up::start_as(folder.path(), "serve");
    let line = up.enrol("bench", &["--builds"]);
    let mut host = start(&folder.path().join("host"), &line, slots);
    eprintln!("warming up: one image, one run");
    let first = repository.git(&["rev-parse", "HEAD"]);
    let cell = up.decided(&first, "trivial-0");
    assert_eq!(cell["state"], "pass", "{}", host.log());
    // the coordinator is to know what the host holds
    tokio::time::sleep(Duration::from_secs(5)).await;
    let url = format!("sqlite://{}", folder.path().join("data/pybots.sqlite").display());
    sqlx::any::install_default_drivers();
    let store = AnyPool::connect(&url).await.unwrap();

    // an idle host, and one job at a time
    for count in 1..=claims {
        repository.write("NEWS", &format!("{count}"));
        let sha = repository.commit("nothing that a build reads");
        up.decided(&sha, "trivial-0");
    }
    let waits: Vec<(i64,)> = sqlx::query_as(
        "SELECT attempt.started_at - job.created_at FROM attempt JOIN job ON job.id = attempt.job_id
         WHERE job.kind = 'run' ORDER BY attempt.started_at DESC LIMIT $1",
    )
    .bind(claims as i64)
    .fetch_all(&store)
    .await
    .unwrap();
    let mut waits: Vec<i64> = waits.into_iter().map(|wait| wait.0).collect();
    waits.sort_unstable();

    // all jobs are there before the host begins
    assert!(pybots(folder.path(), &["host", "drain", "bench"]).status.success());
    for at in 1..=runs {
        recipe(&projects, at);
    }
    let waiting = "SELECT COUNT(*) FROM job WHERE state = 'queued'";
    until(&store, waiting, runs as i64, &host).await;
    let spec: (String,) = sqlx::query_as(
        "SELECT whole.spec FROM job JOIN job_spec AS whole ON whole.job_id = job.id WHERE job.state = 'queued' LIMIT 1",
    )
    .fetch_one(&store)
    .await
    .unwrap();
    let JobSpec::Run(spec) = serde_json::from_str(&spec.0).unwrap() else {
        panic!("no run");
    };
    let begun = pybots::clock::now();
    let before = bare(&spec, runs / 2, slots);
    assert!(pybots(folder.path(), &["host", "resume", "bench"]).status.success());
    until(&store, "SELECT COUNT(*) FROM job WHERE state <> 'finished'", 0, &host).await;
    let after = bare(&spec, runs - runs / 2, slots);
    let by_hand = by_hand(&spec, runs, slots);
    let done: Vec<(i64, i64, String, String)> = sqlx::query_as(
        "SELECT started_at, finished_at, outcome, whole.report FROM attempt JOIN attempt_report AS whole ON whole.attempt_id = id
         WHERE started_at > $1 AND outcome IS NOT NULL",
    )
    .bind(begun)
    .fetch_all(&store)
    .await
    .unwrap();
    assert_eq!(done.len(), runs, "{}", host.log());
    assert!(done.iter().all(|run| run.2 == "passed"), "{}", host.log());
    host.stop();
    up.stop();
    drop((host, up));

    let first = done.iter().map(|run| run.0).min().unwrap_or(0);
    let last = done.iter().map(|run| run.1).max().unwrap_or(0);
    let each = |seconds: f64| seconds / runs as f64;
    let (ours, bare, by_hand) = (
        each((last - first) as f64 / 1000.0),
        each(before + after),
        each(by_hand),
    );
    println!("| {runs} runs, {slots} at a time | seconds for each | against bare |");
    println!("|---|---|---|");
    println!("| one bare `docker run` of install and suite | {bare:.3} | 1 |");
    println!(
        "| the containers of a run by hand: work folder, install, suite | {by_hand:.3} | {:.2} |",
        by_hand / bare
    );
    println!("| coordinator and host | {ours:.3} | {:.2} |", ours / bare);
    println!();
    profile(&done);
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part).round() as usize];
    println!();
    println!("| {} claims of an idle host | ms |", waits.len());
    println!("|---|---|");
    println!("| median | {} |", at(0.5));
    println!("| p99 | {} |", at(0.99));
    println!();
    let json = serde_json::json!({
        "overhead_ratio": ours / bare,
        "by_hand_ratio": ours / by_hand,
        "claim_p50_ms": at(0.5),
        "claim_p99_ms": at(0.99),
    });
    println!("{json}");
}

/// What a run's time went to, as its host measured it.
fn profile(done: &[(i64, i64, String, String)]) {
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let reports: Vec<Report> = done.iter().map(|run| serde_json::from_str(&run.3).unwrap()).collect();
    let phase = |name: &str| {
        let phases = reports.iter().flat_map(|report| &report.phases);
        mean(
            phases
                .filter(|phase| phase.name.starts_with(name))
                .map(|phase| phase.seconds)
                .collect(),
        )
    };
    let whole = mean(done.iter().map(|run| (run.1 - run.0) as f64 / 1000.0).collect());
    let (install, test) = (phase("install"), phase("test"));
    println!("| of a run's {whole:.3} s | seconds |");
    println!("|---|---|");
    println!("| install, from its start to its exit | {install:.3} |");
    println!("| suite, from its start to its exit | {test:.3} |");
    println!(
        "| around them: work folder, making and removing containers, log, report | {:.3} |",
        whole - install - test
    );
}

/// A project whose suite does next to nothing.
fn recipe(projects: &Path, at: usize) {
    let name = format!("trivial-{at}");
    let folder = projects.join(&name);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("src/README"), "nothing\n").unwrap();
    let text = format!(
        "name = {name:?}\nsource = {{ path = \"src\" }}\ninstall = []\n[[suite]]\nname = \"suite\"\nrun = {SUITE:?}\n"
    );
    std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

fn start(folder: &Path, line: &str, slots: usize) -> HostProcess {
    std::fs::create_dir_all(folder).unwrap();
    HostProcess::set(folder, "");
    let log = std::fs::File::create(folder.join("up.log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_pybots"))
        .current_dir(folder)
        .args(["--config", "pybots.toml"])
        .args(line.split_whitespace().skip(1))
        .env("NO_COLOR", "1")
        .env("PYBOTS_SLOTS", slots.to_string())
        .stderr(log)
        .spawn()
        .unwrap();
    HostProcess {
        folder: PathBuf::from(folder),
        child,
    }
}

/// Waits until a count is as wanted.
async fn until(store: &AnyPool, sql: &'static str, wanted: i64, host: &HostProcess) {
    let start = Instant::now();
    loop {
        let (count,): (i64,) = sqlx::query_as(sql).fetch_one(store).await.unwrap();
        if count == wanted {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(900),
            "{count}, not {wanted}: {}",
            host.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The sandbox of a run in the words of the command line, but for the work folder.
fn flags(spec: &RunSpec) -> Vec<String> {
    let limits = &spec.limits;
    let text = format!(
        "--user 1000:1000 --workdir /work --read-only --cap-drop ALL --security-opt no-new-privileges:true --network none
         --memory {memory} --memory-swap {memory} --pids-limit {} --cpus {} --ulimit core=0 --ipc private
         --log-driver none --tmpfs /tmp:rw,exec,nosuid,nodev,mode=1777,size=512m --env HOME=/work/home
         --env PATH=/work/venv/bin:/opt/pybots/bin:/usr/local/bin:/usr/bin:/bin --env UV_OFFLINE=1",
        limits.pids,
        limits.cpus,
        memory = limits.memory.0,
    );
    text.split_whitespace().map(str::to_owned).collect()
}

/// What install does for such a project.
fn install(spec: &RunSpec) -> String {
    let python = &spec.image.build.profile.python;
    format!("mkdir -p /work/home /work/wheels /work/src && uv venv --quiet --python {python} /work/venv")
}

fn docker(arguments: &[String]) {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Seconds for so many, so many at a time.
fn at_once(count: usize, slots: usize, one: impl Fn(usize) + Sync) -> f64 {
    let next = Mutex::new(0);
    let clock = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..slots {
            scope.spawn(|| {
                loop {
                    let at = {
                        let mut next = next.lock().unwrap();
                        *next += 1;
                        *next
                    };
                    if at > count {
                        return;
                    }
                    one(at);
                }
            });
        }
    });
    clock.elapsed().as_secs_f64()
}

/// All in one container.
fn bare(spec: &RunSpec, count: usize, slots: usize) -> f64 {
    let work = format!(
        "/work:rw,exec,nosuid,nodev,uid=1000,gid=1000,mode=0755,size={}",
        spec.limits.work.0
    );
    let mut arguments: Vec<String> = vec!["run".into(), "--rm".into()];
    arguments.extend(flags(spec));
    arguments.extend(["--tmpfs".into(), work, spec.image.reference.clone()]);
    arguments.extend([
        "/bin/sh".into(),
        "-euc".into(),
        format!("{}\ncd /work/src\n{SUITE}", install(spec)),
    ]);
    at_once(count, slots, |_| docker(&arguments))
}

/// Puts the sources into the work folder.
fn fill(container: &str) {
    let mut files = tar::folders(FileOwner::Runner, &["src", "home"]);
    files.extend(tar::files(FileOwner::Runner, &[("src/README", b"nothing", false)]));
    let mut copy = Command::new("docker")
        .args(["cp", "-", &format!("{container}:/work")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    copy.stdin.take().unwrap().write_all(&files).unwrap();
    assert!(copy.wait().unwrap().success());
}

/// The same containers that a run has, by the engine's own command.
fn by_hand(spec: &RunSpec, count: usize, slots: usize) -> f64 {
    let id = std::process::id();
    at_once(count, slots, |at| {
        let name = format!("pybots-bench-{id}-{at}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let options = format!("o=size={},uid=1000,gid=1000,mode=0755,nosuid,nodev", spec.limits.work.0);
        let mut volume = words("volume create --opt type=tmpfs --opt device=tmpfs --opt");
        volume.extend([options, name.clone()]);
        docker(&volume);
        let run = |more: &str, script: String| {
            let mut arguments = vec!["run".to_owned()];
            arguments.extend(words(more));
            arguments.extend(flags(spec));
            arguments.extend(["--mount".to_owned(), format!("type=volume,src={name},dst=/work")]);
            arguments.extend([spec.image.reference.clone(), "/bin/sh".into(), "-euc".into(), script]);
            docker(&arguments);
        };
        run(&format!("--detach --name {name}"), "exec sleep 600".to_owned());
        fill(&name);
        run("--rm", install(spec));
        run("--rm", format!("cd /work/src\n{SUITE}"));
        docker(&words(&format!("rm --force {name}")));
        docker(&words(&format!("volume rm {name}")));
    })
}
