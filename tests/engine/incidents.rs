//! From a revision that breaks a project to the incident, and to its end: `pybots up` with the toy CPython on a real
//! engine.

use crate::support::up::{Up, engine_wanted, pybots, settings, toy_repository};
use serde_json::Value;
use std::path::Path;

/// Tells of its tests as pytest does.
const SUITE: &str = r#"
import sys, toy
tests = {"answer": toy.answer() == 42, "old": False, "well": True}
print("the answer is", toy.answer())
cases = "".join(
    "<testcase classname='T' name='%s'>%s</testcase>" % (name, "" if passed else "<failure message='AssertionError: %s'/>" % name)
    for name, passed in tests.items())
open("report.xml", "w").write("<testsuite>%s</testsuite>" % cases)
sys.exit(1)
"#;

fn project(folder: &Path, name: &str) {
    let sources = folder.join("projects").join(name).join("src");
    std::fs::create_dir_all(&sources).unwrap();
    std::fs::write(sources.join("suite.py"), SUITE).unwrap();
    let recipe = format!(
        "name = \"{name}\"\nsource = {{ path = \"src\" }}\ninstall = []\n\
         [[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\nreport = \"report.xml\"\n"
    );
    std::fs::write(folder.join("projects").join(name).join(format!("{name}.toml")), recipe).unwrap();
}

fn incidents(up: &Up) -> Vec<Value> {
    let output = pybots(&up.folder, &["incidents", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_break_inside_red_becomes_an_incident_and_its_repair_ends_it() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    for name in ["one", "two"] {
        project(folder.path(), name);
    }
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        "",
    );
    let toy = std::fs::read_to_string(repository.path.join("Lib/toy.py")).unwrap();
    let quiet = |text: &str| {
        repository.write("Lib/quiet.py", text);
        repository.commit(text)
    };
    let first = repository.git(&["rev-parse", "HEAD"]);
    let up = Up::start(folder.path());
    up.decided(&first, "one");
    let before = quiet("before");
    repository.write("Lib/toy.py", &toy.replace("42", "43"));
    let culprit = repository.commit("the answer is another");
    quiet("after");
    let found = up.until("the incident", || {
        let found = incidents(&up);
        found
            .into_iter()
            .find(|incident| incident["regressions"].as_array().unwrap().len() == 2)
    });
    println!("{}", up.log());
    println!("{found:#}");
    assert_eq!(found["state"], "culprit_found");
    assert_eq!(found["culprits"][0]["revision"], culprit.as_str());
    assert_eq!(found["projects"], serde_json::json!(["one", "two"]));
    let part = &found["regressions"][0];
    assert_eq!(part["tests"], serde_json::json!(["suite: T.answer"]));
    assert_eq!(part["good"]["revision"], before.as_str());
    assert_eq!(part["difference"], serde_json::json!(["the answer is 43"]));
    assert_eq!(part["error"], "AssertionError: answer");

    repository.write("Lib/toy.py", &toy);
    let fix = repository.commit("the answer is right again");
    let closed = up.until("its end", || {
        incidents(&up)
            .into_iter()
            .find(|incident| incident["state"] == "closed")
    });
    println!("{closed:#}");
    assert_eq!(closed["regressions"][0]["fixed_by"]["revision"], fix.as_str());
    assert_eq!(incidents(&up).len(), 1);

    // a revision that can't be built is told with a build of it that anybody can do
    repository.write("Lib/broken.c", "int broken(\n");
    let culprit = repository.commit("does not build");
    let found = up.until("the incident of the build", || {
        incidents(&up)
            .into_iter()
            .find(|incident| incident["state"] == "culprit_found")
    });
    assert_eq!(found["projects"], serde_json::json!(["cpython"]));
    assert_eq!(found["culprits"][0]["revision"], culprit.as_str());
    let again = pybots(folder.path(), &["reproduce", &found["number"].to_string(), "--run"]);
    let said = [again.stdout, again.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    let said = said.concat();
    println!("{said}");
    assert!(!again.status.success() && said.contains("broken.c:"), "{said}");
}
