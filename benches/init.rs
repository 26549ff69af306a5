//! `make bench-init`: `pybots init NAME` for the names of a list, each with its trial on a real CPython. A table, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_CPYTHON_REPO`, `PYBOTS_TEST_CPYTHON` | a git repository of CPython |
//! | `PYBOTS_BENCH_REF` | its branch; by default the newest one that is named as a version (`3.13`) |
//! | `PYBOTS_BENCH_NAMES` | a file with a name on the package index in each line; `../shared/popular-projects.txt` |
//! | `PYBOTS_BENCH_PROJECTS` | how many names, from the first on; 60 |
//! | `PYBOTS_BENCH_AT_ONCE` | how many at the same time; 2 |
//! | `PYBOTS_BENCH_LIMIT` | the most seconds for each; 1200 |
//! | `PYBOTS_BENCH_FOLDER` | where recipes, logs and results are; `target/bench-init` |
//!
//! Results are in `results.jsonl` of that folder, a line for each project. A run that was stopped goes on after them: remove a
//! line, or the file, to measure again. The image of CPython is built first, once, and its time counts for no project.
//!
//! - **green**: the trial of the recipe passed.
//! - **honest red**: the trial ran the suite to its end, some tests pass, some fail, and no failure says that something is missing
//!   which a recipe can name (`pybots init` says which do).
//! - **no tests to be had**: neither the release on the index has tests, nor is there a source that can be reached and has them.
//! - **failed**: anything else, with the reason. A project that takes longer than its time has failed.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The exit code of `pybots init` if the source has no tests.
const NO_TESTS: i32 = 3;
/// How long `pybots` may take to remove its containers after a signal.
const REMOVAL: Duration = Duration::from_secs(60);
/// Longest time of the first image, with those below it.
const IMAGE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Green,
    HonestRed,
    NoTestsToBeHad,
    Failed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Green => "green",
            Kind::HonestRed => "honest red",
            Kind::NoTestsToBeHad => "no tests to be had",
            Kind::Failed => "failed",
        }
    }
}

/// How `pybots init` ended for one project.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    project: String,
    outcome: Kind,
    seconds: f64,
    /// What `pybots init` says of the trial, or why there is none.
    why: String,
    /// Whether a recipe was written.
    recipe: bool,
}

/// What all projects share.
struct Bench {
    program: PathBuf,
    folder: PathBuf,
    settings: PathBuf,
    limit: Duration,
}

fn main() {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let number = |name: &str, default: usize| {
        let number = text(name).and_then(|text| text.parse().ok());
        number.unwrap_or(default).max(1)
    };
    let file = text("PYBOTS_BENCH_NAMES").unwrap_or_else(|| "../shared/popular-projects.txt".to_owned());
    let Ok(list) = std::fs::read_to_string(&file) else {
        stop(&format!(
            "bench-init can't read {file}: set PYBOTS_BENCH_NAMES to a file with a name in each line"
        ));
    };
    let names = list.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<&str> = names.take(number("PYBOTS_BENCH_PROJECTS", 60)).collect();
    let Some(repository) = text("PYBOTS_CPYTHON_REPO").or_else(|| text("PYBOTS_TEST_CPYTHON")) else {
        stop("bench-init needs a repository of CPython: set PYBOTS_CPYTHON_REPO");
    };
    let Some(branch) = text("PYBOTS_BENCH_REF").or_else(|| newest_branch(&repository)) else {
        stop(&format!(
            "{repository} has no branch named as a version: set PYBOTS_BENCH_REF"
        ));
    };
    let folder = text("PYBOTS_BENCH_FOLDER").unwrap_or_else(|| "target/bench-init".to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    let folder = Path::new(&folder).canonicalize().unwrap();
    let repository = Path::new(&repository).canonicalize().unwrap_or(repository.into());
    // a copy, so that all projects are measured with the same program whatever is built meanwhile
    let program = folder.join("pybots");
    std::fs::copy(env!("CARGO_BIN_EXE_pybots"), &program).unwrap();
    let bench = Bench {
        program,
        settings: write_settings(&folder, &repository, &branch),
        limit: Duration::from_secs(number("PYBOTS_BENCH_LIMIT", 1200) as u64),
        folder,
    };

    let mut rows = bench.finished();
    let missing: Vec<&str> = names.iter().copied().filter(|name| !rows.contains_key(*name)).collect();
    if !missing.is_empty() {
        bench.build_image();
    }
    eprintln!(
        "{} of {} projects are measured already",
        names.len() - missing.len(),
        names.len()
    );
    let queue = Mutex::new(missing.into_iter());
    let results = Mutex::new(&mut rows);
    std::thread::scope(|scope| {
        for _ in 0..number("PYBOTS_BENCH_AT_ONCE", 2) {
            scope.spawn(|| {
                while let Some(name) = take(&queue) {
                    eprintln!("{name}: started");
                    let row = bench.measure(name);
                    eprintln!("{name}: {} after {:.0} s: {}", row.outcome.name(), row.seconds, row.why);
                    let mut results = results.lock().unwrap();
                    bench.keep(&row);
                    results.insert(name.to_owned(), row);
                }
            });
        }
    });
    print(&names, &rows);
}

fn stop(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2);
}

