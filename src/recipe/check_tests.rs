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
    assert!(shown.contains("projects/demo.toml:7:9"), "{shown}");
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
