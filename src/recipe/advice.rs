//! Advice about a valid recipe: risks for its owner on a newer Python, on another day, or in a run whose result says
//! little. A recipe with advice can still be registered.

use super::check::{Problem, Shown, value_of};
use super::file::{Recipe, Steps};
use crate::domain::lock::is_commit;
use crate::domain::pattern::{all, is_match, pattern};
use crate::domain::suite::Source;
use crate::domain::time::Timestamp;
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;

pattern!(
    PINNED,
    r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*\(?\s*={2,3}\s*[^*,;\s]+\s*\)?\s*(?:;|$)"
);
pattern!(
    ONE_PYTHON,
    r"(?:^|[\s;&|(])((?:/usr(?:/local)?/bin/)?python[23]?\.\d+|/usr/bin/python[23]?)(?:[\s;&|)]|$)"
);
pattern!(
    HIDDEN_CODE,
    r"(?:\|\|\s*(?:true|:|exit\s+0|echo\b[^|&;]*)|;\s*(?:true|:|exit\s+0))\s*$"
);
pattern!(PIP_INSTALL, r"\bpip3?\s+install\s+([^;&|\n]+)");

/// Returns advice about a valid recipe, in the order of the text, at most [`ADVICE_MOST`] pieces. `now` decides which
/// known failures have expired.
pub fn advice(file: &str, text: &str, recipe: &Recipe, now: Timestamp) -> Vec<Problem> {
    let mut adviser = Adviser {
        file,
        text,
        shown: Shown::of(text),
        advice: Vec::new(),
        seen: BTreeSet::new(),
    };
    adviser.recipe(recipe, now);
    let mut advice = adviser.advice;
    advice.sort_by_key(|one| one.span().start);
    advice
}

/// The most pieces of advice about one recipe.
const ADVICE_MOST: usize = 50;

struct Adviser<'a> {
    file: &'a str,
    text: &'a str,
    shown: Shown<'a>,
    advice: Vec<Problem>,
    /// The advice that each place has already. Sections share the keys of the file, so a place can come up more than
    /// once.
    seen: BTreeSet<(usize, &'static str)>,
}

impl Adviser<'_> {
    fn say(&mut self, span: Range<usize>, message: &'static str, help: &str) {
        if self.advice.len() < ADVICE_MOST && self.seen.insert((span.start, message)) {
            self.advice
                .push(Problem::advice(self.file, &self.shown, span, message, help));
        }
    }

    fn recipe(&mut self, recipe: &Recipe, now: Timestamp) {
        if recipe.owners.is_empty() {
            self.say(
                recipe.name.span(),
                "the recipe names no owner",
                "add `owners = [\"you@example.org\"]`: who answers for the recipe",
            );
        }
        let future = pep440_rs::Version::new([3, 99]);
        let is_of_today = |when: &pep440_rs::VersionSpecifiers| {
            (9..40).any(|minor| when.contains(&pep440_rs::Version::new([3, minor])))
        };
        if recipe
            .when
            .as_ref()
            .is_some_and(|when| is_of_today(&when.0) && !when.0.contains(&future))
        {
            self.say(
                value_of(self.text, "when"),
                "`when` leaves out Pythons that are still to come",
                "leave out the upper bound: what a new Python breaks is what Pybots is there to find",
            );
        }
        for failure in &recipe.known_failure {
            if failure.get_ref().is_over(now) {
                self.say(
                    failure.span(),
                    "this known failure has expired, so it counts again",
                    "remove it, or set `expires` to a later day",
                );
            }
        }
        let common = recipe.steps();
        self.steps(&common);
        for section in &recipe.section {
            self.steps(&section.steps().or(common));
        }
    }

    fn steps(&mut self, steps: &Steps<'_>) {
        for source in steps.source.into_iter().chain(steps.extra_sources.unwrap_or_default()) {
            self.source(source);
        }
        for entry in steps.requires.unwrap_or_default() {
            if is_match(&PINNED, entry.get_ref()) {
                self.say(
                    entry.span(),
                    "a pinned version stops working on a Python that is newer than it",
                    "write a lower bound, e.g. `>=`: the first run pins all versions anyway, and refreshes them each week",
                );
            }
        }
        let has_network = steps.install_network == Some(true);
        for line in steps.install.unwrap_or_default() {
            let place = self.place(line);
            self.command(place.clone(), line);
            if !has_network && installs_by_name(line) {
                self.say(
                    place,
                    "install has no network, so pip finds no package there",
                    "list the package in `requires`, which are fetched before, or set `install_network = true`",
                );
            }
        }
        for suite in steps.suite.unwrap_or_default() {
            let run = &suite.get_ref().run;
            self.command(suite.span(), run);
            if is_match(&HIDDEN_CODE, run) {
                self.say(
                    suite.span(),
                    "the suite passes whatever its tests do: the end of its line hides their exit code",
                    "leave that out; list tests that are expected to fail as `[[known_failure]]`",
                );
            }
            if installs_by_name(run) {
                self.say(
                    suite.span(),
                    "suites have no network, so pip finds no package there",
                    "list the package in `requires`",
                );
            }
        }
    }

    fn source(&mut self, source: &Spanned<Source>) {
        let inner = source.get_ref();
        let is_plain = |address: &str| {
            address.to_ascii_lowercase().starts_with("http://") || address.to_ascii_lowercase().starts_with("git://")
        };
        // a digest or the id of a commit proves the content, so any transport is safe
        let is_proven = inner.sha256.is_some() || inner.rev.as_deref().is_some_and(is_commit);
        if !is_proven && inner.address().is_some_and(is_plain) {
            self.say(
                source.span(),
                "what comes from this address can be changed on its way",
                "write `https://`",
            );
        }
    }

    fn command(&mut self, span: Range<usize>, line: &str) {
        if is_match(&ONE_PYTHON, line) {
            self.say(
                span,
                "the line names one Python, which is not the one under test on other branches",
                "write `python`",
            );
        }
    }

    /// Returns the first place of a value in the text, or else the beginning.
    fn place(&self, what: &str) -> Range<usize> {
        self.text.find(what).map_or(0..0, |start| start..start + what.len())
    }
}

