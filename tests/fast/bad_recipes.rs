//! Recipes that are wrong in ways that nobody foresaw, or that somebody made to hurt: each gets a short report with places in it, and
//! none takes long.

mod breaks;
mod shapes;

use breaks::{Break, broken};
use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use pybots::recipe::{Checked, Recipe, check};
use std::time::{Duration, Instant};

/// Bytes of a report of one recipe: a message, and what it says to do, of 50 problems.
const REPORT_MOST: usize = 200 << 10;

/// The result of a check, after a look at what every check keeps to.
fn checked(text: &str) -> Result<Checked, String> {
    let start = Instant::now();
    let checked = check("demo.toml", text);
    // to draw takes longer than to check, so most reports of short texts are not drawn
    let is_drawn = text.len() > 2_000 || text.len().is_multiple_of(8);
    let report = if is_drawn { checked.plain() } else { String::new() };
    let took = start.elapsed();
    if took > Duration::from_secs(10) {
        return Err(format!("it took {took:?}"));
    }
    if report.len() > REPORT_MOST || checked.problems.len() > 50 {
        return Err(format!("{} problems in {} bytes", checked.problems.len(), report.len()));
    }
    if checked.recipe.is_some() != checked.problems.is_empty() {
        return Err("a recipe is good, or else it has a problem".to_owned());
    }
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in &checked.problems {
        let (line, column) = problem.place();
        let length = lines.get(line - 1).map(|line| line.chars().count());
        let is_within = length.is_some_and(|length| column <= length + 1) && problem.span().start <= text.len();
        let is_drawn = report.is_empty() || report.contains(&format!("demo.toml:{line}:{column}]"));
        if !is_within || !is_drawn {
            return Err(format!(
                "{problem} lies at {line}:{column}, which is no place of the text\n{report}"
            ));
        }
    }
    Ok(checked)
}

