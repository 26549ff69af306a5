//! Variants and run-time modes on a real engine, with the toy CPython.

use crate::support::up::{Up, engine_wanted, pybots, settings, toy_repository};
use serde_json::Value;
use std::path::Path;

fn project(folder: &Path, name: &str, recipe: &str, suite: &str) {
    let project = folder.join("projects").join(name);
    std::fs::create_dir_all(project.join("src")).unwrap();
    let head = format!("name = \"{name}\"\nwhen = \">=3.7\"\nsource = {{ path = \"src\" }}\ninstall = []\n");
    std::fs::write(project.join(name).with_extension("toml"), head + recipe).unwrap();
    std::fs::write(project.join("src/suite.py"), suite).unwrap();
}

const SUITE: &str = "[[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\n";

/// The same command twice, plain and with modes.
const MODES: &str = r#"
[[suite]]
name = "plain"
run = "python suite.py plain"
[[suite]]
name = "dev"
run = "python suite.py dev"
modes = ["-X dev", "-W error", "-W ignore::UserWarning", "-OO"]
"#;

/// Looks at itself, and at a Python that it starts.
const LOOKS: &str = r#"
import subprocess, sys
sees = "import sys; print(sys.flags.dev_mode, sys.flags.optimize, sys.warnoptions)"
child = subprocess.run([sys.executable, "-c", sees], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
own = "%s %s %s" % (sys.flags.dev_mode, sys.flags.optimize, sys.warnoptions)
wanted = {
    "plain": "False 0 []",
    "dev": "True 2 ['default', 'error', 'ignore::UserWarning']",
}[sys.argv[1]]
for seen in (own, child):
    if seen != wanted:
        sys.exit("%s instead of %s" % (seen, wanted))
print("seen:", child)
"#;

/// The cell of a variant, once it is decided.
fn decided(up: &Up, revision: &str, variant: &str, project: &str) -> Value {
    up.until(&format!("{project} on {revision}, {variant}"), || {
        let wanted = |cell: &Value| {
            cell["revision"] == revision
                && cell["project"] == project
                && cell["variant"] == variant
                && cell["state"] != "pending"
        };
        up.cells().into_iter().find(wanted)
    })
}

#[test]
fn each_variant_is_built_and_tested_for_itself() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let first = repository.git(&["rev-parse", "HEAD"]);
    project(
        folder.path(),
        "both",
        SUITE,
        "import toy_build\nprint('debug build:', toy_build.debug)\n",
    );
    project(
        folder.path(),
        "picky",
        &format!("{SUITE}[[exclude]]\nvariant = \"debug\"\nreason = \"takes four hours there\"\n"),
        "import toy_build\nassert toy_build.debug is False\n",
    );
    project(
        folder.path(),
        "breaks-on-debug",
        SUITE,
        "import sys, toy_build\nsys.exit(7 if toy_build.debug else 0)\n",
    );
    project(folder.path(), "modes", MODES, LOOKS);
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        "",
    );
    let file = folder.path().join("pybots.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let with = |variants: &str| std::fs::write(&file, format!("{text}variants = [{variants}]\n")).unwrap();

    // a name that nothing builds is no branch that waits for ever
    with("\"default\", \"debgu\"");
    for command in ["up", "config"] {
        let output = pybots(folder.path(), &[command]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {errors}");
        assert!(errors.contains("did you mean \"debug\"?"), "{command}: {errors}");
    }

    with("\"default\", \"debug\", \"free-threaded\"");
    let mut up = Up::start(folder.path());
    let log = |cell: &Value| {
        let output = pybots(folder.path(), &["logs", cell["run"].as_str().unwrap()]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (variant, says) in [("default", "debug build: False"), ("debug", "debug build: True")] {
        let cell = decided(&up, &first, variant, "both");
        assert_eq!(cell["state"], "pass", "{cell}");
        let log = log(&cell);
        assert!(log.contains(says), "{variant}: {log}");
        assert_eq!(log.contains("(trunk, debug)"), variant == "debug", "{log}");
    }
    let cell = decided(&up, &first, "debug", "picky");
    assert_eq!(
        (&cell["state"], &cell["reason"]),
        (&"skipped".into(), &"takes four hours there".into())
    );
    assert_eq!(decided(&up, &first, "default", "picky")["state"], "pass");
    assert_eq!(decided(&up, &first, "default", "breaks-on-debug")["state"], "pass");
    assert_eq!(decided(&up, &first, "debug", "breaks-on-debug")["exit_code"], 7);
    // the toy is a 3.11, which does not have it
    let cell = decided(&up, &first, "free-threaded", "both");
    assert_eq!(cell["state"], "no_image");
    assert!(cell["reason"].as_str().unwrap().contains(">=3.13"), "{cell}");

    for variant in ["default", "debug"] {
        let cell = decided(&up, &first, variant, "modes");
        let log = log(&cell);
        assert_eq!(cell["state"], "pass", "{log}");
        assert!(
            log.contains("suite dev runs with -X dev -W error -W ignore::UserWarning -OO"),
            "{log}"
        );
        assert!(!log.contains("suite plain runs with"), "{log}");
        let (_, page) = up.get(&format!("/run/{}", cell["run"].as_str().unwrap()));
        assert_eq!(page.matches("<code>-X dev -W error").count(), 1, "{page}");
    }

    // a revision that only goes back to an earlier tree shares its images, each variant its own
    repository.write("Lib/unique.txt", "in between");
    repository.commit("something else");
    repository.git(&["revert", "--no-edit", "HEAD"]);
    let again = repository.git(&["rev-parse", "HEAD"]);
    for variant in ["default", "debug"] {
        let cell = decided(&up, &again, variant, "breaks-on-debug");
        assert_eq!(cell["image_of"], first.as_str(), "{cell}");
        assert_eq!(cell["state"], if variant == "debug" { "fail" } else { "pass" });
    }
    let output = pybots(folder.path(), &["results", "--variant", "debug"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("image of") && text.contains(&first[..10]), "{text}");
    assert!(text.contains("debug") && !text.contains("default"), "{text}");
    let output = pybots(folder.path(), &["results", "--variant", "debgu"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are: debug, default"));
    let (_, page) = up.get(&format!("/revision/{again}"));
    assert!(
        page.contains(&format!("image of <a href=\"/revision/{first}\">")),
        "{page}"
    );

    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
    let recipe = folder.path().join("projects/both/both.toml").display().to_string();
    let output = pybots(folder.path(), &["try", &recipe, "--variant", "debug"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.contains("debug build: True"),
        "{errors}"
    );
    let output = pybots(folder.path(), &["try", &recipe, "--variant", "debgu"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean \"debug\"?"));
    // no image is built for what is skipped anyway
    let recipe = folder.path().join("projects/picky/picky.toml").display().to_string();
    let output = pybots(folder.path(), &["try", &recipe, "--variant", "debug"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("skipped: takes four hours there") && !errors.contains("image of"),
        "{errors}"
    );
}