/// Returns whether a line makes pip install a package by its name, and not by a path or an option.
fn installs_by_name(line: &str) -> bool {
    all(&PIP_INSTALL, line).iter().any(|arguments| {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let is_offline = words
            .iter()
            .any(|word| *word == "--no-index" || word.starts_with("--find-links"));
        let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphanumeric()) && !word.contains(['/', '=']);
        let after_option = |at: usize| {
            at > 0
                && words
                    .get(at - 1)
                    .is_some_and(|word| word.starts_with('-') && word.len() == 2)
        };
        !is_offline
            && words
                .iter()
                .enumerate()
                .any(|(at, word)| is_name(word) && !after_option(at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::check;

    const GOOD: &str = r#"name = "demo"
owners = ["o@example.org"]
when = ">=3.9"
source = { git = "https://example.org/demo.git", rev = "main" }
requires = ["pytest>=8", "a[x]==1.*"]
install = ["pip install --no-deps -e .", "pip install -r requirements.txt --no-index"]
[[suite]]
name = "tests"
run = "python -m pytest"
[[known_failure]]
test = "tests: a"
reason = "is slow"
expires = 2027-06-30
"#;

    fn shown(text: &str) -> String {
        let checked = check("demo.toml", text);
        assert!(checked.problems.is_empty(), "{}", checked.plain());
        let now = Timestamp::from_millis(1_790_000_000_000); // September 2026
        let advice = advice("demo.toml", text, &checked.recipe.unwrap(), now);
        advice.iter().map(|one| one.draw(false)).collect()
    }

    #[test]
    fn a_recipe_that_lasts_gets_no_advice() {
        assert_eq!(shown(GOOD), "");
    }

    #[test]
    fn each_trap_has_its_place_and_its_way_out() {
        for (from, to, place, says) in [
            ("owners = [\"o@example.org\"]\n", "", "demo.toml:1:8", "names no owner"),
            ("\">=3.9\"", "\">=3.9,<3.15\"", "demo.toml:3:8", "still to come"),
            (
                "when = \">=3.9\"",
                "summary = \"when\"\nwhen=\">=3.9,<3.15\"",
                "demo.toml:4:6",
                "still to come",
            ),
            ("https://", "http://", "demo.toml:4:10", "changed on its way"),
            ("pytest>=8", "pytest == 8.1", "demo.toml:5:13", "write a lower bound"),
            (
                "pytest>=8",
                "pytest[x]===8.1; python_version>'3'",
                "demo.toml:5:13",
                "write a lower bound",
            ),
            (
                "-e .\"",
                "-e . && pip install wheel\"",
                "demo.toml:6:13",
                "install has no network",
            ),
            (
                "python -m pytest",
                "/usr/bin/python3 -m pytest",
                "demo.toml:7:1",
                "write `python`",
            ),
            (
                "python -m pytest",
                "cd x && python3.12 -m pytest",
                "demo.toml:7:1",
                "write `python`",
            ),
            (
                "python -m pytest",
                "python -m pytest || true",
                "demo.toml:7:1",
                "passes whatever",
            ),
            (
                "python -m pytest",
                "python -m pytest; exit 0",
                "demo.toml:7:1",
                "passes whatever",
            ),
            (
                "python -m pytest",
                "pip install tox; tox",
                "demo.toml:7:1",
                "suites have no network",
            ),
            ("2027-06-30", "2026-06-30", "demo.toml:10:1", "counts again"),
        ] {
            let shown = shown(&GOOD.replace(from, to));
            assert!(shown.contains(place) && shown.contains(says), "{to}: {shown}");
            assert_eq!(shown.matches("☞").count(), 1, "{shown}");
        }
    }

    #[test]
    fn what_old_pythons_need_is_no_trap() {
        for (from, to) in [
            ("\">=3.9\"", "\"<3\""),
            ("pytest>=8", "pytest<8"),
            (
                "https://example.org/demo.git\", rev = \"main\"",
                "https://example.org/demo.git\", rev = \"v1\"",
            ),
            ("python -m pytest", "python3 -m pytest"),
            ("python -m pytest", "python -m pytest || exit 1"),
            ("python -m pytest", "true && python -m pytest"),
        ] {
            assert_eq!(shown(&GOOD.replace(from, to)), "", "{to}");
        }
        let network = GOOD.replace(
            "install = [",
            "install_network = true\ninstall = [\"pip install wheel\", ",
        );
        assert_eq!(shown(&network), "");
    }

    #[test]
    fn sections_repeat_no_advice() {
        let text = GOOD.replace("pytest>=8", "pytest==8")
            + "[[section]]\nwhen = \"<3.12\"\ninstall = []\n[[section]]\nwhen = \">=3.12\"\n";
        assert_eq!(shown(&text).matches("write a lower bound").count(), 1);
    }
}
