//! The cache of wheels: what `wheels.sh` makes of each state of it, with a stand-in for `uv`.

use crate::support::here;
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Makes a wheel with a content of its own each time, or fails if the sdist says so.
const UV: &str = r#"#!/bin/sh
for last; do [ "$previous" = --out-dir ] && out=$last; previous=$last; done
echo "building $last"
grep -q broken "$last" && exit 2
mkdir -p "$out"
name=$(basename "$last" .tar.gz)
{ cat /proc/sys/kernel/random/uuid; head -c 40000 /dev/zero; } >"$out/$name-cp311-cp311-linux_x86_64.whl"
"#;

const KEY: &str = "4b5b";

/// A work folder as fetch leaves it, and a cache.
struct Place {
    folder: tempfile::TempDir,
    most: u64,
    /// A command before `build`.
    between: &'static str,
    /// A command after it.
    after: &'static str,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("bin")).unwrap();
        std::fs::create_dir_all(folder.path().join("cache")).unwrap();
        let uv = folder.path().join("bin/uv");
        std::fs::write(&uv, UV).unwrap();
        std::fs::set_permissions(&uv, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            folder,
            most: 1 << 20,
            between: ":",
            after: ":",
        }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn entries(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.cache()).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A run in a work folder of its own, of one sdist with this content.
    fn start(&self, work: &str, role: &str, key: &str, sdist: &str) -> Command {
        let work = self.folder.path().join(work);
        let _ = std::fs::remove_dir_all(&work);
        for name in ["wheels", ".pybots", "venv/bin"] {
            std::fs::create_dir_all(work.join(name)).unwrap();
        }
        let hash = hex::encode(Sha256::digest(sdist));
        std::fs::write(work.join("wheels/toy-1.0.tar.gz"), sdist).unwrap();
        let pins = format!("other==2 --hash=sha256:00\ntoy==1.0 --hash=sha256:{hash}\n");
        std::fs::write(work.join(".pybots/requirements.txt"), pins).unwrap();
        let list = format!("{role} {key} {hash} toy-1.0.tar.gz toy 1.0\n");
        let script = here().join("src/host/run/wheels.sh").display().to_string();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        // as a run does, but for the containers
        let all = "sh \"$1\" take \"$2\" ../cache $3\neval \"$4\"\nsh \"$1\" build \"$2\" 0123456789ab\n(eval \"$5\")\nsh \"$1\" keep \"$2\" ../cache $3";
        command
            .args([
                "-ec",
                all,
                "-",
                &script,
                &list,
                &self.most.to_string(),
                self.between,
                self.after,
            ])
            .current_dir(work)
            .env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, key: &str) -> String {
        said(&self.start("work", "run", key, "sdist").output().unwrap())
    }

    fn wheel(&self, work: &str) -> Vec<u8> {
        let name = "wheels/toy-1.0-cp311-cp311-linux_x86_64.whl";
        std::fs::read(self.folder.path().join(work).join(name)).unwrap()
    }
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{text}{errors}");
    text
}

fn pins(place: &Place) -> String {
    std::fs::read_to_string(place.folder.path().join("work/.pybots/requirements.txt")).unwrap()
}

#[test]
fn a_wheel_is_built_once_and_reused() {
    let place = Place::new();
    let first = place.run(KEY);
    let wheel = place.wheel("work");
    let hash = hex::encode(Sha256::digest(&wheel));
    let end = format!("(ABI 0123456789ab, sha256 {hash})");
    assert!(
        first.contains(&format!("wheel of toy 1.0: built {end}\nkept the wheel of toy 1.0\n")),
        "{first}"
    );
    let second = place.run(KEY);
    assert_eq!(second, format!("wheel of toy 1.0: reused {end}\n"));
    assert_eq!(place.wheel("work"), wheel);
    // the pin takes both, and no other pin changes
    let sdist = hex::encode(Sha256::digest("sdist"));
    let expected = format!("other==2 --hash=sha256:00\ntoy==1.0 --hash=sha256:{sdist} --hash=sha256:{hash}\n");
    assert_eq!(pins(&place), expected);
    assert_eq!(place.entries(), [KEY]);
    assert!(place.run("0ther").contains("kept the wheel"));
}

#[test]
fn a_run_that_proves_a_change_builds_anew_and_mends_the_cache() {
    let place = Place::new();
    place.run(KEY);
    // a whole entry, which an earlier revision compiled otherwise
    let entry = place.cache().join(KEY);
    let name = "toy-1.0-cp311-cp311-linux_x86_64.whl";
    std::fs::write(entry.join(name), "stale").unwrap();
    let hash = hex::encode(Sha256::digest("stale"));
    std::fs::write(entry.join("sha256"), format!("{hash}  {name}\n")).unwrap();
    assert!(place.run(KEY).contains("reused"));
    assert_eq!(place.wheel("work"), b"stale");
    // such a run does not take
    let proving = Place {
        between: "rm -r .pybots/wheels",
        ..place
    };
    let proof = said(&proving.start("proof", "run", KEY, "sdist").output().unwrap());
    let place = Place {
        between: ":",
        ..proving
    };
    assert!(proof.contains("kept the wheel"), "{proof}");
    assert_ne!(place.wheel("proof"), b"stale");
    assert!(place.run(KEY).contains("reused"));
    assert_eq!(place.wheel("work"), place.wheel("proof"));
}

