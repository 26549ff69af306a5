//! `pybots bisect` on a real engine, with the toy CPython: revisions whose effect is known.

use crate::support::index::Index;
use crate::support::up::{engine_wanted, pybots, settings, toy_repository};
use serde_json::Value;
use std::path::Path;

/// Tells of its tests as pytest does.
const SUITE: &str = r#"
import importlib.util, sys, toy
found = lambda name: importlib.util.find_spec("toy_" + name) is not None
tests = {"answer": toy.answer() == 42, "other": not found("other"), "pair": not (found("left") and found("right")),
         "old": False, "well": True}
print("the answer is", toy.answer())
cases = "".join(
    "<testcase classname='T' name='%s'>%s</testcase>" % (name, "" if passed else "<failure message='boom'/>")
    for name, passed in tests.items())
open("report.xml", "w").write("<testsuite>%s</testsuite>" % cases)
sys.exit(1)
"#;

struct Project {
    // it takes its images along, and needs its folder for that
    repository: crate::support::Repository,
    folder: tempfile::TempDir,
    toy: String,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = toy_repository(folder.path());
        let projects = folder.path().join("projects");
        let sources = projects.join("watched/src");
        std::fs::create_dir_all(&sources).unwrap();
        std::fs::write(sources.join("suite.py"), SUITE).unwrap();
        let recipe = "name = \"watched\"\nsource = { path = \"src\" }\ninstall = []\n\
                      [[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\nreport = \"report.xml\"\n";
        std::fs::write(projects.join("watched/watched.toml"), recipe).unwrap();
        settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
        let toy = std::fs::read_to_string(repository.path.join("Lib/toy.py")).unwrap();
        Self {
            folder,
            repository,
            toy,
        }
    }

    fn head(&self) -> String {
        self.repository.git(&["rev-parse", "HEAD"])
    }

    /// A revision that changes what the interpreter does, though not for any test.
    fn quiet(&self, text: &str) -> String {
        self.repository.write("Lib/quiet.py", text);
        self.repository.commit(text)
    }

    fn toy(&self, what: &str, toy: &str) -> String {
        self.repository.write("Lib/toy.py", toy);
        self.repository.commit(what)
    }

    fn bisect(&self, arguments: &[&str]) -> Value {
        let words = [&["bisect", "watched", "--json"], arguments].concat();
        let output = pybots(self.folder.path(), &words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{told}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"))
    }
}

/// A project that can't be installed with today's dependencies, with an index of its own.
#[test]
fn dependencies_of_the_day_install_what_those_of_today_do_not() {
    if !engine_wanted() {
        return;
    }
    let project = Project::new();
    let folder = project.folder.path();
    let index = Index::start(folder);
    let recipe = "name = \"watched\"\nsource = { path = \"src\" }\nrequires = [\"toydep\"]\n\
                  install = [\"python -c 'import toydep'\"]\n\
                  [[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\nreport = \"report.xml\"\n";
    std::fs::write(folder.join("projects/watched/watched.toml"), recipe).unwrap();
    let pyproject = folder.join("projects/watched/src/pyproject.toml");
    std::fs::write(pyproject, "[build-system]\nrequires = []\n").unwrap();
    let more = index.settings();
    settings(folder, &folder.join("projects"), &[("trunk", "main", 1)], &more);
    let good = project.head();
    project.quiet("one");
    let broken = project.toy("the answer", &project.toy.replace("42", "43"));
    let ends = ["--good", &good, "--bad", "trunk"];
    // all revisions are of 2023-11-14, when there was only the first release
    let found = project.bisect(&ends);
    assert_eq!(found["culprit"], broken.as_str(), "{found}");
    assert_eq!(found["as_of"], "2023-11-14", "{found}");
    // a day that is asked for is taken, whether the project installs then or not
    let found = project.bisect(&[&ends[..], &["--as-of", "2024-06-01"]].concat());
    assert_eq!(found["answer"], "inconclusive", "{found}");
    assert_eq!(found["ends"][0]["outcome"], "setup_failed", "{found}");
    // before the first release nothing can be resolved
    let early = [&["bisect", "watched"], &ends[..], &["--as-of", "2023-10-31"]].concat();
    let output = pybots(folder, &early);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the recipe can't be used"), "{told}");
    let tried = pybots(folder, &["try", "projects/watched/watched.toml", "--as-of", "auto"]);
    let told = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(told.contains("trying the dependencies of 2023-11-14"), "{told}");
}

