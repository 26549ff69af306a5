use super::super::{corrected, propose, untried};
use super::*;
use crate::domain::results::Failure;
use crate::domain::results::Tests;
use crate::domain::suite::Source;
use crate::recipe::check::check;
use serde_json::json;

pub fn survey() -> Survey {
    serde_json::from_value(json!({
        "name": "demo",
        "build": { "installs": true },
        "packages": [{ "name": "demo", "below": "", "is_folder": true }],
        "places": [{ "path": "tests", "files": 3, "runners": { "pytest": 3 } }],
        "files": ["tests/conftest.py", "tests/test_a.py", "tests/sub/test_a.py", "tests/lib/helper.py"],
        "extras": { "test": ["pytest", "gone"], "fast": ["speedups"] },
        "marks": ["parametrize"],
    }))
    .unwrap()
}

pub fn proposal(survey: &Survey) -> Proposal {
    propose(survey, "demo", Source::of_git("https://example.org/demo", "0123456789")).0
}

pub fn tests(passed: usize, failed: &[(&str, &str)]) -> Tests {
    Tests {
        passed: (0..passed)
            .map(|number| format!("tests: tests.test_a.test_{number}"))
            .collect(),
        failed: failed
            .iter()
            .map(|(test, message)| Failure::of(test, message))
            .collect(),
        ..Tests::default()
    }
}

/// Returns how a trial changes the recipe: the new lines, and the reasons.
fn change(survey: &Survey, outcome: &Outcome, tests: Option<&Tests>, phase: &str, log: &str) -> Vec<String> {
    let before = proposal(survey);
    let observed = Observed {
        outcome,
        tests,
        phase,
        log,
    };
    let Some((after, reasons)) = corrected(&before, survey, &observed) else {
        return Vec::new();
    };
    assert!(!reasons.is_empty());
    let (before, after) = (before.text(&[]), after.text(&[]));
    assert_eq!(check("demo.toml", &after).plain(), "", "{after}");
    let old: Vec<&str> = before.lines().collect();
    after
        .lines()
        .filter(|line| !old.contains(line))
        .map(str::to_owned)
        .collect()
}

pub const FAILED: Outcome = Outcome::Failed { exit_code: 1 };

#[test]
fn failures_of_tests_change_what_a_recipe_can_change() {
    let survey = survey();
    let requires = |more: &str| vec![format!("requires = [\".[test]\", {more}]")];
    for (message, expected) in [
        (
            "ModuleNotFoundError: No module named 'yaml.scanner'",
            requires("\"pyyaml\""),
        ),
        (
            "ModuleNotFoundError: No module named 'pkg_resources'",
            requires("\"setuptools<81\""),
        ),
        ("fixture 'mocker' not found", requires("\"pytest-mock\"")),
        (
            "'timeout' not found in `markers` configuration option",
            requires("\"pytest-timeout\""),
        ),
        (
            "async def functions are not natively supported.",
            requires("\"pytest-asyncio\""),
        ),
        (
            "zoneinfo._common.ZoneInfoNotFoundError: 'No time zone found with key Europe/Paris'",
            requires("\"tzdata\""),
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'git'",
            vec!["system = [\"git\"]".to_owned()],
        ),
        (
            "ModuleNotFoundError: No module named 'helper'",
            vec!["env = { PYTHONPATH = \"/work/src/demo/tests/lib\" }".to_owned()],
        ),
        ("RuntimeError: try `pip install trustme`", requires("\"trustme\"")),
        (
            "ImportError: use `pip install demo[test,fast]`",
            requires("\".[fast]\""),
        ),
        // no change for the project's own modules, for modules that Linux lacks, and for a plain failure
        ("ModuleNotFoundError: No module named 'demo.part'", vec![]),
        ("ModuleNotFoundError: No module named 'winreg'", vec![]),
        ("fixture 'client' not found", vec![]),
        ("AssertionError: 1 != 2", vec![]),
    ] {
        let tests = tests(1, &[("tests: tests.test_a.test_x", message)]);
        assert_eq!(
            change(&survey, &FAILED, Some(&tests), "test tests", ""),
            expected,
            "{message}"
        );
    }
}