#[test]
fn what_was_cut_off_or_changed_is_built_again() {
    type Damage = fn(&Path);
    let wheel = "toy-1.0-cp311-cp311-linux_x86_64.whl";
    let table: [(&str, Damage); 6] = [
        ("cut", |entry| {
            let path = entry.join("toy-1.0-cp311-cp311-linux_x86_64.whl");
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
        }),
        ("no wheel", |entry| {
            std::fs::remove_file(entry.join("toy-1.0-cp311-cp311-linux_x86_64.whl")).unwrap();
        }),
        ("no hash", |entry| std::fs::remove_file(entry.join("sha256")).unwrap()),
        ("an empty hash", |entry| {
            std::fs::write(entry.join("sha256"), "").unwrap()
        }),
        ("another wheel's hash", |entry| {
            std::fs::write(entry.join("else.txt"), "x").unwrap();
            let hash = hex::encode(Sha256::digest("x"));
            std::fs::write(entry.join("sha256"), format!("{hash}  else.txt\n")).unwrap();
        }),
        ("two wheels", |entry| {
            std::fs::write(entry.join("more.whl"), "x").unwrap()
        }),
    ];
    for (what, damage) in table {
        let place = Place::new();
        place.run(KEY);
        damage(&place.cache().join(KEY));
        let text = place.run(KEY);
        assert!(text.contains("kept the wheel"), "{what}: {text}");
        assert!(place.run(KEY).contains("reused"), "{what}");
        let names = std::fs::read_dir(place.folder.path().join("work/wheels")).unwrap();
        assert_eq!(names.count(), 2, "{what}: only the sdist and {wheel}");
    }
}

#[test]
fn what_does_not_build_is_not_kept() {
    let place = Place::new();
    let output = place.start("work", "run", KEY, "broken").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(place.entries(), Vec::<String>::new());
    // what may never be needed leaves it to whoever needs it
    let text = said(&place.start("work", "build", KEY, "broken").output().unwrap());
    assert!(text.contains("does not build by itself"), "{text}");
    assert_eq!(place.entries(), Vec::<String>::new());
}

#[test]
fn a_cache_that_can_not_be_written_stops_nobody() {
    let place = Place::new();
    std::fs::remove_dir(place.cache()).unwrap();
    let text = place.run(KEY);
    assert!(text.contains("the cache of wheels cannot be written"), "{text}");
    assert!(!place.wheel("work").is_empty());
}

#[test]
fn the_cache_is_bounded_and_drops_what_was_not_used_for_longest() {
    let place = Place {
        most: 150,
        ..Place::new()
    };
    for (key, age) in [("a", "4 hours ago"), ("b", "3 hours ago"), ("c", "2 hours ago")] {
        assert!(place.run(key).contains("kept the wheel"));
        let touched = Command::new("touch")
            .args(["-d", age])
            .arg(place.cache().join(key))
            .status();
        assert!(touched.unwrap().success());
    }
    assert_eq!(place.entries(), ["a", "b", "c"]);
    assert!(place.run("a").contains("reused"));
    place.run("d");
    assert_eq!(place.entries(), ["a", "c", "d"]);
}

#[test]
fn runs_at_the_same_time_do_no_harm() {
    let place = Place::new();
    let works: Vec<String> = (0..6).map(|number| format!("work{number}")).collect();
    let children: Vec<_> = works
        .iter()
        .map(|work| place.start(work, "run", KEY, "sdist").spawn().unwrap())
        .collect();
    for child in children {
        said(&child.wait_with_output().unwrap());
    }
    assert!(works.iter().all(|work| !place.wheel(work).is_empty()));
    assert_eq!(place.entries(), [KEY], "nothing half-written is left");
    assert!(place.run(KEY).contains("reused"));
}

/// What install left in place of the wheel that it built, and whether it is kept.
#[test]
fn what_is_no_wheel_of_its_own_is_not_kept() {
    for (what, command) in [
        ("linked twice", "ln .pybots/built/*/*.whl .pybots/other"),
        (
            "a hole",
            "truncate -s 1G .pybots/built/*/*.whl; cd .pybots/built/*; sha256sum *.whl >sha256",
        ),
        (
            "a link",
            "cd .pybots/built/*; mv *.whl ../w; ln -s ../w $(basename toy-1.0-cp311-cp311-linux_x86_64.whl)",
        ),
        (
            "a hash that is a link",
            "cd .pybots/built/*; mv sha256 ../s; ln -s ../s sha256",
        ),
        (
            "another folder",
            "mv .pybots/built .pybots/elsewhere; ln -s /etc .pybots/built",
        ),
        (
            "a pipe",
            "cd .pybots/built/*; rm *.whl; mkfifo toy-1.0-cp311-cp311-linux_x86_64.whl",
        ),
    ] {
        let place = Place {
            most: 100_000,
            after: command,
            ..Place::new()
        };
        let text = place.run(KEY);
        assert!(!text.contains("kept"), "{what}: {text}");
        assert_eq!(place.entries(), Vec::<String>::new(), "{what}");
    }
}