fn take<'a>(queue: &Mutex<std::vec::IntoIter<&'a str>>) -> Option<&'a str> {
    queue.lock().unwrap().next()
}

/// The newest branch that is named as a version of Python 3.
fn newest_branch(repository: &str) -> Option<String> {
    let output = Command::new("git")
        .args([
            "--git-dir",
            repository,
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads",
        ])
        .output()
        .ok()?;
    let heads = String::from_utf8(output.stdout).ok()?;
    let minor = |head: &&str| head.strip_prefix("3.").and_then(|minor| minor.parse::<u32>().ok());
    heads
        .lines()
        .filter(|head| minor(head).is_some())
        .max_by_key(minor)
        .map(str::to_owned)
}

/// Writes the settings with which all projects run. A suite that hangs is ended sooner than by default.
fn write_settings(folder: &Path, repository: &Path, branch: &str) -> PathBuf {
    let text = format!(
        "data = {:?}\nslots = 1\n[source]\ngit = {repository:?}\n[[branch]]\nname = {branch:?}\nref = {branch:?}\n[limits]\nsilence = \"2m\"\n",
        folder.join("data")
    );
    let file = folder.join("pybots.toml");
    std::fs::write(&file, text).unwrap();
    file
}

impl Bench {
    fn results(&self) -> PathBuf {
        self.folder.join("results.jsonl")
    }

    /// Returns what an earlier run has measured. A line that was cut off is measured again.
    fn finished(&self) -> BTreeMap<String, Row> {
        let text = std::fs::read_to_string(self.results()).unwrap_or_default();
        let rows = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        rows.map(|row: Row| (row.project.clone(), row)).collect()
    }

    /// Adds a row to the file of results.
    fn keep(&self, row: &Row) {
        let mut file = File::options().create(true).append(true).open(self.results()).unwrap();
        writeln!(file, "{}", serde_json::to_string(row).unwrap()).unwrap();
    }

