//! Checks a recipe, and reports each mistake with file, line, column and the fix.

mod bounds;
mod characters;
mod modes;

use super::{Recipe, Steps};
use crate::domain::host;
use crate::domain::nearest::nearest;
use crate::domain::suite::Source;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, SourceSpan};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

/// The result of a check.
pub struct Checked {
    /// `None` if there is a problem.
    pub recipe: Option<Recipe>,
    pub problems: Vec<Problem>,
}

/// One mistake: where it is, and what to write instead.
#[derive(Debug, Clone)]
pub struct Problem {
    pub message: String,
    pub help: Option<String>,
    source: Arc<NamedSource<String>>,
    span: SourceSpan,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let here = miette::LabeledSpan::new_with_span(Some("here".to_owned()), self.span);
        Some(Box::new(std::iter::once(here)))
    }
}

impl Problem {
    /// Returns a problem at a byte range of any TOML text.
    pub fn at(file: &str, text: &str, span: Range<usize>, message: String, help: Option<String>) -> Self {
        let start = span.start.min(text.len());
        Self {
            message,
            help,
            source: Arc::new(NamedSource::new(file, text.to_owned())),
            span: (start, span.end.min(text.len()).saturating_sub(start).max(1)).into(),
        }
    }

    /// Draws the problem for a person. Set `colour` for a terminal.
    pub fn draw(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let mut text = String::new();
        match GraphicalReportHandler::new_themed(theme).render_report(&mut text, self) {
            Ok(()) => text,
            Err(_) => self.message.clone(),
        }
    }
}

impl Checked {
    /// Returns all problems as text without colours.
    pub fn plain(&self) -> String {
        self.problems.iter().map(|problem| problem.draw(false)).collect()
    }
}

/// Checks the text of one recipe file.
pub fn check(file: &str, text: &str) -> Checked {
    if let Some(problem) = too_large(file, text) {
        return Checked {
            recipe: None,
            problems: vec![problem],
        };
    }
    let recipe: Recipe = match toml::from_str(text) {
        Ok(recipe) => recipe,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let problem = toml_problem(file, text, span, error.message());
            return Checked {
                recipe: None,
                problems: vec![problem],
            };
        }
    };
    let mut checker = Checker {
        file,
        text,
        problems: Vec::new(),
    };
    checker.recipe(&recipe);
    checker.characters();
    Checked {
        recipe: checker.problems.is_empty().then_some(recipe),
        problems: checker.problems,
    }
}

/// Bytes of a recipe file.
pub const FILE_MOST: usize = 128 << 10;

/// Refuses a text that is too long to be parsed at each pass. The problem shows only its beginning, for pages repeat it.
fn too_large(file: &str, text: &str) -> Option<Problem> {
    let (length, most) = (text.len(), FILE_MOST >> 10);
    (length > FILE_MOST).then(|| {
        let message = format!("the file has {length} bytes, and a recipe has {most} KiB at most");
        let help = "move long commands into a script of the project".to_owned();
        let beginning: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        Problem::at(file, &beginning, 0..0, message, Some(help))
    })
}

/// Explains an error of the TOML parser. For a misspelt key it suggests the nearest one.
pub fn toml_problem(file: &str, text: &str, span: Range<usize>, message: &str) -> Problem {
    let (message, help) = match message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    {
        Some((key, rest)) => {
            let keys: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
            let help = match nearest(key, &keys) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are: {}", keys.join(", ")),
            };
            (format!("unknown key `{key}`"), Some(help))
        }
        None => (message.to_owned(), None),
    };
    Problem::at(file, text, span, message, help)
}

struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn say(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::at(self.file, self.text, span, message.into(), Some(help.into()));
        self.problems.push(problem);
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
        self.steps(&common);
        for section in &recipe.section {
            self.steps(&section.steps());
        }
        self.modes(recipe);
        self.counts(recipe);
        let whole = |steps: &Steps<'_>| steps.source.is_some() && steps.suite.is_some_and(|s| !s.is_empty());
        let complete = whole(&common)
            || (!recipe.section.is_empty() && recipe.section.iter().all(|section| whole(&section.steps().or(common))));
        if !complete {
            self.say(
                recipe.name.span(),
                "the recipe has no `source`, or no suite to run",
                "add `source = { pypi = \"..\", version = \"..\", sha256 = \"..\" }` and a `[[suite]]` with `name` and `run`",
            );
        }
    }

    fn name(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
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

    fn steps(&mut self, steps: &Steps<'_>) {
        if let Some(source) = steps.source {
            self.source(source);
        }
        let mut names = BTreeSet::new();
        for extra in steps.extra_sources.unwrap_or_default() {
            self.source(extra);
            match extra.get_ref().name.as_deref() {
                Some(name) if is_name(&name.to_lowercase()) && names.insert(name.to_owned()) => {}
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
            if text.is_empty() || text.starts_with('-') || text.ends_with('-') || !text.chars().all(fine) {
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
            if inner.report.as_deref().is_some_and(leaves_folder) {
                self.say(
                    suite.span(),
                    "the report is outside the source folder",
                    "write a path relative to the source folder",
                );
            }
        }
        self.bounds(steps);
    }

    fn source(&mut self, source: &Spanned<Source>) {
        let Source {
            name: _,
            pypi,
            version,
            sha256,
            git,
            svn,
            rev,
            url,
            path,
        } = source.get_ref();
        let kinds = [pypi, git, svn, url, path].iter().filter(|kind| kind.is_some()).count();
        let span = source.span();
        if kinds != 1 {
            let help = "name exactly one of `pypi`, `git`, `svn`, `url`, `path`";
            return self.say(span, "a source comes from one place", help);
        }
        let is_sha256 = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if sha256.as_deref().is_some_and(|sha256| !is_sha256(sha256)) {
            self.say(
                span.clone(),
                "`sha256` is not a SHA-256 digest",
                "64 hexadecimal digits, as the package index shows them",
            );
        }
        if pypi.is_some() && version.is_some() != sha256.is_some() {
            self.say(
                span.clone(),
                "`version` and `sha256` go together",
                "give both to pin a release, or neither for the newest",
            );
        }
        let is_version = |text: &str| text.parse::<pep440_rs::Version>().is_ok();
        if pypi.is_some() && version.as_deref().is_some_and(|version| !is_version(version)) {
            self.say(
                span.clone(),
                "`version` is not a version",
                "as the package index shows it, e.g. `1.4.2`",
            );
        }
        if url.is_some() && sha256.is_none() {
            self.say(
                span.clone(),
                "an archive's URL needs its `sha256`",
                "so that what runs is what you checked",
            );
        }
        if (git.is_some() || svn.is_some()) && rev.is_none() {
            self.say(
                span.clone(),
                "`rev` is missing",
                "name the commit, tag or revision to take",
            );
        }
        if rev.as_deref().is_some_and(|rev| rev.starts_with('-')) {
            self.say(span.clone(), "`rev` is not a revision", "a commit, a tag or a branch");
        }
        for address in [git, svn, url].into_iter().flatten() {
            let schemes = ["https://", "http://", "git://", "svn://"];
            if !schemes.iter().any(|scheme| address.starts_with(scheme)) {
                self.say(
                    span.clone(),
                    format!("`{address}` is not an address to fetch from"),
                    "https://, http://, git:// or svn://",
                );
            }
        }
        if path.as_deref().is_some_and(|path| !is_plain_path(path)) {
            self.say(
                span,
                "`path` is not the path of a folder below the project's own",
                "name a folder below `NAME/`, such as `src`; no name in the path begins with a dot",
            );
        }
    }
}

fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphanumeric()) && text.len() <= 64 && text.chars().all(fine)
}

/// Whether a path goes down only, by names that do not begin with a dot.
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
