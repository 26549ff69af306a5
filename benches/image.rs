//! `make bench-image`: what an image of the next revision costs, against a clean `docker build` of the same
//! revision, and against a bare `make` in a tree that was kept. A table, then the medians, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_CPYTHON_REPO` | a git repository of CPython; without it, a release with seeded revisions |
//! | `PYBOTS_BENCH_REF` | the branch whose newest revisions are taken; `main` |
//! | `PYBOTS_BENCH_REVISIONS` | how many; 20 |
//! | `PYBOTS_BENCH_CLEAN_EVERY` | the clean build is made for each Nth of them; 1 |

#[path = "../tests/support/mod.rs"]
mod support;

use pybots::config::Settings;
use pybots::domain::tree::{ChangeKind, TreeChange};
use pybots::runtime::Runtime;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::cpython;
use support::factory::{Factory, Made};

/// One revision, measured. Seconds, and bytes.
struct Row {
    sha: String,
    kind: &'static str,
    subject: String,
    ours: f64,
    added: Option<u64>,
    floor: f64,
    clean: Option<f64>,
}

#[tokio::main]
async fn main() {
    let number = |name: &str, default: usize| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default).max(1)
    };
    let (count, clean_every) = (
        number("PYBOTS_BENCH_REVISIONS", 20),
        number("PYBOTS_BENCH_CLEAN_EVERY", 1),
    );
    let folder = tempfile::tempdir().unwrap();
    let Some((repository, revisions)) = cpython::of(folder.path(), count + 1, &[]) else {
        eprintln!(
            "bench-image needs a repository of CPython: set PYBOTS_CPYTHON_REPO, or PYBOTS_TEST_CPYTHON to releases"
        );
        std::process::exit(2);
    };
    let settings = Settings {
        slots: 1,
        ..support::settings()
    };
    let jobs = settings.build.cpus.ceil().max(1.0) as usize;
    let factory = Factory::open(&repository, None, &settings).await;
    let first = factory.spec(&revisions[0], "default").await.unwrap();
    eprintln!(
        "warming up with {}: one image, one tree for the floor",
        &revisions[0][..10]
    );
    factory.runtime.remove_image(&first.reference()).await.unwrap();
    let warm = factory.make(&revisions[0], "default").await;
    eprintln!(
        "  the image took {:.1} s ({:.1} MB)",
        warm.seconds,
        warm.image().layer.added as f64 / 1e6
    );
    let floor = Floor::start(
        &repository,
        &revisions[0],
        &warm.spec.distribution.toolchain_reference(),
    );
    floor.prepare(&warm.spec, jobs);

    println!("| revision | kind | ours s | added MB | floor s | clean s | clean/ours | ours/floor | subject |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut rows: Vec<Row> = Vec::new();
    let mut keys = BTreeSet::from([first.build_key.clone()]);
    for (at, pair) in revisions.windows(2).enumerate() {
        let (before, sha) = (&pair[0], &pair[1]);
        let changes = factory.mirror.changes(before, sha, &[]).await.unwrap();
        // ours: from the revision's id to an image with a name, or to knowing that there is one
        let clock = Instant::now();
        let spec = factory.spec(sha, "default").await.unwrap();
        let held = factory.runtime.image(&spec.reference()).await.unwrap();
        // an image that a run before this one has left does not count
        let shared = !keys.insert(spec.build_key.clone()) && held.is_some();
        let known = clock.elapsed().as_secs_f64();
        let (ours, added) = if shared {
            (known, None)
        } else {
            factory.runtime.remove_image(&spec.reference()).await.unwrap();
            let made = factory.make_spec(spec.clone()).await;
            eprintln!("{} {}", &sha[..10], parts(&made));
            (known + made.seconds, Some(made.image().layer.added))
        };
        let floor = floor.step(&changes, sha, jobs);
        let clean = if (at + 1) % clean_every == 0 {
            let tag = format!("pybots/bench:{}", &sha[..12]);
            let seconds = factory.scratch(&spec, &tag, jobs).await.unwrap();
            factory.runtime.remove_image(&tag).await.unwrap();
            Some(seconds)
        } else {
            None
        };
        let row = Row {
            kind: kind(&changes, shared),
            subject: factory.mirror.revision(sha).await.unwrap().subject,
            sha: sha.clone(),
            ours,
            added,
            floor,
            clean,
        };
        println!("{}", row.line());
        let _ = std::io::stdout().flush();
        rows.push(row);
    }
    summary(&rows);
    drop(floor);
    factory.close().await;
}

/// What the time of an image went to.
fn parts(made: &Made) -> String {
    let phases: Vec<String> = made
        .report
        .phases
        .iter()
        .map(|phase| format!("{} {:.2} s", phase.name, phase.seconds))
        .collect();
    let within: f64 = made.report.phases.iter().map(|phase| phase.seconds).sum();
    format!("{}, around them {:.2} s", phases.join(", "), made.seconds - within)
}

fn kind(changes: &[TreeChange], shared: bool) -> &'static str {
    let any = |test: &dyn Fn(&str) -> bool| changes.iter().any(|change| test(&change.path));
    match () {
        () if shared => "no build input",
        () if any(&|path| path.starts_with("Include/")) => "header",
        () if any(&|path| path.ends_with(".c") || path.ends_with(".h")) => "C",
        () if any(&|path| path.starts_with("Lib/")) => "Python",
        () => "other",
    }
}

