//! The whole program on a real engine, with the toy CPython: from a revision to its pages.

use crate::support::up::{Up, engine_wanted, pybots, settings, toy_repository};
use crate::support::{copy_folder, here};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn project(folder: &Path, name: &str, recipe: &str, suite: &str) {
    let project = folder.join("projects").join(name);
    std::fs::create_dir_all(project.join("src")).unwrap();
    let head = format!("name = \"{name}\"\nsource = {{ path = \"src\" }}\ninstall = []\n");
    std::fs::write(project.join(name).with_extension("toml"), head + recipe).unwrap();
    std::fs::write(project.join("src/suite.py"), suite).unwrap();
}

const SUITE: &str = "[[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\n";

/// A suite that tells of its tests.
const TRIAL: &str =
    "requires = [\"twisted\"]\n[[suite]]\nname = \"suite\"\nrun = \"python -m pybots_trial -j2 suite\"\n";
const TRIAL_TESTS: &str = "from twisted.trial import unittest
class T(unittest.TestCase):
    def test_well(self):
        pass
    def test_bad(self):
        self.assertEqual(1, 2)
    def test_late(self):
        raise unittest.SkipTest('not today')
";
/// Two pytests in one suite, the second one in several processes.
const PYTEST: &str = "requires = [\"pytest>=9\", \"pytest-xdist\"]\n[[suite]]\nname = \"suite\"
run = \"python -m pytest -q suite.py || :\\npython -m pytest -q -n2 more.py\"\n";
const PYTEST_TESTS: &str = "import pytest
@pytest.mark.parametrize('text', ['a\\tb', 'ab'])
def test_text(text):
    pass
def test_parts(subtests):
    for part in 1, 2:
        with subtests.test(part=part):
            assert part == 1
";
const LEAVES: &str = "requires = [\"pytest\"]\n[[suite]]\nname = \"suite\"\nrun = \"python -m pytest -q suite.py\"\n";
const LEAVES_TESTS: &str = "import os
def test_well():
    pass
def test_leaves():
    os._exit(0)
";
const TELLS: &str = "[[suite]]\nname = \"suite\"\nrun = \"python -m pybots_unittest suite\"\n";
const ASKS: &str = "import toy, unittest
class Asks(unittest.TestCase):
    def test_answer(self):
        self.assertEqual(toy.answer(), 42)
    def test_well(self):
        pass
";

fn strings<'a>(expected: &'a Value, key: &str) -> Vec<&'a str> {
    expected[key]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Every project of tests/fixtures/projects ends as its expected.json says.