/// So many cases, from a seed. Another seed gives others: `PYBOTS_TEST_SEED=7`.
fn runner(cases: u32, part: u8) -> TestRunner {
    let seed = std::env::var("PYBOTS_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut bytes = [part; 32];
    bytes[..8].copy_from_slice(&seed.unwrap_or(1_u64).to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn generated_recipes_are_good() {
    let ran = runner(500, 0).run(&shapes::recipe(), |recipe| {
        let text = recipe.to_string();
        let checked = checked(&text).map_err(TestCaseError::fail)?;
        match checked.problems.is_empty() {
            true => Ok(()),
            false => Err(TestCaseError::fail(checked.plain() + &text)),
        }
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

/// 2,000 recipes that are broken in one to three ways. Five tests, since they run side by side.
fn broken_recipes(part: u8) {
    let cases = (shapes::recipe(), vec(Break::any(), 1..=3)).prop_map(|(recipe, breaks)| {
        let is_bad = breaks.len() == 1 && breaks[0].is_bad_for(&recipe);
        (broken(recipe, &breaks), breaks, is_bad)
    });
    let ran = runner(2_000, part).run(&cases, |(text, breaks, is_bad)| {
        let checked = checked(&text).map_err(TestCaseError::fail)?;
        // what has no problem is a recipe by another reading too
        let is_read = || toml::from_str::<Recipe>(&text).is_ok();
        match checked.problems.is_empty() && (is_bad || !is_read()) {
            false => Ok(()),
            true => Err(TestCaseError::fail(format!("{breaks:?} went unseen in:\n{text}"))),
        }
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn broken_recipes_get_located_problems_1() {
    broken_recipes(1);
}

#[test]
fn broken_recipes_get_located_problems_2() {
    broken_recipes(2);
}

#[test]
fn broken_recipes_get_located_problems_3() {
    broken_recipes(3);
}

#[test]
fn broken_recipes_get_located_problems_4() {
    broken_recipes(4);
}

#[test]
fn broken_recipes_get_located_problems_5() {
    broken_recipes(5);
}

const HEAD: &str = "name = \"demo\"\nsource = { pypi = \"demo\" }\n";
const SUITE: &str = "[[suite]]\nname = \"s\"\nrun = \"true\"\n";

/// The most that fits into a recipe file.
fn filled(part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        let part = part(number);
        if text.len() + part.len() > 120 << 10 {
            break;
        }
        text += &part;
    }
    text
}

fn many(part: &str) -> String {
    filled(|_| part.to_owned())
}

#[test]
fn a_recipe_that_is_a_bomb_is_refused_shortly() {
    let requires = format!("requires = [{}]\n", "\"a b\",".repeat(9_000));
    let sections = "[[section]]\nwhen = \">=3\"\n".repeat(2_500);
    for (what, text) in [
        ("suites", filled(|n| format!("[[suite]]\nname=\"{n}\"\nrun=\"x\"\n"))),
        ("suites without keys", many("[[suite]]\n")),
        ("sections", many("[[section]]\nwhen=\"<3\"\n")),
        ("sections without keys", many("[[section]]\n")),
        (
            "sections that share what is wrong",
            requires.clone() + SUITE + &sections,
        ),
        (
            "sections with suites",
            many("[[section]]\nwhen=\"<3\"\n[[section.suite]]\nname=\"x\"\nrun=\"y\"\nmodes=[\"-X dev\"]\n"),
        ),
        ("requirements", requires),
        ("packages", format!("system = [{}]\n", many("\"A\","))),
        ("labels", format!("needs = [{}]\n", many("\"\","))),
        ("conditions", format!("when = \"{}>=3\"\n", many(">=3,"))),
        (
            "variables",
            format!("env = {{ {} }}\n", filled(|n| format!("\"-{n}\" = \"\","))).replace(", }", " }"),
        ),
        ("modes", format!("{SUITE}modes = [{}]\n", many("\"-O\","))),
        (
            "failures",
            many("[[known_failure]]\ntest=\"\"\nreason=\"\"\nexpires=2000-01-01\n"),
        ),
        ("unknown keys", filled(|n| format!("k{n}=1\n"))),
        ("unknown keys that are long", format!("{} = 1\n", many("k"))),
        ("duplicated keys", many("tier=1\n")),
        ("lines that are no TOML", many("=\n")),
        ("quotes", many("\"")),
        ("nested lists", format!("labels = {}\n", many("["))),
        (
            "nested lists that end",
            format!("labels = {}{}\n", "[".repeat(60_000), "]".repeat(60_000)),
        ),
        ("nested tables", format!("env = {}\n", many("{a="))),
        ("nested keys", format!("{} = 1\n", many("a.") + "a")),
        ("nested headers", format!("[{}]\n", many("a.") + "a")),
        ("a long text", format!("summary = \"{}\"\n", many("é"))),
        ("a long text of the wrong kind", format!("tier = \"{}\"\n", many("x"))),
        (
            "a long name",
            format!("[[suite]]\nname = \"{}\"\nrun = \"x\"\n", many("x")),
        ),
        ("a long requirement", format!("requires = [\"{}\"]\n", many("a;("))),
        (
            "a long version",
            format!("source = {{ pypi = \"x\", version = \"{}\" }}\n", many("1.")),
        ),
        ("a long number", format!("tier = {}\n", many("9"))),
        ("a long mode", format!("{SUITE}modes = [\"-W {}\"]\n", many("x:"))),
        ("control characters", many("\u{1}")),
        ("escapes", format!("labels = [{}]\n", many("\"\\u001b\","))),
        ("marks of direction", format!("# {}\n", many("\u{202e}"))),
        ("addresses with logins", many("# https://a:b@c?d=e ")),
        ("secrets", many("# AKIAQWERTYUIOP234567\n")),
    ] {
        // some begin with the name, and some end it
        for text in [format!("{HEAD}{text}"), format!("name = \"demo\"\n{text}"), text] {
            let text = &text[..(0..=text.len().min(128 << 10))
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap()];
            let checked = checked(text).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            assert!(!checked.problems.is_empty(), "{what}");
        }
    }
}
