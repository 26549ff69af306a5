//! `pybots init` on a real engine: it reads a project, tries the recipe, corrects it and writes it.

use crate::support::Repository;
use crate::support::git_server::{GitDaemon, smart_http};
use crate::support::index::Index;
use crate::support::up::{engine_wanted, pybots, settings, toy_repository};
use std::path::Path;

const TESTS: &str = "import unittest\n\n\nclass Layout(unittest.TestCase):\n    def test_layout(self):\n        import toyext\n\
                     \x20       self.assertEqual(toyext.layout(), 1)\n\n    def test_name(self):\n        import demo\n\
                     \x20       self.assertEqual(demo.NAME, 'demo')\n";

/// Needs nothing to build with.
pub const BACKEND: &str = "import zipfile\n\n\ndef build_wheel(folder, config_settings=None, metadata_directory=None):\n\
    \x20   name, info = 'demo-1-py3-none-any.whl', 'demo-1.dist-info/'\n\
    \x20   with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:\n\
    \x20       wheel.write('demo.py')\n\
    \x20       wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: demo\\nVersion: 1\\n')\n\
    \x20       wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
    \x20       wheel.writestr(info + 'RECORD', ''.join('%s,,\\n' % n for n in wheel.namelist() + [info + 'RECORD']))\n\
    \x20   return name\n";

pub const PYPROJECT: &str = "[project]\nname = \"demo\"\nversion = \"1\"\ndescription = \"A demo\"\nrequires-python = \">=3.8.1\"\n\
                         [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// A folder with a project that does not say what its tests need.
fn project(folder: &Path) {
    for (path, text) in [
        ("demo.py", "NAME = 'demo'\n"),
        ("backend.py", BACKEND),
        ("pyproject.toml", PYPROJECT),
        ("tests/test_layout.py", TESTS),
        // nobody runs it
        ("noxfile.py", "raise SystemExit('this is not read as text')\n"),
    ] {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// The exit code of `pybots`, and what it prints.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = pybots(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_recipe_is_proposed_corrected_and_written() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let index = Index::start(folder);
    let _repository = toy_repository(folder);
    let more = index.settings();
    settings(folder, &folder.join("projects"), &[("trunk", "main", 1)], &more);
    project(&folder.join("theirs/demo"));

    let (code, out, errors) = run(folder, &["init", "./theirs/demo"]);
    let shown = format!("{out}\n{errors}");
    assert_eq!(code, Some(0), "{shown}");
    for line in [
        "run = \"python -m unittest discover -s tests\"",
        "when = \">=3.8\": Requires-Python is \">=3.8.1\"",
        "trial 1: red: 1 of 2 tests fail: tests: test_layout.Layout.test_layout",
        "requires \"toyext\": the tests have no module `toyext`",
        "trial 2: green: 2 tests pass",
        "demo: green: 2 tests pass",
    ] {
        assert!(out.contains(line), "{line}\n{shown}");
    }
    let recipe = std::fs::read_to_string(folder.join("demo/demo.toml")).unwrap();
    let lines: Vec<&str> = recipe.lines().collect();
    assert!(lines[0].starts_with("#:schema http://") && lines[0].ends_with("/recipe.schema.json"));
    assert_eq!(lines[1], "# `pybots init` wrote this recipe.");
    assert!(
        lines[2].starts_with("# Tried on trunk (") && lines[2].ends_with("): green: 2 tests pass."),
        "{recipe}"
    );
    assert_eq!(
        lines[3..],
        [
            "name = \"demo\"",
            "summary = \"A demo\"",
            "when = \">=3.8\"",
            "source = { path = \"src\" }",
            "requires = [\"toyext\"]",
            "",
            "[[suite]]",
            "name = \"tests\"",
            "run = \"python -m unittest discover -s tests\"",
        ]
    );
    assert!(folder.join("demo/src/tests/test_layout.py").is_file());
    let (code, _, errors) = run(folder, &["check", "demo/demo.toml"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("names no owner"), "{errors}");

    // a recipe that is there stays as it is
    let (code, _, errors) = run(folder, &["init", "./theirs/demo"]);
    assert!(
        code == Some(2) && errors.contains("is there already; use --force"),
        "{errors}"
    );
    assert_eq!(std::fs::read_to_string(folder.join("demo/demo.toml")).unwrap(), recipe);

    // a project of the index without tests
    let (code, out, errors) = run(folder, &["init", "toyext", "--output", "toyext.toml"]);
    assert_eq!(code, Some(3), "{out}\n{errors}");
    assert!(
        out.contains("toyext: no tests to be had from this source"),
        "{out}\n{errors}"
    );
    let recipe = std::fs::read_to_string(folder.join("toyext.toml")).unwrap();
    assert!(
        recipe.contains("source = { pypi = \"toyext\", version = \"1.0\", sha256 = \""),
        "{recipe}"
    );
    assert!(
        recipe.contains("# There are no tests to be had from this source."),
        "{recipe}"
    );

    let (code, out, errors) = run(folder, &["init", "nobody-has-this", "--no-try"]);
    assert_eq!(code, Some(1), "{out}\n{errors}");
    assert!(
        out.contains("the source can't be read") && !folder.join("nobody-has-this.toml").exists(),
        "{out}"
    );
}

#[test]
fn a_repository_on_a_git_server_becomes_a_recipe() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let index = Index::start(folder);
    let _repository = toy_repository(folder);
    let more = index.settings() + "allow = [\"127.0.0.1\"]\n";
    settings(folder, &folder.join("projects"), &[("trunk", "main", 1)], &more);
    let theirs = Repository::new(&folder.join("served/demo.git"));
    project(&theirs.path);
    let sha = theirs.commit("the demo");

    let smart = smart_http(&folder.join("served"));
    let (code, out, errors) = run(folder, &["init", &format!("{smart}/demo.git")]);
    let shown = format!("{out}\n{errors}");
    assert_eq!(code, Some(0), "{shown}");
    assert!(out.contains("demo: green: 2 tests pass"), "{shown}");
    let recipe = std::fs::read_to_string(folder.join("demo.toml")).unwrap();
    let source = format!("source = {{ git = \"{smart}/demo.git\", rev = \"{sha}\" }}");
    assert!(recipe.lines().any(|line| line == source), "{recipe}");
    assert!(recipe.contains("requires = [\"toyext\"]"), "{recipe}");
    // the recipe stands on its own
    let (code, out, errors) = run(folder, &["try", "demo.toml"]);
    assert_eq!(code, Some(0), "{out}\n{errors}");

    let daemon = GitDaemon::start(&folder.join("served"));
    let address = format!("{}/demo.git", daemon.url);
    let (code, out, errors) = run(folder, &["init", &address, "--no-try", "--output", "other.toml"]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let recipe = std::fs::read_to_string(folder.join("other.toml")).unwrap();
    let source = format!("source = {{ git = \"{address}\", rev = \"{sha}\" }}");
    assert!(recipe.lines().any(|line| line == source), "{recipe}");

    // a repository that is not there is the address's fault, and leaves no file
    let (code, out, errors) = run(folder, &["init", &format!("{smart}/nothing.git")]);
    assert_eq!(code, Some(1), "{out}\n{errors}");
    assert!(
        out.contains("the source can't be read") && !folder.join("nothing.toml").exists(),
        "{out}\n{errors}"
    );
}
