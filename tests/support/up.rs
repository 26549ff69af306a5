//! `pybots up` as a process of its own, on a folder of its own.

use super::{copy_folder, here};
use pybots::profile::Profiles;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest that anything on the toy CPython takes here, images below it included.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Returns whether tests may use the container engine, and prints why not. Makes the images below CPython first.
pub fn engine_wanted() -> bool {
    let wanted = engine_is_here();
    if wanted {
        make_images();
    } else {
        println!("SKIPPED: real containers, for PYBOTS_TEST_ENGINE is not set");
    }
    wanted
}

/// Makes the images below CPython unless the engine has them. Their names are digests of what is in them. Each test is
/// a process of its own, so a lock on a file keeps two of them from making the same image.
fn make_images() {
    let below = Profiles::load(None).unwrap().distribution;
    let images = [below.toolchain_reference(), below.runtime_reference()];
    let there = || {
        let output = Command::new("docker").args(["image", "inspect"]).args(&images).output();
        output.unwrap().status.success()
    };
    if there() {
        return;
    }
    let lock = std::fs::File::create(std::env::temp_dir().join("pybots-test-images.lock")).unwrap();
    lock.lock().unwrap();
    if there() {
        return;
    }
    let start = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], "");
    let recipe = here()
        .join("tests/fixtures/projects/passes/passes.toml")
        .display()
        .to_string();
    let output = pybots(folder.path(), &["try", &recipe]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        there(),
        "{images:?}: the profiles of the tests and those built in differ"
    );
    clear(folder.path());
    println!("TOOK: the images below CPython: {:.1} s", start.elapsed().as_secs_f64());
}

/// Takes away what a host of this folder has left or keeps on the engine.
pub fn clear(folder: &Path) {
    let script = "id=$(cat data/host-id) || exit 0
        docker ps --all --quiet --filter label=org.pybots.host=$id | xargs -r docker rm --force --volumes
        for label in host=$id lane-of=$id lane-of=try-$id; do
            docker volume ls --quiet --filter label=org.pybots.$label | xargs -r docker volume rm
        done";
    let _ = Command::new("sh").current_dir(folder).args(["-c", script]).output();
}

/// As [`engine_wanted`], without a word.
pub fn engine_is_here() -> bool {
    std::env::var_os("PYBOTS_TEST_ENGINE").is_some()
}

pub struct Up {
    pub folder: PathBuf,
    pub url: String,
    pub child: Child,
}

/// Writes settings for the toy CPython in `folder/cpython`; `more` is appended.
pub fn settings(folder: &Path, projects: &Path, branches: &[(&str, &str, u32)], more: &str) {
    let images = folder.join("images");
    std::fs::create_dir_all(&images).unwrap();
    // the same images below CPython as everywhere, so that they are made once
    std::fs::copy(
        here().join("images/distribution.toml"),
        images.join("distribution.toml"),
    )
    .unwrap();
    std::fs::copy(here().join("tests/fixtures/toy-cpython.toml"), images.join("toy.toml")).unwrap();
    let branches: String = branches
        .iter()
        .map(|(name, reference, first)| {
            format!("[[branch]]\nname = \"{name}\"\nref = \"{reference}\"\nfirst = {first}\n")
        })
        .collect();
    // by chance something would be done twice; a test that wants it says so
    let repeat = if more.contains("[verdicts]") {
        ""
    } else {
        "[verdicts]\nrepeat = 0\nburn_in = 0\n"
    };
    let text = format!(
        "data = {:?}\nimages = {images:?}\nprojects = {projects:?}\nlisten = \"127.0.0.1:0\"\nslots = 2\npoll = \"2s\"\n{more}\n{repeat}[source]\ngit = {:?}\n{branches}",
        folder.join("data"),
        folder.join("cpython"),
    );
    std::fs::write(folder.join("pybots.toml"), text).unwrap();
}

/// The toy CPython as a repository in `folder/cpython`, with its first revision.
pub fn toy_repository(folder: &Path) -> super::Repository {
    let repository = super::Repository::new(&folder.join("cpython"));
    copy_folder(&here().join("tests/fixtures/toy-cpython"), &repository.path);
    // a build key of its own for each test: none may find what another has built
    repository.write("Lib/unique.txt", &pybots::store::new_id());
    repository.commit("the toy");
    repository
}

/// Runs the program to its end.
pub fn pybots(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pybots"))
        .current_dir(folder)
        .args(["--config", "pybots.toml"])
        .args(arguments)
        .output()
        .unwrap()
}

