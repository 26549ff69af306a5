//! A registry of a test's own: Debian's `docker-registry`, on loopback, with a login.

use pybots::config::RegistrySettings;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub struct Registry {
    folder: tempfile::TempDir,
    child: Option<Child>,
    pub port: u16,
}

pub const USER: &str = "pybots";
pub const PASSWORD: &str = "open-sesame";

/// bcrypt of [`PASSWORD`].
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO";

impl Registry {
    /// None, with a word, where the program is not installed.
    pub fn start() -> Option<Self> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            println!("SKIPPED: a registry, for there is no docker-registry (scripts/setup installs it)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("htpasswd"), format!("{USER}:{HASH}\n")).unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage:\n  delete: {{ enabled: true }}\n  filesystem: {{ rootdirectory: {:?} }}\n\
             auth:\n  htpasswd: {{ realm: test, path: {:?} }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n",
            folder.path().join("storage"),
            folder.path().join("htpasswd"),
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let mut registry = Self {
            folder,
            child: None,
            port,
        };
        registry.again();
        Some(registry)
    }

    pub fn again(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("log"))
            .unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(self.path().join("config.yml"))
            .env_remove("REGISTRY_STORAGE")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    pub fn settings(&self) -> RegistrySettings {
        RegistrySettings {
            repository: format!("127.0.0.1:{}/pybots/cpython", self.port),
            user: USER.into(),
            password_file: self.path().join("password"),
        }
    }

    /// The same as text of a settings file.
    pub fn toml(&self) -> String {
        let RegistrySettings {
            repository,
            user,
            password_file,
        } = self.settings();
        format!("[registry]\nrepository = {repository:?}\nuser = {user:?}\npassword_file = {password_file:?}\n")
    }

    /// Bytes of all that it has.
    pub fn bytes(&self) -> u64 {
        let output = Command::new("du")
            .args(["--summarize", "--apparent-size", "--block-size=1"])
            .arg(self.path().join("storage"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().next().map_or(0, |bytes| bytes.parse().unwrap())
    }

    /// Forgets all that it has.
    pub fn wipe(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.path().join("storage")).unwrap();
        self.again();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port of another network's loopback that leads to the same port of this one's, and counts.
pub struct Wire {
    came: Arc<AtomicU64>,
}

impl Wire {
    /// `network` is the file of a network namespace.
    pub fn lay(network: String, port: u16) -> Self {
        // a socket stays in the network in which it was made; only this one thread goes there
        let listener = std::thread::spawn(move || {
            let network = std::fs::File::open(network).unwrap();
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), None).unwrap();
            TcpListener::bind(("127.0.0.1", port)).unwrap()
        });
        let listener = listener.join().unwrap();
        let came = Arc::new(AtomicU64::new(0));
        let count = came.clone();
        std::thread::spawn(move || {
            for there in listener.incoming() {
                let (Ok(there), Ok(here)) = (there, TcpStream::connect(("127.0.0.1", port))) else {
                    continue;
                };
                let (back, forth) = (there.try_clone().unwrap(), here.try_clone().unwrap());
                let count = count.clone();
                std::thread::spawn(move || pass(here, back, &count));
                std::thread::spawn(move || pass(there, forth, &AtomicU64::new(0)));
            }
        });
        Self { came }
    }

    /// Bytes that came from this network into the other.
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer) {
        count.fetch_add(read as u64, Ordering::SeqCst);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
