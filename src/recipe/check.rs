//! Checks a recipe, and reports each mistake with file, line, column and the fix.

mod bounds;
mod characters;
mod draft;
mod excerpt;
mod modes;
mod most;
mod problem;
mod requires;
mod secrets;
mod source;

pub use excerpt::Shown;
pub use most::ENTRIES_MOST;
pub use problem::{Problem, toml_place, value_of, without_value};

use super::{Recipe, Steps};
use crate::domain::address::Address;
use crate::domain::host;
use crate::domain::suite::Source;
use draft::Draft;
use most::{PROBLEMS_MOST, SECTIONS_MOST};
use problem::Lines;
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;

/// The result of a check.
pub struct Checked {
    /// The recipe. `None` if there is a problem.
    pub recipe: Option<Recipe>,
    pub problems: Vec<Problem>,
    /// Whether there may be more problems than the listed ones.
    pub has_more: bool,
}

/// The text after the problems if there are more than are shown.
pub const MORE_PROBLEMS: &str = "There may be more problems. Correct these, then check again.\n";

impl Checked {
    /// Returns all problems as text without colours.
    pub fn plain(&self) -> String {
        let mut text: String = self.problems.iter().map(|problem| problem.draw(false)).collect();
        if self.has_more {
            text.push_str(MORE_PROBLEMS);
        }
        text
    }
}

/// Returns the text of the `pyproject.toml` of a source. Returns `None` if the source has no such file, or if only a
/// fetch could read it. Fails if the source is not where the recipe says.
pub type ReadProject<'a> = dyn Fn(&Source) -> Result<Option<String>, String> + 'a;

/// Checks the text of one recipe file, without its sources.
pub fn check(file: &str, text: &str) -> Checked {
    check_with(file, text, |_| Box::new(|_| Ok(None)))
}

/// Checks the text of one recipe file, also against the sources that can be read. `reader` returns a reader of the
/// recipe's sources.
pub fn check_with<'r>(file: &str, text: &str, reader: impl Fn(&Recipe) -> Box<ReadProject<'r>>) -> Checked {
    if let Some(problem) = too_large(file, text) {
        return Checked {
            recipe: None,
            problems: vec![problem],
            has_more: false,
        };
    }
    let (shown, lines) = (Shown::of(text), Lines::of(text));
    let Draft {
        recipe,
        problems,
        spans,
        lost,
        is_toml,
        is_cut,
    } = draft::draft(file, text, &shown, &lines);
    let mut checker = Checker {
        file,
        text,
        shown: &shown,
        lost,
        problems: Vec::new(),
        has_more: false,
    };
    if let Some(recipe) = &recipe {
        checker.recipe(recipe);
        checker.requires(recipe, &*reader(recipe));
    }
    checker.characters();
    // consequences of a mistake that is reported already would only confuse
    let follows = |span: &Range<usize>| {
        let within = |other: &Range<usize>| span.start <= other.start && other.end <= span.end && *span != *other;
        let same_line = |other: &Range<usize>| !is_toml && lines.line(span.start) == lines.line(other.start);
        spans.iter().any(|other| within(other) || same_line(other))
    };
    let beside = std::mem::take(&mut checker.problems);
    // first, because secrets matter whatever else is wrong
    checker.secrets();
    let mut found = checker.problems;
    let mut others = problems;
    others.extend(beside.into_iter().filter(|problem| !follows(&problem.span())));
    others.sort_by_key(|problem| problem.span().start);
    found.extend(others);
    let has_more = checker.has_more || is_cut || found.len() > PROBLEMS_MOST;
    found.truncate(PROBLEMS_MOST);
    found.sort_by_key(|problem| problem.span().start);
    Checked {
        recipe: recipe.filter(|_| found.is_empty()),
        problems: found,
        has_more,
    }
}

/// The most bytes of a recipe file.
pub const FILE_MOST: usize = 128 << 10;

/// Refuses a text that is too long to parse at each pass. The problem quotes only its beginning, because pages show it.
fn too_large(file: &str, text: &str) -> Option<Problem> {
    let (length, most) = (text.len(), FILE_MOST >> 10);
    (length > FILE_MOST).then(|| {
        let message = format!("the file has {length} bytes, and a recipe has {most} KiB at most");
        let help = "move long commands into a script of the project".to_owned();
        let beginning: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        Problem::at(file, &beginning, 0..0, message, Some(help))
    })
}

/// The most bytes of the path of a report. File systems allow 255 for one name.
const REPORT_PATH_MOST: usize = 200;

struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    shown: &'a Shown<'a>,
    /// The keys that the recipe has but that could not be read.
    lost: Vec<String>,
    problems: Vec<Problem>,
    /// Whether there are more problems than these.
    has_more: bool,
}