impl Drop for Project {
    fn drop(&mut self) {
        crate::support::up::clear(self.folder.path());
    }
}

#[test]
fn two_breaks_are_found_one_of_them_in_what_a_merge_brought() {
    if !engine_wanted() {
        return;
    }
    let project = Project::new();
    let good = project.head();
    project.quiet("one");
    project.quiet("two");
    let broken = project.toy("the answer", &project.toy.replace("42", "43"));
    project.quiet("three");
    // a line of its own, on which the second of three does it
    let git = |arguments: &[&str]| project.repository.git(arguments);
    git(&["checkout", "--quiet", "-b", "side", &good]);
    project.repository.write("Lib/side.py", "1");
    project.repository.commit("side one");
    project.repository.write("Lib/toy_other.py", "2");
    let inside = project.repository.commit("side two");
    project.repository.write("Lib/side.py", "3");
    project.repository.commit("side three");
    git(&["checkout", "--quiet", "main"]);
    git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    project.quiet("four");

    let found = project.bisect(&["--good", &good, "--bad", "trunk"]);
    let mut said: Vec<(&str, &Value)> = [&found]
        .into_iter()
        .chain(found["others"].as_array().unwrap())
        .map(|said| (said["culprit"].as_str().unwrap(), &said["tests"]))
        .collect();
    said.sort_by_key(|said| said.1.to_string());
    let (answer, other) = (
        serde_json::json!(["suite: T.answer"]),
        serde_json::json!(["suite: T.other"]),
    );
    assert_eq!(said, [(broken.as_str(), &answer), (inside.as_str(), &other)]);
    assert_eq!(found["answer"], "culprit");
    let logs = [&found, &found["others"][0]].map(|said| said["log"].clone());
    assert!(logs.contains(&serde_json::json!(["the answer is 43"])), "{logs:?}");
    assert!(found["rounds"].as_u64().unwrap() >= 2, "{found}");

    // the other way round: what fixed it, by one test
    let fixed = project.toy("fixed", &project.toy);
    project.quiet("five");
    let found = project.bisect(&["--bad", &broken, "--good", "trunk", "--test", "suite: T.answer"]);
    assert_eq!(found["culprit"], fixed.as_str(), "{found}");
    assert_eq!(found["subject"], "fixed");
}

/// A merge of three lines: what only the third parent brought, and what no line shows by itself.
#[test]
fn every_parent_of_a_merge_is_searched_and_the_answer_says_which() {
    if !engine_wanted() {
        return;
    }
    let project = Project::new();
    let good = project.head();
    let git = |arguments: &[&str]| project.repository.git(arguments);
    let mut broken = String::new();
    for (line, files) in [("one", ["left", "quiet"]), ("two", ["right", "other"])] {
        git(&["checkout", "--quiet", "-b", line, &good]);
        for file in files {
            project.repository.write(&format!("Lib/toy_{file}.py"), "");
            broken = project.repository.commit(file);
        }
    }
    git(&["checkout", "--quiet", "main"]);
    project.quiet("main");
    git(&["merge", "--quiet", "--no-ff", "-m", "merge", "one", "two"]);
    let merge = project.head();
    project.quiet("after");

    let found = project.bisect(&["--good", &good, "--bad", "trunk"]);
    let all = [&found].into_iter().chain(found["others"].as_array().unwrap());
    let mut said: Vec<[&Value; 4]> = all
        .map(|said| [&said["tests"][0], &said["culprit"], &said["merge"], &said["reason"]])
        .collect();
    said.sort_by_key(|said| said[0].to_string());
    let by_itself = "no revision that it merged shows the change by itself";
    assert_eq!(
        serde_json::json!(said),
        serde_json::json!([
            ["suite: T.other", broken, { "revision": merge, "parent": 3 }, null],
            ["suite: T.pair", merge, { "revision": merge, "parent": null }, by_itself],
        ])
    );
}

