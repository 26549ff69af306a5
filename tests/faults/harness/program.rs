//! A program under test: started, killed, frozen, watched.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Loaded into programs: their clock and their disk. See `shim.c`.
#[derive(Clone)]
pub struct Shim(PathBuf);

impl Shim {
    /// None, with a word, where there is no C compiler.
    pub fn build(folder: &Path) -> Option<Self> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, include_str!("shim.c")).unwrap();
        let built = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        if built.is_ok_and(|status| status.success()) {
            return Some(Self(library));
        }
        println!("SKIPPED: jumps of clocks and slow disks, for there is no C compiler");
        None
    }
}

pub struct Program {
    pub name: String,
    /// Its working folder, with its settings and its log.
    pub folder: PathBuf,
    /// What it is started with.
    pub words: Vec<String>,
    /// The network namespace that it runs in.
    pub network: Option<String>,
    /// The program itself.
    program: PathBuf,
    shim: Option<Shim>,
    control: File,
    child: Option<Child>,
    /// It is to run.
    wanted: bool,
    /// Bytes of its log that were looked at.
    seen: usize,
}

/// Longest that a program takes to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(60);
/// After this it is asked once more, which says that it is to break off what it does.
const ONCE_MORE: Duration = Duration::from_secs(3);

impl Program {
    pub fn new(name: &str, folder: &Path, words: &[&str], network: Option<String>, shim: Option<Shim>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let control = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(folder.join("control"))
            .unwrap();
        control.write_all_at(&[0; 16], 0).unwrap();
        // whoever builds another one meanwhile does not change this one
        let program = folder.join("pybots");
        let built = env!("CARGO_BIN_EXE_pybots");
        let _ = std::fs::remove_file(&program);
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program).unwrap();
        }
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            network,
            program,
            shim,
            control,
            child: None,
            wanted: false,
            seen: 0,
        }
    }

    pub fn start(&mut self) {
        self.wanted = true;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("up.log"))
            .unwrap();
        let program = &self.program;
        // none goes on when the tests are ended
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(network) = &self.network {
            command.arg("nsenter").arg(format!("--net=/run/netns/{network}"));
        }
        command
            .arg(program)
            .current_dir(&self.folder)
            .args(["--config", "pybots.toml"])
            .args(&self.words)
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(log)
            // with what it has started, as a service manager kills it
            .process_group(0);
        if let Some(Shim(library)) = &self.shim {
            command
                .env("LD_PRELOAD", library)
                .env("FAULTS_CONTROL", self.folder.join("control"));
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// What a service manager does: starts it again if it has ended by itself. Returns how it did.
    pub fn supervise(&mut self) -> Option<ExitStatus> {
        if !self.wanted {
            return None;
        }
        let ended = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        self.start();
        Some(ended)
    }

    pub fn kill_9(&mut self) {
        self.wanted = false;
        if let Some(mut child) = self.child.take() {
            signal("KILL", &child);
            child.wait().unwrap();
        }
    }

    pub fn ask_to_stop(&mut self) {
        self.wanted = false;
        if let Some(child) = &self.child {
            signal("TERM", child);
        }
    }

    /// Asks it to end, unless it was asked, and waits. False: it did not end in time, and was killed.
    pub fn stop(&mut self) -> bool {
        if self.wanted {
            self.ask_to_stop();
        }
        let Some(mut child) = self.child.take() else {
            return true;
        };
        let (start, mut asked) = (Instant::now(), 1);
        while start.elapsed() < PATIENCE {
            if asked == 1 && start.elapsed() > ONCE_MORE {
                signal("TERM", &child);
                asked = 2;
            }
            if child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        signal("KILL", &child);
        child.wait().unwrap();
        false
    }

    pub fn freeze(&self, frozen: bool) {
        if let Some(child) = &self.child {
            signal(if frozen { "STOP" } else { "CONT" }, child);
        }
    }

    /// Sets its clock off by so many milliseconds.
    pub fn clock(&self, off_ms: i64) {
        self.control.write_all_at(&off_ms.to_ne_bytes(), 0).unwrap();
    }

    /// Makes each of its writes take longer by so many milliseconds.
    pub fn slow(&self, ms: u64) {
        let us = i64::try_from(ms * 1000).unwrap();
        self.control.write_all_at(&us.to_ne_bytes(), 8).unwrap();
    }

    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("up.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it has said since this was asked last.
    pub fn new_log(&mut self) -> String {
        let log = self.log();
        let new = log.get(self.seen..).unwrap_or_default().to_owned();
        self.seen = log.len();
        new
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// To the group that it leads.
fn signal(name: &str, child: &Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill")
        .args([&format!("-{name}"), "--", &group])
        .stderr(Stdio::null())
        .status();
}