#[test]
fn what_keeps_pytest_from_starting_is_in_the_log() {
    let survey = survey();
    let log = "[pybots] phase install\nNo module named 'early'\n[pybots] phase test tests\nERROR: usage: pytest\n\
        __main__.py: error: unrecognized arguments: --timeout=60 --cov=demo\n[pybots] phase test tests ended after 1.0 s\n";
    let wrong = Outcome::Failed { exit_code: 4 };
    assert_eq!(
        change(&survey, &wrong, None, "test tests", log),
        ["requires = [\".[test]\", \"pytest-timeout\", \"pytest-cov\"]"]
    );
    let log = "ImportError while loading conftest\nE   ModuleNotFoundError: No module named 'trustme'\n";
    assert_eq!(
        change(&survey, &wrong, None, "test tests", log),
        ["requires = [\".[test]\", \"trustme\"]"]
    );
    // if tests ran, the log also has text that belongs to none of their failures
    let ran = tests(1, &[("tests: tests.test_a.test_x", "AssertionError")]);
    assert_eq!(
        change(&survey, &FAILED, Some(&ran), "test tests", log),
        Vec::<String>::new()
    );
}

#[test]
fn tests_that_need_the_network_are_left_out_with_the_reason() {
    let survey = survey();
    let message = "socket.gaierror: [Errno -3] Temporary failure in name resolution";
    let cases: Vec<String> = (0..5)
        .map(|case| format!("tests: tests.test_a.T.test_many[{case}]"))
        .collect();
    let mut failed: Vec<(&str, &str)> = cases.iter().map(|case| (case.as_str(), message)).collect();
    failed.push(("tests: tests.sub.test_a.test_one[a b]", message));
    failed.push(("tests: tests.test_a.test_two[it's]", message));
    failed.push(("tests: tests.other.test_three", message));
    failed.push(("tests: tests.test_a.test_four", "AssertionError"));
    let tests = tests(9, &failed);
    let lines = change(&survey, &FAILED, Some(&tests), "test tests", "");
    assert_eq!(
        lines.last().unwrap(),
        "run = \"python -m pytest -q --deselect tests/sub/test_a.py::test_one --deselect tests/test_a.py::T::test_many --deselect \
         tests/test_a.py::test_two tests\""
    );
    assert_eq!(lines.len(), 4);
    assert!(
        lines[0].starts_with("# left out: tests/sub/test_a.py::test_one: it needs the network: socket.gaierror"),
        "{lines:?}"
    );
}

#[test]
fn what_can_not_be_fetched_gives_way() {
    let survey = survey();
    let unmet = |text: &str| Outcome::RecipeError {
        reason: format!("dependencies: {text}"),
    };
    // the named distribution leaves the list, and the rest stays
    let gone = unmet("a package that only has sdists ..: extra_sources = [{ name = \"gone\"");
    assert_eq!(change(&survey, &gone, None, "fetch", ""), ["requires = [\"pytest\"]"]);
    // a list that can't be met for another reason is replaced by the imports of the tests
    let gone = unmet("the requirements cannot be met. Because other was not found in the package registry");
    assert_eq!(change(&survey, &gone, None, "fetch", ""), ["requires = [\"pytest\"]"]);
    // the requirements of a build do not concern the tests
    let of_build = Outcome::RecipeError {
        reason: "to build demo: the requirements cannot be met. Because only gone<1 is available".into(),
    };
    assert_eq!(change(&survey, &of_build, None, "fetch", ""), Vec::<String>::new());
    // an added requirement is removed first, and not added again
    let tests = tests(1, &[("tests: tests.test_a.test_x", "No module named 'private'")]);
    let observed = Observed {
        outcome: &FAILED,
        tests: Some(&tests),
        phase: "test tests",
        log: "",
    };
    let (added, _) = corrected(&proposal(&survey), &survey, &observed).unwrap();
    let gone = unmet("the requirements cannot be met. Because private was not found in the package registry");
    let fetching = Observed {
        outcome: &gone,
        tests: None,
        phase: "fetch",
        log: "",
    };
    let (without, reasons) = corrected(&added, &survey, &fetching).unwrap();
    assert_eq!(without.text(&[]), proposal(&survey).text(&[]));
    assert_eq!(reasons[0].choice, "without \"private\"");
    assert!(corrected(&without, &survey, &observed).is_none());
}

