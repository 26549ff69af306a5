use super::*;
use crate::recipe::check::check;
use serde_json::json;

fn survey(value: serde_json::Value) -> Survey {
    serde_json::from_value(value).unwrap()
}

fn pypi() -> Source {
    let mut source = Source::of_git("", "");
    source.git = None;
    source.rev = None;
    source.pypi = Some("demo".to_owned());
    source
}

fn git() -> Source {
    Source::of_git("https://example.org/demo", "0123456789")
}

/// Returns tests in `tests/`, with hints to one runner.
fn tests_for(runner: &str) -> serde_json::Value {
    json!({
        "name": "demo",
        "build": { "installs": true },
        "places": [{ "path": "tests", "files": 3, "runners": { runner: 3 } }],
        "files": ["tests/conftest.py", "tests/test_a.py"],
    })
}

fn with(mut base: serde_json::Value, more: serde_json::Value) -> serde_json::Value {
    for (key, value) in more.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

/// Returns the lines of a proposed recipe that begin with one of the keys.
fn proposed(value: serde_json::Value) -> Vec<String> {
    let (proposal, reasons) = propose(&survey(value), "demo", pypi());
    assert!(reasons.iter().all(|reason| !reason.why.is_empty()), "{reasons:?}");
    let text = proposal.text(&[]);
    let report = check("demo.toml", &text).plain();
    assert_eq!(report, "", "{text}");
    let keys = ["requires", "groups", "run", "install", "when"];
    let lines = text.lines().filter(|line| keys.iter().any(|key| line.starts_with(key)));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_tests_need_is_taken_from_where_the_project_says_it() {
    let run = "run = \"python -m pytest -q tests\"";
    for (more, requires) in [
        (
            json!({ "extras": { "test": ["pytest>=8"], "dev": ["pytest", "ruff"] } }),
            "requires = [\".[test]\"]",
        ),
        (
            json!({ "groups": { "tests": ["pytest"], "docs": ["sphinx"] } }),
            "groups = [\"tests\"]",
        ),
        // a development group without the test runner has another purpose
        (
            json!({ "groups": { "dev": ["ruff", "tox"] } }),
            "requires = [\"pytest\"]",
        ),
        (json!({ "groups": { "dev": ["ruff", "pytest"] } }), "groups = [\"dev\"]"),
        (
            json!({ "tox": { "file": "tox.ini", "deps": ["pytest>=7", "cov: pytest-cov", "mypy", "-rreq/t.txt"] },
                    "requirement_files": [{ "path": "req/t.txt", "lines": ["trustme", "-e .", "demo", "x @ https://e.org"] }] }),
            "requires = [\"pytest>=7\", \"trustme\"]",
        ),
        (
            json!({ "nox": [{ "name": "lint", "installs": ["ruff"] }, { "name": "tests", "installs": [".[socks]", "pytest"] }],
                    "extras": { "socks": ["pysocks"] } }),
            "requires = [\".[socks]\", \"pytest\"]",
        ),
        (
            json!({ "requirement_files": [{ "path": "requirements/test.txt", "lines": ["pytest==8.1", "black"] }] }),
            "requires = [\"pytest==8.1\"]",
        ),
        (
            json!({ "poetry": { "test": ["pytest", "PyYAML"] } }),
            "requires = [\"pytest\", \"PyYAML\"]",
        ),
        (
            json!({ "imports": [["pytest", 3], ["yaml", 1], ["winreg", 1], ["numpy", 1]], "dependencies": ["numpy>=1"] }),
            "requires = [\"pytest\", \"pyyaml\"]",
        ),
        // the development group contains a requirement that the other group lacks
        (
            json!({ "groups": { "test": ["pytest"], "dev": ["pytest", "trustme"] }, "imports": [["trustme", 2]] }),
            "groups = [\"dev\"]",
        ),
        // the extra lacks the test runner, but contains what the tests import
        (
            json!({ "extras": { "test": ["hypothesis"] }, "imports": [["hypothesis", 2]] }),
            "requires = [\".[test]\", \"pytest\"]",
        ),
    ] {
        assert_eq!(
            proposed(with(tests_for("pytest"), more.clone())),
            [requires, run],
            "{more}"
        );
    }
}

#[test]
fn plugins_are_required_or_their_options_replaced() {
    let pytest = |addopts: &str, more: serde_json::Value| {
        let settings = with(json!({ "file": "pytest.ini", "addopts": addopts }), more);
        let mut lines = proposed(with(tests_for("pytest"), json!({ "pytest": settings })));
        assert_eq!(lines.len(), 2);
        (lines.remove(0), lines.remove(0))
    };
    for (addopts, more, requires, run) in [
        (
            "-ra --strict-markers",
            json!({}),
            "[\"pytest\"]",
            "python -m pytest -q tests",
        ),
        (
            "-n auto -ra --cov demo --cov-report=xml -m 'not slow'",
            json!({}),
            "[\"pytest\"]",
            "python -m pytest -q -o addopts= -ra -m 'not slow' tests",
        ),
        (
            "-p xdist -p no:doctest -p no:junitxml -p mine",
            json!({}),
            "[\"pytest\"]",
            "python -m pytest -q -o addopts= -p no:doctest -p mine tests",
        ),
        (
            "--timeout 60",
            json!({}),
            "[\"pytest\", \"pytest-timeout\"]",
            "python -m pytest -q tests",
        ),
        (
            "",
            json!({ "keys": ["asyncio_mode"], "required_plugins": ["pytest-mock>=3"] }),
            "[\"pytest\", \"pytest-mock>=3\", \"pytest-asyncio\"]",
            "python -m pytest -q tests",
        ),
        (
            "",
            json!({ "testpaths": ["tests/"] }),
            "[\"pytest\"]",
            "python -m pytest -q",
        ),
        (
            "",
            json!({ "testpaths": ["gone"] }),
            "[\"pytest\"]",
            "python -m pytest -q tests",
        ),
    ] {
        let expected = (format!("requires = {requires}"), format!("run = {:?}", run));
        assert_eq!(pytest(addopts, more), expected, "{addopts}");
    }
    let used = json!({ "arguments": ["mocker", "tmp_path"], "marks": ["anyio", "parametrize"] });
    let lines = proposed(with(tests_for("pytest"), used));
    assert_eq!(lines[0], "requires = [\"pytest\", \"pytest-mock\", \"anyio\"]");
}

#[test]
fn the_command_is_that_of_the_project() {
    let tox = |command: &str| json!({ "tox": { "file": "tox.ini", "commands": [command] } });
    let package =
        json!({ "places": [{ "path": "tests", "files": 1, "runners": { "unittest": 1 }, "is_package": true }] });
    for (more, run) in [
        (json!({}), "python -m unittest discover -s tests"),
        (package, "python -m unittest discover -t . -s tests"),
        (tox("pytest {posargs}"), "python -m pytest -q tests"),
        (
            tox("{envpython} -bb -m demo.test {posargs:}"),
            "python -bb -m demo.test",
        ),
        (
            tox("coverage run -p -m unittest discover -v"),
            "python -m unittest discover -v",
        ),
        (
            tox("python {toxinidir}/tests/run_tests.py"),
            "python tests/run_tests.py",
        ),
        // neither lines for some environments only, nor lines that a shell would interpret
        (tox("py39: python -m demo.test"), "python -m unittest discover -s tests"),
        (
            tox("python -m demo.test; rm -r /"),
            "python -m unittest discover -s tests",
        ),
        (
            tox("python -m demo.test {env:X}"),
            "python -m unittest discover -s tests",
        ),
        (tox("python setup.py test"), "python -m unittest discover -s tests"),
    ] {
        let lines = proposed(with(tests_for("unittest"), more.clone()));
        assert_eq!(lines.last().unwrap(), &format!("run = {run:?}"), "{more}");
    }
    let own = json!({ "places": [], "runners": ["runtests.py"], "build": { "installs": true } });
    assert_eq!(proposed(with(tests_for("x"), own)), ["run = \"python runtests.py\""]);
}

#[test]
fn a_compiled_project_is_tested_as_it_is_installed() {
    let compiled = json!({
        "build": { "installs": true, "compiles": true },
        "packages": [{ "name": "demo", "below": "", "is_folder": true }, { "name": "other", "below": "src", "is_folder": true }],
    });
    assert_eq!(
        proposed(with(tests_for("pytest"), compiled.clone())),
        [
            "requires = [\"pytest\"]",
            "install = [\"uv pip install .\", \"rm -r demo\"]",
            "run = \"python -m pytest -q tests\""
        ]
    );
    let within =
        json!({ "places": [{ "path": "demo/tests", "files": 1, "runners": { "pytest": 1 }, "is_in_package": true }] });
    let lines = proposed(with(with(tests_for("pytest"), compiled.clone()), within));
    assert_eq!(lines[2], "run = \"python -m pytest -q --pyargs demo.tests\"");
    let place = |path: &str| json!({ "path": path, "files": 1, "runners": { "pytest": 1 }, "is_in_package": true });
    // below `src`, the installed package has another name
    let within = json!({ "places": [place("src/other/tests")], "packages": [compiled["packages"][1]] });
    let lines = proposed(with(with(tests_for("pytest"), compiled.clone()), within));
    assert_eq!(lines[1], "run = \"python -m pytest -q --pyargs other.tests\"");
    // more folders than one command names
    let many: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .map(|part| place(&format!("demo/{part}/tests")))
        .to_vec();
    let lines = proposed(with(with(tests_for("pytest"), compiled), json!({ "places": many })));
    assert_eq!(lines[2], "run = \"python -m pytest -q --pyargs demo\"");
    let unittest = json!({
        "build": { "installs": true, "compiles": true }, "packages": [{ "name": "demo", "below": "", "is_folder": true }],
    });
    let lines = proposed(with(tests_for("unittest"), unittest));
    assert_eq!(lines[0], "install = [\"uv pip install .\", \"rm -r demo\"]");
    let bare = json!({ "build": { "installs": false }, "requires_python": ">=3.9.2" });
    let lines = proposed(with(tests_for("unittest"), bare));
    assert_eq!(lines[..2], ["when = \">=3.9\"", "install = []"]);
}

#[test]
fn without_tests_the_recipe_says_where_they_may_be() {
    let bare = json!({
        "name": "demo", "build": { "installs": true }, "extras": { "test": ["pytest"] },
        "packages": [{ "name": "demo", "is_folder": true }], "repository": "https://github.com/a/demo",
    });
    let (proposal, reasons) = propose(&survey(bare.clone()), "demo", pypi());
    let text = proposal.text(&[]);
    assert!(
        text.starts_with("# `pybots init` wrote this recipe.\n# There are no tests to be had"),
        "{text}"
    );
    assert!(
        text.contains("# The repository may have them: `pybots init https://github.com/a/demo`"),
        "{text}"
    );
    assert!(
        text.contains("run = \"cd /tmp && python -c 'import demo'\"") && !text.contains("requires"),
        "{text}"
    );
    assert!(
        reasons.iter().any(|reason| reason.why == "the source has no tests"),
        "{reasons:?}"
    );
    assert_eq!(check("demo.toml", &text).plain(), "");
    let (proposal, _) = propose(&survey(bare), "demo", git());
    assert!(!proposal.text(&[]).contains("may have them"));
}

#[test]
fn no_text_of_a_stranger_leaves_its_place() {
    let evil = "x\"\n[[suite]]\nrun = 'rm -rf /' #\u{1b}]52;c;x\u{7}\u{202e}";
    let long = "y".repeat(5000);
    let strange = json!({
        "name": evil, "summary": format!("{evil}{long}"), "homepage": format!("https://{evil}"), "repository": evil,
        "requires_python": evil, "computed": evil, "build": { "installs": true, "compiles": true },
        "extras": { evil: [evil], "test": [evil, "pytest"] }, "groups": { evil: [evil], "test": [evil] },
        "dependencies": [evil], "packages": [{ "name": evil, "is_folder": true }],
        "places": [{ "path": evil, "files": 2, "runners": { "pytest": 2 } }, { "path": long, "files": 1 }],
        "files": [evil], "imports": [[evil, 3]], "arguments": [evil], "marks": [evil], "runners": [evil],
        "pytest": { "file": evil, "addopts": format!("--cov {evil}"), "testpaths": [evil], "required_plugins": [evil], "keys": [evil] },
        "tox": { "file": evil, "deps": [evil], "commands": [evil, format!("pytest {evil}")] },
        "hatch": [{ "name": evil, "installs": [evil], "runs": [evil] }], "poetry": { evil: [evil] },
        "requirement_files": [{ "path": evil, "lines": [evil, "-r x", "a @ file:///etc/passwd"] }],
    });
    let (proposal, reasons) = propose(&survey(strange.clone()), "demo", git());
    let text = proposal.text(&[evil.to_owned()]);
    let recipe: toml::Table = text.parse().unwrap();
    assert_eq!(recipe["suite"].as_array().unwrap().len(), 1, "{text}");
    assert!(
        !text.contains(|c| crate::domain::text::is_odd(c) && c != '\n'),
        "{text}"
    );
    assert!(text.len() < 20_000, "{}", text.len());
    assert_eq!(recipe["requires"].as_array().unwrap()[0].as_str(), Some(".[test]"));
    for reason in reasons {
        assert!(
            !reason.choice.contains('\u{1b}') && !reason.why.contains('\u{1b}'),
            "{reason:?}"
        );
    }
    let none = with(strange, json!({ "places": [], "runners": [] }));
    let text = propose(&survey(none), "demo", git()).0.text(&[]);
    assert_eq!(
        text.parse::<toml::Table>().unwrap()["suite"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_name_is_made_of_what_there_is() {
    for (text, name) in [
        ("Some Project", Some("some-project")),
        ("_x", Some("x")),
        ("zope.interface", Some("zope.interface")),
        ("ü", None),
        ("", None),
    ] {
        assert_eq!(project_name(text).as_deref(), name, "{text}");
    }
}