#[test]
fn every_way_to_end_is_told_apart() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    settings(
        folder.path(),
        &here().join("tests/fixtures/projects"),
        &[("trunk", "main", 1)],
        "",
    );
    let mut up = Up::start(folder.path());
    let revision = repository.git(&["rev-parse", "HEAD"]);
    let names = std::fs::read_dir(here().join("tests/fixtures/projects"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut problems = Vec::new();
    for name in names {
        let name = name.into_string().unwrap();
        let expected = std::fs::read(here().join("tests/fixtures/projects").join(&name).join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let cell = up.decided(&revision, &name);
        let run = cell["run"].as_str().unwrap();
        let log = pybots(folder.path(), &["logs", run, "--raw"]).stdout;
        let text = String::from_utf8_lossy(&log).into_owned();
        let mut expect = |good: bool, what: String| {
            if !good {
                problems.push(format!("{name}: {what}"));
            }
        };
        expect(cell["outcome"] == expected["outcome"], format!("outcome {cell}"));
        if let Some(code) = expected["exit_code"].as_i64() {
            expect(cell["exit_code"] == code, format!("exit code {cell}"));
        }
        if let Some(most) = expected["max_seconds"].as_f64() {
            expect(cell["seconds"].as_f64().unwrap() < most + 10.0, format!("took {cell}"));
        }
        for part in strings(&expected, "log_contains") {
            expect(text.contains(part), format!("its log lacks {part:?}"));
        }
        for part in strings(&expected, "log_lacks") {
            expect(!text.contains(part), format!("its log has {part:?}"));
        }
        for part in strings(&expected, "log_contains_hex") {
            let bytes = hex::decode(part).unwrap();
            expect(
                log.windows(bytes.len()).any(|window| window == bytes),
                format!("its log lacks the bytes {part}"),
            );
        }
        if expected["log_cut"] == true {
            expect(
                text.contains("bytes of the log were cut here"),
                "no mark where its log was cut".into(),
            );
        }
        if let Some(most) = expected["max_log_bytes"].as_u64() {
            expect((log.len() as u64) < most, format!("its log has {} bytes", log.len()));
        }
        let (status, page) = up.get(&format!("/run/{run}"));
        expect(status == 200, format!("its page answers {status}"));
        if let Some(which) = expected["which"].as_str() {
            expect(
                page.contains(&format!("timed out ({which})")),
                format!("not by {which}"),
            );
        }
        if let Some(signal) = expected["signal"].as_i64() {
            let name = pybots::domain::outcome::signal_name(signal);
            expect(page.contains(&name), format!("not by {name}"));
        }
        for part in strings(&expected, "page_contains") {
            expect(page.contains(part), format!("its page lacks {part:?}"));
        }
        for part in strings(&expected, "page_lacks") {
            expect(!page.contains(part), format!("its page has {part:?}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
}

/// A stranger's repository with two branches; a revision that comes later; breaks of either side.
#[test]
fn revisions_are_tested_as_they_come() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    repository.git(&["branch", "3.11"]);
    repository.write("Lib/unique.txt", "a revision of trunk");
    let first = repository.commit("something else");
    project(folder.path(), "asks", TELLS, ASKS);
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1), ("3.11", "3.11", 1), ("9.9", "nosuch", 1)],
        "",
    );
    let up = Up::start(folder.path());
    assert_eq!(up.decided(&first, "asks")["state"], "pass");
    let other = repository.git(&["rev-parse", "3.11"]);
    assert_eq!(up.decided(&other, "asks")["branch"], "3.11");

    // CPython changes under the project
    let toy = std::fs::read_to_string(repository.path.join("Lib/toy.py")).unwrap();
    assert!(toy.contains("42"));
    repository.write("Lib/toy.py", &toy.replace("42", "43"));
    let breaking = repository.commit("another answer");
    let cell = up.decided(&breaking, "asks");
    assert_eq!(
        (&cell["state"], &cell["outcome"], &cell["exit_code"]),
        (&"fail".into(), &"failed".into(), &1.into())
    );

    // which test it was: on the page, and beside the revision before
    let (_, page) = up.get(&format!("/run/{}", cell["run"].as_str().unwrap()));
    assert!(page.contains("suite: suite.Asks.test_answer"), "{page}");
    assert!(page.contains("AssertionError: 43 != 42"), "{page}");
    let output = pybots(folder.path(), &["compare", &first, "trunk"]);
    let compared = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{compared}");
    assert!(
        compared.contains("newly failing: `suite: suite.Asks.test_answer`"),
        "{compared}"
    );
    let (_, json) = up.get(&format!("/api/compare/{breaking}/3.11"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["projects"][0]["difference"], "newly_passing", "{json}");
    let wanted = pybots(folder.path(), &["compare", &first, "nosuch"]);
    assert!(String::from_utf8_lossy(&wanted.stderr).contains("\"nosuch\" is neither"));

    // CPython does not build
    repository.write("Lib/broken.c", "int broken(\n");
    let broken = repository.commit("does not compile");
    assert_eq!(up.decided(&broken, "asks")["state"], "no_image");
    // a green make with a module missing gives a degraded image, on which projects run
    repository.git(&["rm", "--quiet", "-f", "Lib/broken.c"]);
    repository.write("Lib/toy.py", "raise ImportError('not in this build')\n");
    let missing = repository.commit("a module is missing");
    assert_eq!(up.decided(&missing, "asks")["state"], "fail");
    // a tree that was built before needs no build
    repository.write("Lib/toy.py", &toy);
    let fixed = repository.commit("fixed");
    assert_eq!(up.decided(&fixed, "asks")["state"], "pass");

    let (_, page) = up.get("/");
    assert!(page.contains("another answer"), "{page}");
    let (_, page) = up.get(&format!("/revision/{missing}"));
    assert!(page.contains("degraded: toy"), "{page}");
    let (status, page) = up.get("/branch/9.9");
    assert!(status == 200 && page.contains("nosuch"), "{page}");
    assert_eq!(up.get("/branch/none").0, 404);

    // a recipe that comes, one that is wrong, one that is fixed: without a restart
    project(folder.path(), "wrong", &SUITE.replace("run", "rum"), "");
    project(folder.path(), "late", SUITE, "print('late')\n");
    assert_eq!(up.decided(&fixed, "late")["state"], "pass");
    let (_, page) = up.get("/recipes");
    assert!(page.contains("unknown key") && page.contains("did you mean"), "{page}");
    project(folder.path(), "wrong", SUITE, "print('fixed')\n");
    assert_eq!(up.decided(&fixed, "wrong")["state"], "pass");

    // our recorders see the tests of pytest and trial
    project(folder.path(), "pytests", PYTEST, PYTEST_TESTS);
    let more = "def test_more():\n    assert '<' == '>'\n";
    std::fs::write(folder.path().join("projects/pytests/src/more.py"), more).unwrap();
    project(folder.path(), "leaves", LEAVES, LEAVES_TESTS);
    project(folder.path(), "trials", TRIAL, TRIAL_TESTS);
    let cell = up.decided(&fixed, "pytests");
    let (_, page) = up.get(&format!("/run/{}", cell["run"].as_str().unwrap()));
    for shown in [
        "<strong>2</strong> passed",
        "suite: suite.test_parts (part",
        "contains 1 failed subtest",
        "suite: more.test_more",
        "assert &#x27;&lt;&#x27;",
    ] {
        assert!(page.contains(shown), "no {shown:?} in {page}");
    }
    let cell = up.decided(&fixed, "leaves");
    assert_eq!(
        (&cell["state"], &cell["exit_code"]),
        (&"fail".into(), &0.into()),
        "{cell}"
    );
    let (_, page) = up.get(&format!("/run/{}", cell["run"].as_str().unwrap()));
    assert!(page.contains("suite: suite.test_leaves"), "{page}");
    let cell = up.decided(&fixed, "trials");
    let (_, page) = up.get(&format!("/run/{}", cell["run"].as_str().unwrap()));
    for told in [
        "suite: suite.T.test_bad",
        "<strong>1</strong> passed",
        "<strong>1</strong> were skipped",
    ] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
}

/// Waits until a suite has printed its first line. Returns its run.
fn has_begun(up: &Up, folder: &Path) -> String {
    up.until("the run's first line", || {
        let cell = up.cells().into_iter().find(|cell| cell["run"].is_string())?;
        let run = cell["run"].as_str()?.to_owned();
        let log = pybots(folder, &["logs", &run, "--raw"]).stdout;
        String::from_utf8_lossy(&log).contains("begun").then_some(run)
    })
}

/// The process dies at the worst moment; nothing is lost, nothing stays on the engine.
#[test]
fn a_kill_loses_nothing() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let revision = repository.git(&["rev-parse", "HEAD"]);
    project(
        folder.path(),
        "slow",
        SUITE,
        "import time\nprint('begun', flush=True)\ntime.sleep(8)\nprint('ended')\n",
    );
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        "",
    );
    let mut up = Up::start(folder.path());
    let run = has_begun(&up, folder.path());
    up.kill_9();
    assert!(!up.left_behind().is_empty(), "the kill came too late to show anything");
    let mut up = Up::start(folder.path());
    assert_eq!(up.decided(&revision, "slow")["state"], "pass");
    let first = pybots(folder.path(), &["logs", &run, "--attempt", "1"]).stdout;
    let second = pybots(folder.path(), &["logs", &run, "--attempt", "2"]).stdout;
    assert!(String::from_utf8_lossy(&first).contains("begun"));
    let second = String::from_utf8_lossy(&second);
    assert!(second.contains("attempt 2") && second.contains("ended"), "{second}");
    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
}

/// `docker kill` and `docker stop` end a container as a crash of the interpreter does. Only the suite's own end counts.
#[test]
fn a_suite_that_is_killed_from_outside_is_tried_again() {
    if !engine_wanted() {
        return;
    }
    for (name, how) in [("killed", &["kill"][..]), ("stopped", &["stop", "--time", "1"])] {
        let folder = tempfile::tempdir().unwrap();
        let repository = toy_repository(folder.path());
        let revision = repository.git(&["rev-parse", "HEAD"]);
        let suite = "import time\nprint('begun', flush=True)\ntime.sleep(6)\nprint('ended')\n";
        project(folder.path(), name, SUITE, suite);
        let projects = folder.path().join("projects");
        settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
        let mut up = Up::start(folder.path());
        let run = has_begun(&up, folder.path());
        // other tests have containers too
        let labels = [
            "label=org.pybots.phase=test suite".to_owned(),
            format!("label=org.pybots.project={name}"),
        ];
        let running = Command::new("docker")
            .args(["ps", "--quiet", "--filter", &labels[0], "--filter", &labels[1]])
            .output()
            .unwrap();
        let container = String::from_utf8(running.stdout).unwrap().trim().to_owned();
        let killed = Command::new("docker").args(how).arg(&container).status().unwrap();
        assert!(killed.success(), "{how:?} {container}");
        assert_eq!(up.decided(&revision, name)["state"], "pass", "{how:?}");
        let first = pybots(folder.path(), &["logs", &run, "--attempt", "1"]).stdout;
        let first = String::from_utf8_lossy(&first);
        assert!(first.contains("was killed from outside"), "{how:?} {first}");
        up.stop();
    }
}

/// `pybots try`, a real project from the package index, and packages of the distribution.
#[test]
fn one_project_is_tried_here_and_now() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    copy_folder(&here().join("projects"), &folder.path().join("projects"));
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        "",
    );
    let output = pybots(folder.path(), &["try", "projects/pluggy.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("pluggy: passed"));
    assert!(text.contains("phase fetch") && text.contains(" passed"), "{text}");

    let system = format!("system = [\"jq\"]\n{SUITE}");
    project(
        folder.path(),
        "packaged",
        &system,
        "import subprocess\nsubprocess.check_call(['jq', '--version'])\n",
    );
    let output = pybots(folder.path(), &["try", "projects/packaged/packaged.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let tagged = text
        .lines()
        .find_map(|line| line.strip_prefix("Successfully tagged pybots/project:"));
    let image = format!("pybots/project:{}", tagged.expect("an image with the package").trim());
    let gone = Command::new("docker").args(["image", "rm", &image]).output().unwrap();
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));

    project(folder.path(), "red", SUITE, "raise SystemExit(3)\n");
    let output = pybots(folder.path(), &["try", "projects/red/red.toml", "--on", "trunk"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("failed (exit code 3)"));
    // the owner of a recipe is told what is wrong with it
    let absent = "name = \"absent\"\nsource = { pypi = \"pybots-no-such-project\" }\n".to_owned() + SUITE;
    std::fs::write(folder.path().join("absent.toml"), absent).unwrap();
    let output = pybots(folder.path(), &["try", "absent.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("absent: recipe error: "));
    let output = pybots(folder.path(), &["try", "projects/red/red.toml", "--on", "nosuch"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither a watched branch (trunk) nor a revision"));
}

/// `pybots try --watch`: a recipe that can't be used, then one whose suite fails, then one that passes.
#[test]
fn a_recipe_is_tried_again_whenever_it_is_saved() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    let projects = folder.path().join("projects");
    settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
    project(
        folder.path(),
        "saved",
        &SUITE.replace("run", "rum"),
        "raise SystemExit(3)\n",
    );
    let output = folder.path().join("output");
    let written = std::fs::File::create(&output).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pybots"))
        .current_dir(folder.path())
        .args(["--config", "pybots.toml", "try", "projects/saved/saved.toml", "--watch"])
        .stderr(written.try_clone().unwrap())
        .stdout(written)
        .spawn()
        .unwrap();
    let until = |text: &str| {
        let start = std::time::Instant::now();
        loop {
            let shown = std::fs::read_to_string(&output).unwrap();
            if shown.ends_with("is saved again; Ctrl-C ends this\n") && shown.contains(text) {
                return;
            }
            assert!(start.elapsed().as_secs() < 240, "{text}: {shown}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    until("unknown key `rum`");
    project(folder.path(), "saved", SUITE, "raise SystemExit(3)\n");
    until("saved: failed (exit code 3)");
    project(folder.path(), "saved", SUITE, "");
    until("saved: passed");
    let interrupt = ["-INT", &child.id().to_string()];
    assert!(Command::new("kill").args(interrupt).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0), "that of the last trial");
}

/// The host's secrets go into no image.
#[test]
fn no_image_holds_the_ca_bundle() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    project(
        folder.path(),
        "looks",
        SUITE,
        "import os\nassert not os.path.exists('/tmp/ca.crt')\nprint(sorted(os.environ))\n",
    );
    let marker = format!("marker-{}", pybots::store::new_id());
    let ca = std::env::var("SSL_CERT_FILE").unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".into());
    let bundle = std::fs::read_to_string(ca).unwrap() + "\n# " + &marker + "\n";
    std::fs::write(folder.path().join("ca.crt"), bundle).unwrap();
    let more = format!("[network]\nca = {:?}\n", folder.path().join("ca.crt"));
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        &more,
    );
    // a toolchain of its own, made with this bundle
    let path = folder.path().join("images/distribution.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find("toolchain = [").unwrap();
    let small = "toolchain = [\"ca-certificates\", \"gcc\", \"libc6-dev\", \"make\", \"python3\", \"python3-packaging\", \"python3-pip\", \"unzip\"]\n\
                 runtime = [\"ca-certificates\", \"libexpat1\", \"libffi8\", \"libsqlite3-0\", \"libssl3\", \"tzdata\", \"zlib1g\"]\n";
    std::fs::write(&path, text[..start].to_owned() + small).unwrap();
    let output = pybots(folder.path(), &["try", "projects/looks/looks.toml"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ca.crt"), "the bundle was handed to the build");
    // packages are built from Dockerfiles, a CPython is put together
    let images: Vec<String> = text
        .lines()
        .filter_map(|line| match line.split_once("image pybots/cpython:") {
            Some((_, rest)) => Some(format!("pybots/cpython:{}", rest.split_once(": ")?.0)),
            None => line.trim().strip_prefix("Successfully tagged ").map(str::to_owned),
        })
        .collect();
    assert!(images.len() >= 3, "{images:?}");
    for image in images {
        let script = format!(
            "created=$(docker create {image} true) && docker export $created | grep -a -c {marker}; docker history --no-trunc {image} | grep -c {marker}; docker rm $created >/dev/null"
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let counts = String::from_utf8_lossy(&output.stdout);
        assert_eq!(counts.split_whitespace().collect::<Vec<_>>(), ["0", "0"], "{image}");
        let gone = Command::new("docker").args(["image", "rm", &image]).output().unwrap();
        assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
        if let Some(digest) = image.strip_prefix("pybots/toolchain:") {
            let cache = format!("pybots-cache-{digest}");
            let gone = Command::new("docker").args(["volume", "rm", &cache]).output().unwrap();
            assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
        }
    }
}

/// A host that has no room takes no job, and says what to do; the job waits.
#[test]
fn a_full_disk_fails_nobody() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    project(folder.path(), "waits", SUITE, "print('at last')\n");
    let more = "[engine]\nmin_free_gib = 1000000\n";
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        more,
    );
    let mut up = Up::start(folder.path());
    up.until("the message", || {
        up.log().contains("lower `engine.min_free_gib`").then_some(())
    });
    up.until("the row", || (!up.cells().is_empty()).then_some(()));
    assert!(
        up.cells().iter().all(|cell| cell["state"] == "pending"),
        "{:?}",
        up.cells()
    );
    up.stop();
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        "",
    );
    let up = Up::start(folder.path());
    let revision = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(up.decided(&revision, "waits")["state"], "pass");
}