#[test]
fn an_install_says_what_it_lacks() {
    let survey = survey();
    let lacks = |reason: &str| Outcome::RecipeError {
        reason: reason.to_owned(),
    };
    let tool = lacks(
        "`ninja` was not fetched: the build of demo asks for it; add `requires = [\"ninja\"]`, or set `install_network = true`",
    );
    assert_eq!(
        change(&survey, &tool, None, "install", ""),
        ["requires = [\".[test]\", \"ninja\"]"]
    );
    let rust = lacks("the build needs a Rust tool chain, which the image does not have");
    // the output of a build never enables the network: the project's own settings must name a builder of Rust
    assert_eq!(change(&survey, &rust, None, "install", ""), [""; 0]);
    for (required, opens) in [
        ("maturin>=1.9,<2", true),
        ("Setuptools_Rust", true),
        ("puccinialin", true),
        ("maturin-of-mine", false),
        ("setuptools", false),
    ] {
        let mut built = survey.clone();
        built.build.requires = vec!["wheel".to_owned(), required.to_owned()];
        assert_eq!(untried(&proposal(&built), false), None);
        let lines = change(&built, &rust, None, "install", "");
        assert_eq!(lines == ["install_network = true"], opens, "{required}: {lines:?}");
        let observed = Observed {
            outcome: &rust,
            tests: None,
            phase: "install",
            log: "",
        };
        if let Some((after, _)) = corrected(&proposal(&built), &built, &observed) {
            let sentence = untried(&after, false).unwrap().sentence();
            assert!(sentence.contains("`pybots init --allow-network`"), "{sentence}");
            assert_eq!(untried(&after, true), None);
        }
    }
    let version = Outcome::SetupFailed {
        reason: "install ended with exit code 1".into(),
        exit_code: Some(1),
    };
    let log = "  note: setuptools-scm takes the version of demo from tags of git, which a build does not have; set \
               SETUPTOOLS_SCM_PRETEND_VERSION in `env`\n";
    assert_eq!(
        change(&survey, &version, None, "install", log),
        ["env = { SETUPTOOLS_SCM_PRETEND_VERSION = \"0.0\" }"]
    );
    let log = "[pybots] phase install\n  × Failed to build `demo`\n  ├─▶ Failed to parse entry: `core`\n  ╰─▶ `core` references a workspace \
               in `tool.uv.sources`\n[pybots] phase install ended after 1.0 s\n";
    let sources = ["install = [\"uv pip install --no-sources .\"]"];
    assert_eq!(change(&survey, &version, None, "install", log), sources);
    let error =
        "Failed to build `demo` Failed to parse entry: `core` `core` references a workspace in `tool.uv.sources`";
    assert_eq!(last_error(log).as_deref(), Some(error));
    // the build that fails may belong to a requirement of the tests
    assert_eq!(
        change(&survey, &version, None, "install", ""),
        ["requires = [\"pytest\"]"]
    );
    let mut bare = survey;
    bare.extras.clear();
    assert_eq!(change(&bare, &version, None, "install", ""), Vec::<String>::new());
}

#[test]
fn a_source_that_hides_the_installed_package_goes() {
    let survey = survey();
    let log = "[pybots] note: the suite imported `demo` from the source folder below /work/src/demo, although it is installed: that \
               folder lacks 2 compiled module(s) of the installed copy\n";
    let tests = tests(3, &[]);
    let expected = ["install = [\"uv pip install .\", \"rm -r demo\"]"];
    assert_eq!(
        change(&survey, &Outcome::Passed, Some(&tests), "test tests", log),
        expected
    );
}

#[test]
fn a_file_that_can_not_be_imported_hides_no_others() {
    let survey = survey();
    let interrupted = Outcome::Failed { exit_code: 2 };
    let tests = tests(0, &[("tests: tests.test_a", "SyntaxError: invalid syntax")]);
    assert_eq!(
        change(&survey, &interrupted, Some(&tests), "test tests", ""),
        ["run = \"python -m pytest -q --continue-on-collection-errors tests\""]
    );
    assert_eq!(
        change(&survey, &FAILED, Some(&tests), "test tests", ""),
        Vec::<String>::new()
    );
}

#[test]
fn optional_features_are_tried_if_no_list_says_what_tests_need() {
    let mut survey = survey();
    let tests = tests(1, &[("tests: tests.test_a.test_x", "AssertionError")]);
    assert_eq!(
        change(&survey, &FAILED, Some(&tests), "test tests", ""),
        Vec::<String>::new()
    );
    survey.extras.remove("test");
    survey.extras.insert("docs".into(), vec!["sphinx".into()]);
    assert_eq!(
        change(&survey, &FAILED, Some(&tests), "test tests", ""),
        ["requires = [\"pytest\", \".[fast]\"]"]
    );
}

#[test]
fn a_suite_without_tests_looks_elsewhere() {
    let mut survey = survey();
    survey.pytest = serde_json::from_value(json!({ "file": "pytest.ini", "testpaths": ["tests"] })).unwrap();
    let none = Outcome::Failed { exit_code: 5 };
    assert_eq!(
        change(&survey, &none, Some(&Tests::default()), "test tests", ""),
        ["run = \"python -m pytest -q tests\""]
    );
    survey.pytest = None;
    survey.places[0].runners = serde_json::from_value(json!({ "unittest": 1 })).unwrap();
    survey.extras.clear();
    assert_eq!(
        change(&survey, &none, None, "test tests", ""),
        ["requires = [\"pytest\"]", "run = \"python -m pytest -q tests\""]
    );
}
