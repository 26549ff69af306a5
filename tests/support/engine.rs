//! A container engine of a test's own: with its own socket and disk, to be stopped, and filled up.

use super::registry::Wire;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct OwnEngine {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

/// Longest that an engine takes to start or stop.
const PATIENCE: Duration = Duration::from_secs(120);

impl OwnEngine {
    /// Starts an engine whose disk is a file system in memory of so many MiB. None, with a word, where that
    /// can't be had: it takes root, and Docker's daemon.
    pub fn start(mib: u64) -> Option<Self> {
        let skip = |why: &str| {
            println!("SKIPPED: an engine of the test's own, for {why}");
            None
        };
        let root = Command::new("id").arg("-u").output().ok()?.stdout == b"0\n";
        if !root {
            return skip("that takes root");
        }
        if !Command::new("dockerd")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
        {
            return skip("there is no dockerd");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty.json"), "{}").unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path().join("root"))
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return skip("no file system can be mounted");
        }
        let mut engine = Self { folder, daemon: None };
        engine.again();
        Some(engine)
    }

    /// Lets it reach a port of this machine's loopback, as if that were its own.
    pub fn reach(&self, port: u16) -> Wire {
        let network = format!("/proc/{}/ns/net", self.daemon.as_ref().unwrap().id());
        let up = Command::new("nsenter")
            .arg(format!("--net={network}"))
            .args(["ip", "link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        Wire::lay(network, port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("engine.sock")
    }

    /// Its disk.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command
    }

    /// Starts it, after a stop with all that it had.
    pub fn again(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        // in a network of its own: without a bridge, the daemon takes away the machine's `docker0`
        let daemon = Command::new("unshare")
            .args(["--net", "dockerd", "--config-file"])
            .arg(self.path("empty.json"))
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .arg("--data-root")
            .arg(self.root())
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--bridge", "none", "--iptables=false", "--ip-forward=false"])
            .args(["--storage-driver", &driver()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let start = Instant::now();
        while !self.command().arg("version").output().unwrap().status.success() {
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Stops it as a service manager does: its containers end.
    pub fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let id = daemon.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let start = Instant::now();
        while daemon.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it at once, with the containerd that it had started; its containers go on without it.
    pub fn kill_9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        // the next start would take one that has just died for alive
        let file = self.path("exec/containerd/containerd.pid");
        if let Ok(id) = std::fs::read_to_string(&file) {
            let _ = Command::new("kill").args(["-KILL", id.trim()]).output();
            let _ = std::fs::remove_file(file);
        }
    }

    /// Copies images from the machine's engine.
    pub fn copy(&self, images: &[String]) {
        let mut save = Command::new("docker")
            .arg("save")
            .args(images)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let load = self
            .command()
            .args(["load", "--quiet"])
            .stdin(save.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(save.wait().unwrap().success());
        assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    }

    /// Fills its disk up to so many MiB.
    pub fn fill(&self, left_mib: u64) {
        let free = Command::new("df")
            .args(["--output=avail", "--block-size=1M"])
            .arg(self.root())
            .output()
            .unwrap();
        let free: u64 = String::from_utf8(free.stdout)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let size = format!("{}M", free - left_mib);
        let filled = Command::new("fallocate")
            .args(["-l", &size])
            .arg(self.root().join("full"))
            .status();
        assert!(filled.unwrap().success());
    }
}

/// As the machine's own engine.
fn driver() -> String {
    let output = Command::new("docker")
        .args(["info", "--format", "{{.Driver}}"])
        .output()
        .unwrap();
    let driver = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    // overlay2 does not lie on a file system in memory everywhere
    if driver.is_empty() { "vfs".to_owned() } else { driver }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        } else if let Some(mut daemon) = self.daemon.take() {
            let _ = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
            let _ = daemon.wait();
        }
        unmount(self.folder.path());
    }
}

/// Whatever is mounted below a folder, the innermost first.
fn unmount(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let prefix = folder.display().to_string();
    let mut below: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|place| place.starts_with(&prefix))
        .collect();
    below.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in below {
        let _ = Command::new("umount").args(["--lazy", place]).output();
    }
}