impl Checker<'_> {
    fn say(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        match self.problems.len() < PROBLEMS_MOST {
            true => {
                let problem = Problem::within(self.file, self.shown, span, message, Some(help.into()));
                self.problems.push(problem);
            }
            false => self.has_more = true,
        }
    }

    fn recipe(&mut self, recipe: &Recipe) {
        self.name(&recipe.name);
        if let Some(tier) = recipe.tier.as_ref().filter(|tier| !(1..=3).contains(tier.get_ref())) {
            self.say(
                tier.span(),
                format!("there is no tier {}", tier.get_ref()),
                "a tier is 1, 2 or 3",
            );
        }
        for label in recipe.needs.iter().filter(|label| !host::is_name(label.get_ref())) {
            self.say(
                label.span(),
                format!("`{}` can't be a label of a host", label.get_ref()),
                "use letters, digits, `-`, `_` and `.`, at most 64",
            );
        }
        for failure in &recipe.known_failure {
            if failure.get_ref().expires.date.is_none() {
                self.say(
                    failure.span(),
                    "`expires` has no date",
                    "write a date, e.g. `expires = 2027-06-30`",
                );
            }
        }
        let common = recipe.steps();
        self.steps(&common, recipe.name.get_ref());
        for section in recipe.section.iter().take(SECTIONS_MOST) {
            self.steps(&section.steps(), recipe.name.get_ref());
        }
        self.modes(recipe);
        self.counts(recipe);
        let whole = |steps: &Steps<'_>| steps.source.is_some() && steps.suite.is_some_and(|s| !s.is_empty());
        let complete = whole(&common)
            || (!recipe.section.is_empty() && recipe.section.iter().all(|section| whole(&section.steps().or(common))));
        let is_whole = !["source", "suite", "section"]
            .iter()
            .any(|key| self.lost.iter().any(|lost| lost == key));
        if !complete && is_whole {
            self.say(
                recipe.name.span(),
                "the recipe has no `source`, or no suite to run",
                "add `source = { pypi = \"..\", version = \"..\", sha256 = \"..\" }` and a `[[suite]]` with `name` and `run`",
            );
        }
    }

    fn name(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        if self.lost.iter().any(|lost| lost == "name") && text.starts_with("nameless-") {
            return;
        }
        if !is_name(text) {
            self.say(
                name.span(),
                format!("`{text}` can't be a project's name"),
                "use lower-case letters, digits, `-`, `_` and `.`, at most 64",
            );
        }
        let stem = std::path::Path::new(self.file)
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        if let Some(stem) = stem.filter(|stem| stem != text) {
            self.say(
                name.span(),
                format!("the name `{text}` differs from the file's"),
                format!("call the file `{text}.toml`, or write `name = \"{stem}\"`"),
            );
        }
    }

    /// Checks the homepage. Pages link to it, so it must not be a script.
    fn homepage(&mut self, homepage: &str) {
        let is_plain = |rest: &str| {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            !host.is_empty() && !rest.contains(|c: char| c.is_whitespace() || "\"'<>\\".contains(c))
        };
        let rest = homepage
            .strip_prefix("https://")
            .or_else(|| homepage.strip_prefix("http://"));
        if !homepage.is_empty() && !rest.is_some_and(is_plain) {
            self.say(
                value_of(self.text, "homepage"),
                "`homepage` is not the address of a page",
                "write an address that begins with `https://`",
            );
        } else if Address::from(homepage).has_login() {
            self.say(
                value_of(self.text, "homepage"),
                "`homepage` holds a login, and everybody can read a recipe",
                "remove the login",
            );
        }
    }

    fn steps(&mut self, steps: &Steps<'_>, project: &str) {
        self.bounds(steps);
        // entries beyond a bound were reported already
        let steps = steps.first(ENTRIES_MOST);
        if let Some(source) = steps.source {
            self.source(source);
        }
        let mut names = BTreeSet::new();
        for extra in steps.extra_sources.unwrap_or_default() {
            self.source(extra);
            // the project's own source is in a folder with the project's name
            let is_own = |name: &str| name.eq_ignore_ascii_case(project);
            match extra.get_ref().name.as_deref() {
                Some(name) if is_name(&name.to_lowercase()) && !is_own(name) && names.insert(name.to_lowercase()) => {}
                _ => self.say(
                    extra.span(),
                    "an extra source needs a name of its own",
                    "add `name = \"..\"`: its folder under /work/src",
                ),
            }
        }
        for package in steps.system.unwrap_or_default() {
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
            let text = package.get_ref();
            // apt would read any other text as an option, a removal, a task or an expression
            let is_plain =
                text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.ends_with('-') && !text.contains(".+");
            if !is_plain || !text.chars().all(fine) {
                self.say(
                    package.span(),
                    format!("`{text}` is not the name of a package"),
                    "write its plain name, e.g. `libxml2-dev`",
                );
            }
        }
        let mut names = BTreeSet::new();
        for suite in steps.suite.unwrap_or_default() {
            let inner = suite.get_ref();
            if inner.run.trim().is_empty() {
                self.say(
                    suite.span(),
                    "this suite runs nothing",
                    "write its command, e.g. `run = \"python -m pytest -q\"`",
                );
            }
            if !is_name(&inner.name) || !names.insert(inner.name.clone()) {
                self.say(
                    suite.span(),
                    format!("`{}` can't be this suite's name", inner.name),
                    "give each suite a name of its own, in lower case",
                );
            }
            if inner
                .report
                .as_deref()
                .is_some_and(|report| report.len() > REPORT_PATH_MOST)
            {
                self.say(
                    suite.span(),
                    format!("the path of the report has more than {REPORT_PATH_MOST} bytes"),
                    "write a shorter path",
                );
            }
            if inner.report.as_deref().is_some_and(leaves_folder) {
                self.say(
                    suite.span(),
                    "the report is outside the source folder",
                    "write a path relative to the source folder",
                );
            }
        }
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphanumeric()) && text.len() <= 64 && text.chars().all(fine)
}

/// Returns whether a path only leads downwards, by names that do not begin with a dot.
pub fn is_plain_path(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn leaves_folder(path: &str) -> bool {
    let path = std::path::Path::new(path);
    let normal = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
    !path.components().all(normal)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "check/hostile_tests.rs"]
mod hostile_tests;