impl Row {
    fn line(&self) -> String {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let subject: String = self.subject.chars().filter(|c| *c != '|').take(60).collect();
        format!(
            "| {} | {} | {:.2} | {} | {:.2} | {} | {} | {:.2} | {subject} |",
            &self.sha[..10],
            self.kind,
            self.ours,
            or_dash(self.added.map(|added| format!("{:.1}", added as f64 / 1e6))),
            self.floor,
            or_dash(self.clean.map(|clean| format!("{clean:.1}"))),
            or_dash(self.clean.map(|clean| format!("{:.0}", clean / self.ours))),
            self.ours / self.floor,
        )
    }
}

/// None of nothing.
fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn summary(rows: &[Row]) {
    let built: Vec<&Row> = rows.iter().filter(|row| row.added.is_some()).collect();
    let all: Vec<&Row> = rows.iter().collect();
    println!();
    println!("| medians | revisions | ours s | added MB | floor s | clean s | clean/ours | ours/floor |");
    println!("|---|---|---|---|---|---|---|---|");
    let show = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    for (name, rows) in [("all", &all), ("those that were built", &built)] {
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            rows.len(),
            show(median(rows.iter().map(|row| row.ours)), 2),
            show(median(rows.iter().map(|row| row.added.unwrap_or(0) as f64 / 1e6)), 1),
            show(median(rows.iter().map(|row| row.floor)), 2),
            show(median(rows.iter().filter_map(|row| row.clean)), 1),
            show(median(rows.iter().filter_map(|row| Some(row.clean? / row.ours))), 0),
            show(median(rows.iter().map(|row| row.ours / row.floor)), 2),
        );
    }
    println!();
    let json = serde_json::json!({
        "revisions": rows.len(),
        "median_speedup": median(rows.iter().filter_map(|row| Some(row.clean? / row.ours))),
        "median_over_floor": median(rows.iter().map(|row| row.ours / row.floor)),
        "median_added_mb": median(rows.iter().map(|row| row.added.unwrap_or(0) as f64 / 1e6)),
        "docs_only_s": median(rows.iter().filter(|row| row.added.is_none()).map(|row| row.ours)),
    });
    println!("{json}");
}

/// A container with a tree that is kept, in which a person runs `make` after each revision: no image, no
/// install, no compiler cache.
struct Floor {
    container: String,
    repository: std::path::PathBuf,
}

impl Floor {
    fn start(repository: &Path, sha: &str, toolchain: &str) -> Self {
        let container = format!("pybots-bench-{}", std::process::id());
        let flags = [
            "run",
            "--rm",
            "--detach",
            "--network",
            "none",
            "--workdir",
            "/tree",
            "--name",
            &container,
        ];
        let output = Command::new("docker")
            .args(flags)
            .args([toolchain, "sleep", "36000"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let floor = Self {
            container,
            repository: repository.to_owned(),
        };
        floor.unpack(sha, &[]);
        floor
    }

    fn prepare(&self, spec: &pybots::domain::job::BuildSpec, jobs: usize) {
        let env: String = spec
            .profile
            .env
            .iter()
            .map(|(name, value)| format!("export {name}='{value}'; "))
            .collect();
        let seconds = self.shell(&format!(
            "{env}./configure --prefix=/usr/local {} >/dev/null 2>&1 && make -j{jobs} >/dev/null 2>&1",
            spec.profile.configure.join(" ")
        ));
        eprintln!("  the tree took {seconds:.1} s");
    }

    /// Brings the tree to the next revision, and measures `make` alone.
    fn step(&self, changes: &[TreeChange], sha: &str, jobs: usize) -> f64 {
        let (gone, here): (Vec<&TreeChange>, Vec<&TreeChange>) =
            changes.iter().partition(|change| change.kind == ChangeKind::Deleted);
        if !gone.is_empty() {
            let names: Vec<&str> = gone.iter().map(|change| change.path.as_str()).collect();
            self.shell(&format!("rm -f -- '{}'", names.join("' '")));
        }
        let names: Vec<&str> = here.iter().map(|change| change.path.as_str()).collect();
        if !names.is_empty() {
            self.unpack(sha, &names);
            self.shell(&format!("touch -c -- '{}'", names.join("' '")));
        }
        self.shell(&format!("make -j{jobs} >/dev/null 2>&1"))
    }

    fn unpack(&self, sha: &str, names: &[&str]) {
        let script = format!(
            "git --git-dir '{}' archive --format=tar {sha} -- {} | docker exec -i {} tar -x --no-same-owner",
            self.repository.display(),
            names
                .iter()
                .map(|name| format!("'{name}'"))
                .collect::<Vec<_>>()
                .join(" "),
            self.container
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Seconds inside of the container.
    fn shell(&self, line: &str) -> f64 {
        let timed = format!("a=$(date +%s%N); {line} || exit 1; b=$(date +%s%N); echo $((b - a))");
        let output = Command::new("docker")
            .args(["exec", &self.container, "sh", "-c", &timed])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().unwrap() / 1e9
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", &self.container]).output();
    }
}
