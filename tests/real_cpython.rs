//! One real CPython revision end to end: built from its sources, probed, and real projects run on it.

mod common;

use common::up::{Up, engine_wanted, pybots, settings};
use common::{copy_folder, here};
use std::process::Command;

/// Small projects, of which each leans on another side of the run: plain, a compiled extension
/// among the dependencies, and a flit and a hatch build.
const PROJECTS: [&str; 4] = ["idna", "jinja2", "pluggy", "typing_extensions"];

#[test]
fn a_real_cpython_is_built_and_projects_run_on_it() {
    if !engine_wanted() {
        return;
    }
    let Ok(repository) = std::env::var("PYBOTS_TEST_CPYTHON") else {
        println!("SKIPPED: the real CPython, for PYBOTS_TEST_CPYTHON names no git repository of it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let projects = folder.path().join("projects");
    std::fs::create_dir_all(&projects).unwrap();
    for name in PROJECTS {
        let file = format!("{name}.toml");
        std::fs::copy(here().join("projects").join(&file), projects.join(&file)).unwrap();
    }
    let heads = Command::new("git")
        .args([
            "--git-dir",
            &repository,
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads",
        ])
        .output()
        .unwrap();
    let heads = String::from_utf8(heads.stdout).unwrap();
    let branch = heads
        .lines()
        .find(|head| head.starts_with("3."))
        .expect("a 3.x branch")
        .to_owned();
    settings(folder.path(), &projects, &[(&branch, &branch, 1)], "");
    copy_folder(&here().join("images"), &folder.path().join("images"));
    std::fs::remove_file(folder.path().join("images/toy.toml")).unwrap();
    let text = std::fs::read_to_string(folder.path().join("pybots.toml")).unwrap();
    let source = format!("git = {:?}", folder.path().join("cpython"));
    assert!(text.contains(&source));
    std::fs::write(
        folder.path().join("pybots.toml"),
        text.replace(&source, &format!("git = {repository:?}")),
    )
    .unwrap();

    let mut up = Up::start(folder.path());
    let waited = pybots(folder.path(), &["results", "--wait"]);
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    println!("{}", String::from_utf8_lossy(&waited.stdout));
    let cells = up.cells();
    assert_eq!(cells.len(), PROJECTS.len(), "{cells:?}");
    for cell in &cells {
        // typing_extensions knows of CPythons that it fails on; what counts is that it ran
        let known = cell["project"] == "typing_extensions" && cell["outcome"] == "failed";
        let run = cell["run"].as_str().unwrap();
        let log = pybots(folder.path(), &["logs", run]).stdout;
        let log = String::from_utf8_lossy(&log);
        assert!(cell["state"] == "pass" || known, "{cell}\n{log}");
        let (_, page) = up.get(&format!("/run/{run}"));
        assert!(page.contains("phase install"), "{page}");
    }
    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
}