impl Up {
    /// Coordinator and host in one.
    pub fn start(folder: &Path) -> Self {
        Self::start_as(folder, "up")
    }

    /// `up` or `serve`.
    pub fn start_as(folder: &Path, command: &str) -> Self {
        Self::start_after(folder, command, "")
    }

    /// The same after a line of shell, such as `ulimit -n 150`.
    pub fn start_after(folder: &Path, command: &str, shell: &str) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("up.log"))
            .unwrap();
        let mut child = Command::new("sh")
            .current_dir(folder)
            .args([
                "-c",
                &format!("{shell}\nexec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_pybots"),
            ])
            .args(["--config", "pybots.toml", command])
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url:?} {}", read_log(folder));
        Self {
            folder: folder.to_owned(),
            url: url.trim().trim_end_matches('/').to_owned(),
            child,
        }
    }

    /// Registers a host; returns the line for its owner.
    pub fn enrol(&self, name: &str, more: &[&str]) -> String {
        let mut arguments = vec!["host", "add", name, "--owner", "o@example.org", "--url", &self.url];
        arguments.extend(more);
        let output = pybots(&self.folder, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn log(&self) -> String {
        read_log(&self.folder)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.url);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let answer = reqwest::get(url).await.unwrap();
                (
                    answer.status().as_u16(),
                    String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned(),
                )
            })
        })
        .join()
        .unwrap()
    }

    /// The cells, as `pybots results --json` prints them.
    pub fn cells(&self) -> Vec<Value> {
        let output = pybots(&self.folder, &["results", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The cell of a project on a revision, once it is decided.
    pub fn decided(&self, revision: &str, project: &str) -> Value {
        let is_it =
            |cell: &Value| cell["revision"] == revision && cell["project"] == project && cell["state"] != "pending";
        // asked over HTTP, which costs less than a process each time
        self.until(&format!("{project} on {revision}"), || {
            let (status, cells) = self.get("/api/results");
            assert_eq!(status, 200, "{cells}");
            let cells: Vec<Value> = serde_json::from_str(&cells).unwrap();
            cells.iter().find(|cell| is_it(cell))?;
            self.cells().into_iter().find(is_it)
        })
    }

    /// Looks again and again until there is an answer.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "still waiting for {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a service manager does, and waits for that.
    pub fn stop(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Containers and volumes on the engine that bear this host's label.
    pub fn left_behind(&self) -> Vec<String> {
        labelled(
            std::fs::read_to_string(self.folder.join("data/host-id"))
                .unwrap()
                .trim(),
        )
    }
}

/// Containers and volumes on the engine that bear a host's label.
pub fn labelled(host: &str) -> Vec<String> {
    let filter = format!("label=org.pybots.host={host}");
    let mut found = Vec::new();
    for command in [["ps", "--all", "--quiet"], ["volume", "ls", "--quiet"]] {
        let output = Command::new("docker")
            .args(command)
            .args(["--filter", &filter])
            .output()
            .unwrap();
        assert!(output.status.success());
        found.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
    }
    found
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // a test that fails, or needs no end of its own, leaves nothing either
        if engine_is_here() {
            clear(&self.folder);
        }
    }
}

/// `pybots host` as a process of its own: a registered host with a data folder of its own.
pub struct HostProcess {
    pub folder: PathBuf,
    pub child: Child,
}

impl HostProcess {
    /// Starts it with what a maintainer was told to hand over; later ones in the same folder need no line.
    pub fn start(folder: &Path, line: Option<&str>) -> Self {
        Self::start_with(folder, line, "")
    }

    /// The same with more settings.
    pub fn start_with(folder: &Path, line: Option<&str>, more: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self::set(folder, more);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("up.log"))
            .unwrap();
        let words: Vec<&str> = line.unwrap_or("pybots host").split_whitespace().skip(1).collect();
        let child = Command::new(env!("CARGO_BIN_EXE_pybots"))
            .current_dir(folder)
            .args(["--config", "pybots.toml"])
            .args(words)
            .env("NO_COLOR", "1")
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            folder: folder.to_owned(),
            child,
        }
    }

    /// Writes its settings.
    pub fn set(folder: &Path, more: &str) {
        let settings = format!(
            "data = {:?}\nslots = 1\n[retention]\nevery = \"2s\"\n{more}",
            folder.join("data")
        );
        std::fs::write(folder.join("pybots.toml"), settings).unwrap();
    }

    pub fn log(&self) -> String {
        read_log(&self.folder)
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub fn stop(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if engine_is_here() {
            clear(&self.folder);
        }
    }
}

fn read_log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("up.log")).unwrap_or_default()
}
