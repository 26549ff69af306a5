//! One real CPython revision end to end: built from its sources, probed, and real projects run on it.

use crate::support::up::{Up, engine_wanted, pybots, settings};
use crate::support::{copy_folder, cpython, here};
use std::process::Command;

/// Small projects, of which each leans on another side of the run: plain, a compiled extension
/// among the dependencies, and a flit and a hatch build.
const PROJECTS: [&str; 4] = ["idna", "jinja2", "pluggy", "typing_extensions"];

/// Fewer tests for the suites that would take most of the time. The proof of a culprit alone runs that of jinja2 sixteen times, and idna
/// has six thousand tests that read a table.
const FEWER_TESTS: [(&str, &str); 2] = [
    ("idna", "--ignore=tests/test_idna_uts46.py tests"),
    (
        "jinja2",
        "tests/test_filters.py tests/test_runtime.py tests/test_utils.py",
    ),
];

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
        let mut recipe = std::fs::read_to_string(here().join("projects").join(&file)).unwrap();
        if let Some((_, tests)) = FEWER_TESTS.iter().find(|(known, _)| *known == name) {
            let all = "--junitxml=junit.xml tests\"";
            assert!(recipe.contains(all), "{recipe}");
            recipe = recipe.replace(all, &format!("--junitxml=junit.xml {tests}\""));
        }
        std::fs::write(projects.join(&file), recipe).unwrap();
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
    cpython::make_quick(&folder.path().join("images"));
    let text = std::fs::read_to_string(folder.path().join("pybots.toml")).unwrap();
    assert!(text.contains(&format!("git = {:?}", folder.path().join("cpython"))));
    // a copy, for there are more revisions to come
    let cpython = folder.path().join("cpython");
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
        let output = Command::new("git").args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let clone = ["clone", "--quiet", "--single-branch", "--branch", &branch, &repository];
    git(&[&clone[..], &[&cpython.display().to_string()]].concat());

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

    // three more revisions, the second of which changes what jinja2 relies on
    let change = |file: &str, from: &str, to: &str, subject: &str| {
        let path = cpython.join("Lib").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
        let folder = cpython.display().to_string();
        git(&["-C", &folder, "commit", "--quiet", "--all", "--message", subject]);
        git(&["-C", &folder, "rev-parse", "HEAD"])
    };
    let good = change(
        "textwrap.py",
        "class TextWrapper:",
        "class TextWrapper:  # it wraps",
        "textwrap: say what it does",
    );
    let culprit = change(
        "urllib/parse.py",
        "'%{:02X}'",
        "'%{:02x}'",
        "urllib: escapes in lower case",
    );
    change(
        "shlex.py",
        "class shlex:",
        "class shlex:  # it splits",
        "shlex: say what it does",
    );
    let found = up.until("the incident", || {
        let output = pybots(folder.path(), &["incidents", "--json"]);
        let all: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
        all.into_iter().next()
    });
    println!("{found:#}");
    assert_eq!(found["state"], "culprit_found");
    assert_eq!(found["projects"], serde_json::json!(["jinja2"]));
    assert_eq!(found["culprits"][0]["revision"], culprit.as_str());
    let part = &found["regressions"][0];
    assert_eq!(part["good"]["revision"], good.as_str());
    let tests = part["tests"].to_string();
    assert!(tests.contains("urlencode"), "{tests}");
    let difference = part["difference"].to_string();
    assert!(difference.contains("%2c"), "{difference}");

    // the same once more, by what a stranger would copy
    let again = pybots(folder.path(), &["reproduce", "1", "--run"]);
    let said = String::from_utf8_lossy(&again.stdout);
    println!("{said}\n{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(again.status.code(), Some(1), "its suite fails");
    assert!(said.contains("urlencode") && said.contains("failed"), "{said}");
    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
}