#[test]
fn behind_revisions_that_can_not_be_built_it_is_one_of_them() {
    if !engine_wanted() {
        return;
    }
    let project = Project::new();
    let before = project.head();
    project.quiet("one");
    let good = project.head();
    project.repository.write("Lib/broken.c", "no C");
    let first = project.repository.commit("does not build");
    let hidden = project.toy("the answer", &project.toy.replace("42", "43"));
    std::fs::remove_file(project.repository.path.join("Lib/broken.c")).unwrap();
    let last = project.repository.commit("builds again");
    project.quiet("two");
    let found = project.bisect(&["--good", &good, "--bad", "trunk"]);
    assert_eq!(found["answer"], "range", "{found}");
    assert_eq!(found["range"], serde_json::json!([first, hidden, last]));
    assert_eq!(found["reason"], "CPython does not build there");

    // and which one it was that can't be built
    let found = project.bisect(&["--good", &before, "--bad", &hidden]);
    assert_eq!(
        (&found["answer"], &found["culprit"]),
        (&"culprit".into(), &first.as_str().into())
    );
    assert_eq!(found["tests"], serde_json::json!(["the build of CPython"]));

    // nothing differs: nobody is blamed
    let found = project.bisect(&["--good", &last, "--bad", "trunk"]);
    assert_eq!(
        (&found["answer"], &found["culprit"]),
        (&"inconclusive".into(), &Value::Null)
    );
    assert!(
        found["reason"].as_str().unwrap().starts_with("both ends fail alike"),
        "{found}"
    );
    assert_eq!(found["ends"][0]["asked"], last.as_str());
    assert_eq!(found["ends"][1]["outcome"], "failed");

    // a good end that can't be built: the next revision that can takes its place
    let found = project.bisect(&["--good", &first, "--bad", "trunk"]);
    assert_eq!(
        (&found["ends"][0]["asked"], &found["ends"][0]["revision"]),
        (&first.as_str().into(), &last.as_str().into())
    );
    // and what makes no sense is said
    let output = pybots(
        Path::new(project.folder.path()),
        &["bisect", "nothing", "--good", "trunk", "--bad", "trunk"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither a recipe file nor a registered project"));
}

#[test]
fn a_patch_is_tried_before_it_lands() {
    if !engine_wanted() {
        return;
    }
    let project = Project::new();
    let toy = project.folder.path().join("cpython/Lib/toy.py");
    let patch = |from: &str, to: &str| {
        std::fs::write(&toy, project.toy.replace(from, to)).unwrap();
        let diff = project.repository.git(&["diff"]);
        project.repository.git(&["checkout", "--quiet", "."]);
        let file = project.folder.path().join("change.patch");
        std::fs::write(file, diff + "\n").unwrap();
        let words = ["try-patch", "change.patch", "--projects", "watched"];
        let output = pybots(project.folder.path(), &words);
        println!("{}", String::from_utf8_lossy(&output.stderr));
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, said) = patch("42", "43");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("## Newly failing (1)"), "{said}");
    assert!(said.contains("newly failing: `suite: T.answer`"), "{said}");
    assert!(said.contains("still failing: `suite: T.old`"), "{said}");
    let (code, said) = patch("def answer", "def more():\n    return 1\n\n\ndef answer");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("## Still failing (1)"), "{said}");

    // a branch of the repository, and what is no patch
    project.repository.git(&["checkout", "--quiet", "-b", "change"]);
    project.toy("a branch", &project.toy.replace("42", "44"));
    project.repository.git(&["checkout", "--quiet", "main"]);
    project.quiet("meanwhile");
    let words = ["try-patch", "change", "--projects", "watched", "--json"];
    let output = pybots(project.folder.path(), &words);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        said["projects"][0]["newly_failing"],
        serde_json::json!(["suite: T.answer"])
    );
    std::fs::write(project.folder.path().join("change.patch"), "nothing\n").unwrap();
    let output = pybots(project.folder.path(), &["try-patch", "change.patch"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("does not apply to trunk"), "{said}");
}
