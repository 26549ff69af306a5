use super::*;

const GOOD: &str = r#"name = "demo"
source = { pypi = "demo", version = "1.0", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
[[suite]]
name = "tests"
run = "python -m pytest"
"#;

fn problems(text: &str) -> String {
    check("projects/demo.toml", text).plain()
}

#[test]
fn a_good_recipe_has_no_problems() {
    let checked = check("projects/demo.toml", GOOD);
    assert!(checked.problems.is_empty(), "{}", checked.plain());
    assert_eq!(checked.recipe.unwrap().name.get_ref(), "demo");
}

#[test]
fn a_misspelt_key_has_its_place_and_the_fix() {
    let shown = problems(&GOOD.replace("run =", "rum ="));
    assert!(shown.contains("projects/demo.toml:5:1"), "{shown}");
    assert!(
        shown.contains("unknown key `rum`") && shown.contains("did you mean `run`?"),
        "{shown}"
    );
}

#[test]
fn each_mistake_has_its_place_and_its_fix() {
    for (from, to, says) in [
        ("name = \"demo\"", "name = \"other\"", "call the file `other.toml`"),
        ("name = \"demo\"", "name = \"Demo!\"", "can't be a project's name"),
        ("pypi = \"demo\", ", "", "exactly one of"),
        (
            ", sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
            "",
            "go together",
        ),
        ("e3b0c442", "xyz", "not a SHA-256"),
        ("version = \"1.0\"", "version = \"new one\"", "not a version"),
        ("python -m pytest", " ", "runs nothing"),
        (
            "pypi = \"demo\", version = \"1.0\"",
            "path = \"../../etc\"",
            "is not the path of a folder below",
        ),
        (
            "pypi = \"demo\", version = \"1.0\"",
            "git = \"--upload-pack=evil\", rev = \"x\"",
            "not an address",
        ),
        (
            "[[suite]]",
            "needs = [\"a b\"]\n[[suite]]",
            "can't be a label of a host",
        ),
        ("[[suite]]", "tier = 9\n[[suite]]", "a tier is 1, 2 or 3"),
        (
            "[[suite]]",
            "when = \"3.9 or so\"\n[[suite]]",
            "not a set of Python versions",
        ),
        ("[[suite]]", "[limits]\nmemory = \"2GB\"\n[[suite]]", "not a size"),
        ("[[suite]]", "[limits]\ncpus = -1.0\n[[suite]]", "at least 0.01"),
        (
            "[[suite]]",
            "system = [\"-oDebug=1\"]\n[[suite]]",
            "not the name of a package",
        ),
        (
            "run = \"python -m pytest\"",
            "run = \"x\"\nreport = \"/etc/passwd\"",
            "outside the source folder",
        ),
        ("[[suite]]", "[[suit]]", "did you mean `suite`?"),
        (
            "[[suite]]",
            "[[suite]]\nmodes = [\"-X importtime\"]",
            "the modes are `-X dev`",
        ),
        ("[[suite]]", "[[suite]]\nmodes = [\"-X dev\"]", "add `when = \">=3.7\"`"),
        (
            "[[suite]]",
            "when = \">=3.7\"\nenv = { PYTHONWARNINGS = \"error\" }\n[[suite]]\nmodes = [\"-W ignore\"]",
            "remove it from `env`",
        ),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let shown = problems(&text).replace("\n  │", "");
        assert!(shown.contains(says), "{to}: {shown}");
    }
}

#[test]
fn all_problems_are_shown_at_once() {
    let text = GOOD
        .replace("name = \"demo\"", "name = \"other\"")
        .replace("python -m pytest", "");
    assert_eq!(check("projects/demo.toml", &text).problems.len(), 2);
}

#[test]
fn a_recipe_without_anything_to_run_is_refused() {
    assert!(problems("name = \"demo\"").contains("no suite to run"));
}

#[test]
fn junk_is_refused_without_a_panic() {
    for text in [
        "",
        "\u{0}",
        "name = ",
        "[[[",
        "name = 3",
        "= = =",
        "name = \"é\u{200b}\"",
    ] {
        assert!(!check("projects/demo.toml", text).problems.is_empty(), "{text:?}");
    }
}

#[test]
fn a_mode_has_its_place_and_wants_pythons_that_have_it() {
    let with = |modes: &str, more: &str| {
        let text = GOOD.replace("[[suite]]", &format!("{more}\n[[suite]]"));
        format!("{text}modes = [{modes}]\n")
    };
    let shown = problems(&with("\"-W error\", \"-X importtime\"", ""));
    assert!(shown.contains("projects/demo.toml:7:22"), "{shown}");
    assert!(shown.contains("`-X importtime` is not a mode of a suite"), "{shown}");

    let shown = problems(&with("\"-X dev\"", "when = \">=2.7\"")).replace("\n  │", "");
    assert!(shown.contains("but runs on 3.6 too"), "{shown}");
    assert!(shown.contains("projects/demo.toml:4:1"), "{shown}");
    for (modes, more) in [
        ("\"-X dev\"", "when = \">=3.7\""),
        ("\"-W error\", \"-OO\"", "when = \">=2.7\""),
        ("\"-O\"", ""),
    ] {
        assert_eq!(problems(&with(modes, more)), "", "{modes}");
    }
    // a section for old Pythons, with suites that lack it
    let section = "[[section]]\nwhen = \"<3.7\"\n[[section.suite]]\nname = \"tests\"\nrun = \"x\"\n";
    assert_eq!(problems(&(with("\"-X dev\"", "") + section)), "");
    let other = section.replace("<3.7", "<3.5");
    assert!(problems(&(with("\"-X dev\"", "") + &other)).contains("on 3.6 too"));
}

/// Returns the problems of a recipe, each as `line: message (help)`.
fn lines(text: &str) -> Vec<String> {
    let problems = check("projects/demo.toml", text).problems;
    let line = |problem: &Problem| text[..problem.span().start].matches('\n').count() + 1;
    let shown = problems.iter().map(|problem| {
        let help = problem.help.as_deref().unwrap_or_default();
        format!("{}: {problem} ({help})", line(problem))
    });
    shown.collect()
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    let text = r#"name = "Demo"
summary = 3
tier = "high"
wen = ">=3.9"
source = { pypi = "demo", verison = "1.0", rev = "-x" }
requires = ["pytest =>8", "ok", 7, "foo @ https://example.org/foo.whl"]
groups = ["a b"]
limits = { memory = "2GB", silence = "soon" }
[[suite]]
name = "tests"
rum = "python -m pytest"
modes = ["-X importtime", "-W error", "-b"]
[[suite]]
name = "more"
[[section]]
requires = ["pytest=8"]
colour = "red"
"#;
    let found = lines(text);
    let expected = [
        "1: `Demo` can't be a project's name",
        "1: the name `Demo` differs from the file's",
        "2: invalid type: integer `3`, expected a string (write a text in quotes",
        "3: invalid type: string \"high\"",
        "4: unknown key `wen` (did you mean `when`?)",
        "5: `version` and `sha256` go together",
        "5: `rev` is not a revision",
        "5: unknown key `verison` (did you mean `version`?)",
        "6: `pytest =>8`: `=>8` is not a set of versions (did you mean `pytest>=8`?)",
        "6: invalid type: integer `7`",
        "6: `foo @ https://example.org/foo.whl` is required from an address",
        "7: `a b` is not the name of a dependency group",
        "8: `2GB` is not a size",
        "8: `soon` is not a duration",
        "11: unknown key `rum` (did you mean `run`?)",
        "12: `-X importtime` is not a mode of a suite",
        "12: `-b` is not a mode of a suite",
        "13: `run` is missing here (add `run = ..`",
        "15: `when` is missing here",
        "16: `pytest=8`: `=8` is not a set of versions (did you mean `pytest==8`?)",
        "17: unknown key `colour` (the keys here are",
    ];
    let all = found.join("\n");
    for text in expected {
        assert!(found.iter().any(|line| line.starts_with(text)), "{text}\n{all}");
    }
    assert_eq!(found.len(), expected.len(), "{all}");
}

#[test]
fn what_follows_from_a_mistake_is_not_reported() {
    let only = |from: &str, to: &str, says: &str| {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let found = lines(&text);
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(found[0].contains(says), "{to}: {found:?}");
    };
    only("name = \"tests\"", "name = 3", "expected a string");
    only("name = \"demo\"", "name = 3", "expected a string");
    only("name = \"demo\"\n", "", "`name` is missing");
    only("pypi = \"demo\"", "pypi = 3", "expected a string");
    only("[[suite]]", "[[suit]]", "did you mean `suite`?");
    only("source =", "sorce =", "did you mean `source`?");
    let source = GOOD.lines().nth(1).unwrap();
    only(source, "source = \"demo\"", "write a table");
    only("run = \"python -m pytest\"", "run = [\"a\"]", "expected a string");
}

#[test]
fn errors_of_syntax_hide_no_other_line() {
    let text = GOOD.replace("name = \"tests\"", "name = tests") + "modes = [\"-b\"]\nrun = \"again\"\n";
    let found = lines(&text);
    assert!(found.iter().any(|line| line.starts_with("4: ")), "{found:?}");
    assert!(
        found.iter().any(|line| line.starts_with("6: `-b` is not a mode")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|line| line.starts_with("7: duplicate key")),
        "{found:?}"
    );
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn the_project_itself_is_no_requirement() {
    for (entry, help) in [("demo[test]>=1", "write `\".[test]\"`"), ("Demo", "remove it")] {
        let text = GOOD.replace("[[suite]]", &format!("requires = [\"{entry}\"]\n[[suite]]"));
        let found = lines(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("is the project itself") && found[0].contains(help),
            "{found:?}"
        );
    }
}

#[test]
fn keys_of_sources_are_checked() {
    let with = |from: &str, to: &str| lines(&GOOD.replace(from, to)).join("\n");
    let git = "source = { git = \"https://example.org/p\", rev = \"v1\"";
    let source = GOOD.lines().nth(1).unwrap();
    assert_eq!(
        with(
            source,
            &format!("{git}, submodules = false, subfolder = \"python/core\" }}")
        ),
        ""
    );
    assert!(with("pypi = \"demo\"", "pypi = \"demo\", submodules = true").contains("for git sources"));
    for folder in ["../x", "/etc", ".git", "", "a//b"] {
        let shown = with(source, &format!("{git}, subfolder = \"{folder}\" }}"));
        assert!(shown.contains("within the source"), "{folder}: {shown}");
    }
}

#[test]
fn a_login_in_a_recipe_is_refused_and_not_repeated() {
    for source in [
        "git = \"https://hal9000:s3cret@h.org/x\", rev = \"main\"",
        "svn = \"https://hal9000:s3cret@h.org/x\", rev = \"1\"",
        "url = \"https://hal9000:s3cret@h.org/x.tgz\", sha256 = \"x\"",
        "git = \"https://hal9000:s3cret@h.org/x\", rev = main",
        "git = [\"https://hal9000:s3cret@h.org/x\"]",
    ] {
        let text = format!("name = \"p\"\nsource = {{ {source} }}\n[[suite]]\nname = \"t\"\nrun = \"true\"\n");
        let report = check("p.toml", &text).plain();
        assert!(!report.contains("s3cret") && !report.contains("hal9000"), "{report}");
        let is_wrong_type = source.contains("[") || source.ends_with("main");
        assert!(
            is_wrong_type || report.contains("holds a login, and everybody can read a recipe"),
            "{report}"
        );
    }
}

#[test]
fn a_query_in_an_address_is_refused_and_not_repeated() {
    for source in [
        "git = \"https://h.org/x?tok=s3cret\", rev = \"main\"",
        "git = \"https://h.org/x?s3cret\", rev = \"main\"",
        "svn = \"https://h.org/x?tok=s3cret\", rev = \"1\"",
    ] {
        let text = format!("name = \"p\"\nsource = {{ {source} }}\n[[suite]]\nname = \"t\"\nrun = \"true\"\n");
        for text in [text.clone(), text.replace("name = \"t\"", "")] {
            let report = check("p.toml", &text).plain();
            assert!(!report.contains("s3cret"), "{report}");
            assert!(report.contains("has a query, in which a token may stand"), "{report}");
        }
    }
    let archive = "name = \"demo\"\nsource = { url = \"https://h.org/x.tgz?v=2\", sha256 = \"SHA\" }\n[[suite]]\nname = \"t\"\nrun = \"true\"\n";
    assert_eq!(problems(&archive.replace("SHA", &"0".repeat(64))), "");
}

#[test]
fn names_that_mean_something_else_are_refused() {
    let recipe = |extra: &str, system: &str, report: &str| {
        format!(
            "name = \"demo\"\nsource = {{ git = \"https://a.example/p\", rev = \"v1\" }}\nsystem = [\"{system}\"]\n\
             extra_sources = [{{ name = \"{extra}\", git = \"https://a.example/q\", rev = \"v1\" }}]\n\
             [[suite]]\nname = \"tests\"\nrun = \"true\"\nreport = \"{report}\"\n"
        )
    };
    assert_eq!(problems(&recipe("q", "libstdc++6", "out/r.xml")), "");
    assert!(problems(&recipe("Demo", "git", "r.xml")).contains("needs a name of its own"));
    for package in [".+", "libzstd.+dev", "+git", "git-", "-y", ""] {
        assert!(
            problems(&recipe("q", package, "r.xml")).contains("is not the name of a package"),
            "{package}"
        );
    }
    assert!(problems(&recipe("q", "git", &"r".repeat(300))).contains("more than 200 bytes"));
}

#[test]
fn the_first_problems_are_shown_and_that_there_may_be_more() {
    let good = "name = \"demo\"\nsource = { pypi = \"demo\" }\n";
    let suite = "[[suite]]\nname = \"t\"\nrun = \"true\"\n";
    let of = |many: usize| -> [String; 2] {
        let keys: String = (0..many).map(|number| format!("zzz{number} = 1\n")).collect();
        let labels: Vec<String> = (0..many).map(|number| format!("\"a {number}\"")).collect();
        let needs = format!("needs = [{}]\n", labels.join(", "));
        [keys, needs].map(|wrong| format!("{good}{wrong}{suite}"))
    };
    for (many, shown, has_more) in [(3, 3, false), (60, 50, true)] {
        for text in of(many) {
            let checked = check("demo.toml", &text);
            assert_eq!((checked.problems.len(), checked.has_more), (shown, has_more), "{text}");
            assert_eq!(checked.plain().contains(MORE_PROBLEMS), has_more);
        }
    }
}
