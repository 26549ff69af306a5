//! A small disk, to be filled up.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Disk {
    pub path: PathBuf,
}

impl Disk {
    /// A file system in memory of so many MiB. None, with a word, where none can be mounted.
    pub fn mount(path: &Path, mib: u64) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { path: path.to_owned() });
        }
        println!("SKIPPED: a full disk of the coordinator, for no file system can be mounted");
        None
    }
}

/// Leaves no byte of a disk free, or frees all that was filled.
pub fn fill(disk: &Path, full: bool) {
    let filler = disk.join("full");
    if full {
        // most of it at once, then the rest
        let free = free_mib(disk).saturating_sub(1);
        let _ = Command::new("fallocate")
            .args(["--length", &format!("{free}MiB")])
            .arg(&filler)
            .output();
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none", "oflag=append", "conv=notrunc"])
            .arg(format!("of={}", filler.display()))
            .output();
    } else {
        let _ = std::fs::remove_file(filler);
    }
}

fn free_mib(disk: &Path) -> u64 {
    let free = Command::new("df")
        .args(["--output=avail", "--block-size=1M"])
        .arg(disk)
        .output();
    let text = free.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or(0)
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
