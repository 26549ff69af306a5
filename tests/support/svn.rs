//! A Subversion repository behind a server of its own.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// False, loudly, where the programs are missing.
pub fn is_there() -> bool {
    let found = Command::new("svnserve").arg("--version").stdout(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    println!("SKIPPED: Subversion, for svnserve can't be run (scripts/setup installs it)");
    false
}

/// The repository `python` below a root, its server, and a working copy of everything in it.
pub struct Subversion {
    pub root: PathBuf,
    pub copy: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Subversion {
    /// With the folders `trunk` and `branches`, as r1.
    pub fn new(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut subversion = Self {
            root: folder.join("svnroot"),
            copy: folder.join("svncopy"),
            port,
            server: None,
        };
        subversion.create();
        subversion.start();
        subversion.check_out();
        for name in ["trunk", "branches"] {
            std::fs::create_dir(subversion.copy.join(name)).unwrap();
        }
        subversion.commit("lay out");
        subversion
    }

    /// An empty repository, with a UUID that no other has.
    pub fn create(&self) {
        std::fs::create_dir_all(&self.root).unwrap();
        let repository = self.root.join("python");
        done(Command::new("svnadmin").arg("create").arg(&repository));
        // who writes has a name; who looks has none
        let settings = "[general]\nanon-access = read\nauth-access = write\npassword-db = passwd\n";
        std::fs::write(repository.join("conf/svnserve.conf"), settings).unwrap();
        std::fs::write(repository.join("conf/passwd"), "[users]\nguido = secret\n").unwrap();
        let hook = repository.join("hooks/pre-revprop-change");
        std::fs::write(&hook, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A working copy made anew.
    pub fn check_out(&self) {
        let _ = std::fs::remove_dir_all(&self.copy);
        let (url, copy) = (self.url(), self.copy.display().to_string());
        self.svn_in(
            Path::new("/"),
            &["checkout", "--quiet", "--ignore-externals", &url, &copy],
        );
    }

    pub fn url(&self) -> String {
        format!("svn://127.0.0.1:{}/python", self.port)
    }

    pub fn start(&mut self) {
        let mut command = Command::new("svnserve");
        command.args(["--daemon", "--foreground", "--threads", "--listen-host", "127.0.0.1"]);
        command
            .args(["--listen-port", &self.port.to_string(), "--root"])
            .arg(&self.root);
        self.server = Some(command.spawn().unwrap());
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("svnserve does not listen");
    }

    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.copy.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits whatever was written and removed, and returns the number.
    pub fn commit(&self, message: &str) -> u64 {
        self.svn(&["add", "--quiet", "--force", "--no-ignore", "."]);
        for line in self.svn(&["status", "--ignore-externals"]).lines() {
            if let Some(path) = line.strip_prefix('!') {
                self.svn(&["delete", "--quiet", &format!("{}@", path.trim())]);
            }
        }
        let said = self.svn(&["commit", "--force-log", "--message", message]);
        self.svn(&["update", "--quiet", "--ignore-externals"]);
        number(&said)
    }

    /// Copies a folder in the repository, which makes a branch.
    pub fn branch(&self, from: &str, to: &str, message: &str) -> u64 {
        let url = |path: &str| format!("{}/{path}", self.url());
        let said = self.svn(&["copy", "--message", message, &url(from), &url(to)]);
        self.svn(&["update", "--quiet", "--ignore-externals"]);
        number(&said)
    }

    pub fn svn(&self, arguments: &[&str]) -> String {
        self.svn_in(&self.copy, arguments)
    }

    fn svn_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new("svn");
        command.current_dir(folder).args(arguments);
        command.args(["--non-interactive", "--no-auth-cache", "--username", "guido"]);
        command.args(["--password", "secret", "--config-dir"]);
        command.arg(self.root.join("config")).env("LC_ALL", "C.UTF-8");
        String::from_utf8(done(&mut command).stdout).unwrap()
    }
}

impl Drop for Subversion {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The number in `Committed revision 7.`
fn number(said: &str) -> u64 {
    let line = said.lines().find_map(|line| line.strip_prefix("Committed revision "));
    line.unwrap_or_else(|| panic!("nothing was committed: {said}"))
        .trim_end_matches('.')
        .parse()
        .unwrap()
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}
