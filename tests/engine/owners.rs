//! A new owner, from an empty folder to the first results, by the commands of docs/owners.md.

use crate::init::{BACKEND, PYPROJECT};
use crate::support::here;
use crate::support::index::Index;
use crate::support::up::{Up, engine_wanted, settings, toy_repository};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The commands of a document, in its order.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(here().join(document)).unwrap();
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// Types a line into a shell in a home of its own.
fn types(home: &Path, line: &str, input: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_pybots")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut child = Command::new("sh")
        .current_dir(home)
        .args(["-c", line])
        .env("PATH", path)
        .env("HOME", home)
        .env("PYBOTS_CONFIG", home.join("pybots.toml"))
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn ok(home: &Path, line: &str, input: &str) -> String {
    let output = types(home, line, input);
    let shown = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{line}: {shown}");
    shown
}

fn demo(tree: &Path) {
    let tests = "import unittest\n\n\nclass Demo(unittest.TestCase):\n    def test_name(self):\n        import demo\n\
                 \x20       self.assertEqual(demo.NAME, 'demo')\n";
    for (path, text) in [
        ("demo.py", "NAME = 'demo'\n"),
        ("backend.py", BACKEND),
        ("pyproject.toml", PYPROJECT),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1\n"),
        ("tests/test_demo.py", tests),
    ] {
        let file = tree.join("demo-1").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

#[test]
fn a_new_owner_gets_results_by_the_commands_of_the_document() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    demo(&folder.join("theirs"));
    let index = Index::start_with(folder, "demo", &folder.join("theirs"));
    let repository = toy_repository(folder);
    let more = index.settings();
    let projects = folder.join("projects");
    std::fs::create_dir_all(&projects).unwrap();
    settings(folder, &projects, &[("trunk", "main", 1)], &more);
    // the machine of the owner: its own data, and an empty folder else
    let ann = folder.join("ann");
    std::fs::create_dir_all(&ann).unwrap();
    let text = std::fs::read_to_string(folder.join("pybots.toml")).unwrap();
    let own = text.replacen(
        &format!("data = {:?}", folder.join("data")),
        &format!("data = {:?}", ann.join("data")),
        1,
    );
    assert_ne!(own, text);
    std::fs::write(ann.join("pybots.toml"), own).unwrap();

    let up = Up::start(folder);
    let log = up.log();
    let operator = log
        .lines()
        .find(|line| line.starts_with("pybots_"))
        .unwrap_or_else(|| panic!("{log}"))
        .to_owned();
    let max = folder.join("max");
    std::fs::create_dir_all(&max).unwrap();
    std::fs::copy(ann.join("pybots.toml"), max.join("pybots.toml")).unwrap();
    ok(&max, &format!("pybots login --server {}", up.url), &operator);
    let at = |line: &str| format!("{line} --server {}", up.url);
    ok(
        &max,
        &at("pybots account add ann --mail ann@example.org --role owner"),
        "",
    );
    let issued = types(&max, &at("pybots token issue first --account ann"), "");
    let token = String::from_utf8(issued.stdout).unwrap();

    let lines = commands("docs/owners.md");
    assert!(lines.len() >= 6, "{lines:?}");
    for line in lines {
        let line = line.replace("PROJECT", "demo").replace("URL", &up.url);
        let shown = ok(&ann, &line, if line.contains("login") { &token } else { "" });
        if line.contains(" submit ") {
            assert!(
                shown.contains("its trial: passed") && shown.contains("Ran 1 test"),
                "{shown}"
            );
        }
        if line.contains(" show ") {
            assert!(shown.contains("waiting") && shown.contains("passed"), "{shown}");
        }
    }
    ok(&max, &at("pybots recipe approve demo 1 --why welcome"), "");
    let head = repository.git(&["rev-parse", "HEAD"]);
    let cell = up.decided(head.trim(), "demo");
    assert_eq!(cell["state"], "pass", "{cell}");
    let (status, page) = up.get("/project/demo");
    assert!(
        status == 200 && page.contains("version 1") | page.contains("All versions"),
        "{page}"
    );
    let (_, results) = up.get("/api/v1/results");
    assert!(results.contains("\"demo\""), "{results}");
    // no secret is in a log, in a page, or at the engine
    let (_, account) = up.get("/recipe/demo/1");
    for text in [&up.log().replace(&operator, ""), &account] {
        assert!(!text.contains(token.trim()) && !text.contains("pybots_"), "{text}");
    }
}
