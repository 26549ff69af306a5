//! Wheels of dependencies on a real engine: reused while the headers are equal, built anew when they
//! change, and never shared between projects.

use crate::support::index::Index;
use crate::support::up::{Up, engine_wanted, pybots, settings, toy_repository};
use std::path::Path;
use std::process::Command;

const SUITE: &str = "import toyext, toyext_built\nprint('layout', toyext.layout(), 'mark', toyext_built.MARK)\n\
                     import os\nassert not os.listdir('/var/cache/pybots')\n";

/// A project that needs nothing but the extension module.
fn project(folder: &Path, name: &str) {
    let project = folder.join("projects").join(name);
    std::fs::create_dir_all(project.join("src")).unwrap();
    let recipe = format!(
        "name = \"{name}\"\nsource = {{ path = \"src\" }}\nrequires = [\"toyext\"]\ninstall = []\n\
         [[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\n"
    );
    std::fs::write(project.join(name).with_extension("toml"), recipe).unwrap();
    std::fs::write(project.join("src/suite.py"), SUITE).unwrap();
    std::fs::write(project.join("src/pyproject.toml"), "[build-system]\nrequires = []\n").unwrap();
}

/// What a run's log says of the wheel.
#[derive(Debug, PartialEq)]
struct Wheel {
    how: String,
    abi: String,
    sha256: String,
    /// As the suite saw it: what the header said, and the mark of that very build.
    layout: String,
    mark: String,
}

fn wheel(up: &Up, revision: &str, project: &str) -> Wheel {
    let cell = up.decided(revision, project);
    let run = cell["run"].as_str().unwrap();
    let log = pybots(&up.folder, &["logs", run]).stdout;
    let log = String::from_utf8_lossy(&log);
    assert_eq!(cell["state"], "pass", "{cell}\n{log}");
    let rest = |start: &str| {
        let line = log.lines().find_map(|line| line.split_once(start));
        line.unwrap_or_else(|| panic!("no {start:?} in\n{log}")).1.to_owned()
    };
    let said = rest("wheel of toyext 1.0: ");
    let (how, said) = said.split_once(" (ABI ").unwrap();
    let (abi, sha256) = said.trim_end_matches(')').split_once(", sha256 ").unwrap();
    let seen = rest("layout ");
    let (layout, mark) = seen.split_once(" mark ").unwrap();
    Wheel {
        how: how.to_owned(),
        abi: abi.to_owned(),
        sha256: sha256.to_owned(),
        layout: layout.to_owned(),
        mark: mark.to_owned(),
    }
}

/// Volumes of wheels that belong to a project.
struct Volumes<'a>(&'a str);

impl Volumes<'_> {
    fn docker(&self, format: &str) -> Vec<String> {
        let output = Command::new("docker")
            .args(["volume", "ls", "--filter", "label=org.pybots.kind=wheels", "--filter"])
            .arg(format!("label=org.pybots.project={}", self.0))
            .args(["--format", format])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Volumes<'_> {
    fn drop(&mut self) {
        for name in self.docker("{{.Name}}") {
            let _ = Command::new("docker").args(["volume", "rm", &name]).output();
        }
    }
}

#[test]
fn a_wheel_is_reused_while_headers_are_equal() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // names of their own: what is kept outlives a run of this test that was killed
    let number = pybots::store::new_id().replace('-', "");
    let (uses, other) = (format!("uses-{number}"), format!("other-{number}"));
    let (kept, others) = (Volumes(&uses), Volumes(&other));
    let repository = toy_repository(folder.path());
    let first = repository.git(&["rev-parse", "HEAD"]);
    let index = Index::start(folder.path());
    project(folder.path(), &uses);
    project(folder.path(), &other);
    // fetch reaches the index over this machine's loopback
    let more = index.settings();
    let projects = folder.path().join("projects");
    settings(folder.path(), &projects, &[("trunk", "main", 1)], &more);
    let mut up = Up::start(folder.path());

    let built = wheel(&up, &first, &uses);
    assert_eq!((built.how.as_str(), built.layout.as_str()), ("built", "1"));
    // the other project has the same wheel to make, and gets it from nobody
    let elsewhere = wheel(&up, &first, &other);
    assert_eq!((&elsewhere.how, &elsewhere.abi), (&built.how, &built.abi));
    assert_ne!(elsewhere.mark, built.mark);

    // another image, the same headers: the very same file
    repository.write("Lib/unique.txt", "a revision that changes no header");
    let second = repository.commit("no header");
    let reused = wheel(&up, &second, &uses);
    assert_eq!(reused.how, "reused");
    let reused = Wheel {
        how: built.how.clone(),
        ..reused
    };
    assert_eq!(reused, built);

    let header = std::fs::read_to_string(repository.path.join("Include/Python.h")).unwrap();
    let changed = header.replace("TOY_LAYOUT              1", "TOY_LAYOUT              2");
    assert_ne!(changed, header);
    repository.write("Include/Python.h", &changed);
    let third = repository.commit("another ABI");
    let anew = wheel(&up, &third, &uses);
    assert_eq!((anew.how.as_str(), anew.layout.as_str()), ("built", "2"));
    assert!(anew.abi != built.abi && anew.sha256 != built.sha256 && anew.mark != built.mark);

    // back to the first ABI: its wheels are still there
    repository.write("Include/Python.h", &header);
    repository.write("Lib/unique.txt", "the first ABI again");
    let fourth = repository.commit("reverted");
    let again = wheel(&up, &fourth, &uses);
    assert_eq!((again.how.as_str(), &again.sha256), ("reused", &built.sha256));

    let mut keys = kept.docker("{{.Label \"org.pybots.abi\"}}");
    keys.sort();
    keys.dedup();
    let mut abis = vec![&built.abi, &anew.abi];
    abis.sort();
    let shown: Vec<&str> = keys.iter().map(|key| &key[..12]).collect();
    assert_eq!(shown, abis);
    // each project has volumes of its own
    wheel(&up, &third, &other);
    assert_eq!(others.docker("{{.Name}}").len(), 2);
    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
}