    /// Starts `pybots` in the folder of a project, with its output in two files there.
    fn start(&self, folder: &Path, arguments: &[&str]) -> Child {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).unwrap();
        let mut command = Command::new(&self.program);
        command
            .current_dir(folder)
            .arg("--config")
            .arg(&self.settings)
            .args(arguments);
        command.stdin(Stdio::null());
        command.stdout(File::create(folder.join("stdout")).unwrap());
        command.stderr(File::create(folder.join("stderr")).unwrap());
        command.spawn().unwrap()
    }

    /// Builds CPython and what lies below it, by the trial of a project without anything.
    fn build_image(&self) {
        eprintln!("building the image of CPython, unless it is there");
        let source = self.folder.join("image");
        std::fs::create_dir_all(source.join("nothing/src")).unwrap();
        std::fs::write(source.join("nothing/src/empty"), "").unwrap();
        let recipe = source.join("nothing.toml");
        let text = "name = \"nothing\"\nsource = { path = \"nothing/src\" }\ninstall = []\n[[suite]]\nname = \"tests\"\nrun = \"python -c pass\"\n";
        std::fs::write(&recipe, text).unwrap();
        let branch = std::fs::read_to_string(&self.settings).unwrap();
        let branch = branch
            .lines()
            .find_map(|line| line.strip_prefix("ref = "))
            .unwrap_or_default();
        let clock = Instant::now();
        let folder = self.folder.join("logs-of-the-image");
        let recipe = recipe.display().to_string();
        let mut child = self.start(&folder, &["try", &recipe, "--on", branch.trim_matches('"')]);
        let ended = wait(&mut child, IMAGE);
        if !ended.is_some_and(|status| status.success()) {
            let log = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
            stop(&format!("the image could not be built:\n{log}"));
        }
        eprintln!("the image is there after {:.0} s", clock.elapsed().as_secs_f64());
    }

    /// Runs `pybots init` for one project.
    fn measure(&self, name: &str) -> Row {
        let folder = self.folder.join("projects").join(name);
        let clock = Instant::now();
        let mut child = self.start(&folder, &["init", name]);
        let ended = wait(&mut child, self.limit);
        let seconds = clock.elapsed().as_secs_f64();
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        let (out, errors) = (read("stdout"), read("stderr"));
        let recipe = out.lines().any(|line| line.starts_with("wrote "));
        let (outcome, why) = match ended {
            Some(status) => judge(status, &out, &errors),
            None => (Kind::Failed, format!("it took longer than {} s", self.limit.as_secs())),
        };
        Row {
            project: name.to_owned(),
            outcome,
            seconds,
            why,
            recipe,
        }
    }
}

/// Waits for a process. After the time it gets a signal, on which it removes its containers, and `None` is returned.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let ends_within = |child: &mut Child, limit: Duration| {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    };
    if let Some(status) = ends_within(child, limit) {
        return Some(status);
    }
    let id = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    if ends_within(child, REMOVAL).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    None
}

/// Judges by the exit code and by the line in which `pybots init` states the result.
fn judge(status: ExitStatus, out: &str, errors: &str) -> (Kind, String) {
    let lines: Vec<&str> = out.lines().collect();
    let last = lines
        .iter()
        .rev()
        .find(|line| !line.starts_with("wrote "))
        .copied()
        .unwrap_or_default();
    let says = last.split_once(": ").map_or(last, |(_, says)| says).to_owned();
    match status.code() {
        Some(0) if says.starts_with("green") => (Kind::Green, says),
        // the recipe lacks something
        Some(0) if says.contains(" of them for want of ") => (Kind::Failed, says),
        Some(0) if says.starts_with("red") => (Kind::HonestRed, says),
        Some(NO_TESTS) => (Kind::NoTestsToBeHad, says),
        Some(1) => (Kind::Failed, says),
        _ => {
            let error = errors.lines().rev().find(|line| !line.trim().is_empty());
            (Kind::Failed, format!("{status}: {}", error.unwrap_or_default()))
        }
    }
}

fn print(names: &[&str], rows: &BTreeMap<String, Row>) {
    println!("| project | outcome | s | recipe | what `pybots init` says |");
    println!("|---|---|---:|---|---|");
    let rows: Vec<&Row> = names.iter().filter_map(|name| rows.get(*name)).collect();
    for row in &rows {
        let recipe = if row.recipe { "yes" } else { "no" };
        let why: String = row.why.replace('|', "\\|").chars().take(200).collect();
        println!(
            "| {} | {} | {:.0} | {recipe} | {why} |",
            row.project,
            row.outcome.name(),
            row.seconds
        );
    }
    let count = |kind: Kind| rows.iter().filter(|row| row.outcome == kind).count();
    let mut seconds: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({
            "projects": rows.len(),
            "recipes": rows.iter().filter(|row| row.recipe).count(),
            "green": count(Kind::Green),
            "honest_red": count(Kind::HonestRed),
            "no_tests_to_be_had": count(Kind::NoTestsToBeHad),
            "failed": count(Kind::Failed),
            "median_s": median.round(),
        })
    );
}
