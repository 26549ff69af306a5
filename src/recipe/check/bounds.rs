//! Checks the bounds of a recipe: the resources that it may ask for, and the number and size of its parts. Registered
//! recipes are read at each pass, so one file must not slow down all others.

use super::Checker;
use super::most::{
    COMMAND_MOST, CONDITIONS_MOST, ENTRIES_MOST, INSTALL_MOST, KNOWN_FAILURES_MOST, LINE_MOST, MODES_MOST,
    SECTIONS_MOST, SUITES_MOST, TEXT_MOST,
};
use crate::domain::limits::Limits;
use crate::domain::suite::{Source, Suite};
use crate::recipe::{KnownFailure, Recipe, Steps};
use std::ops::Range;
use toml::Spanned;

/// Returns the beginning of a line.
fn cut(line: &str) -> &str {
    let end = line.char_indices().nth(80).map_or(line.len(), |(at, _)| at);
    &line[..end]
}

impl Checker<'_> {
    /// Checks the limits and sizes of the steps of the file or of a section.
    pub(super) fn bounds(&mut self, steps: &Steps<'_>) {
        if let Some(limits) = steps.limits {
            let asked = limits.get_ref().within(&Limits::unbounded());
            // the minimum of a number and NaN is the number, so check the recipe's own value
            let cpus = limits.get_ref().cpus.unwrap_or(asked.cpus);
            if let Some(reason) = (Limits { cpus, ..asked }).impossible() {
                self.say(
                    limits.span(),
                    reason,
                    "below that no container starts; leave the key out for the default",
                );
            }
        }
        let everywhere = || 0..0;
        let suites = steps.suite.unwrap_or_default();
        self.at_most(
            "suite",
            suites.len(),
            SUITES_MOST,
            suites.last().map_or(0..0, |suite| suite.span()),
        );
        for suite in suites {
            let Suite { run, modes, .. } = suite.get_ref();
            self.short("run", run, COMMAND_MOST, suite.span());
            self.at_most("modes", modes.len(), MODES_MOST, suite.span());
            for mode in modes {
                self.short("modes", &mode.to_string(), LINE_MOST, suite.span());
            }
        }
        for source in steps.source.into_iter().chain(steps.extra_sources.unwrap_or_default()) {
            self.source_texts(source);
        }
        self.entries("extra_sources", steps.extra_sources);
        self.entries("system", steps.system);
        for package in steps.system.unwrap_or_default() {
            self.short("system", package.get_ref(), LINE_MOST, package.span());
        }
        self.entries("requires", steps.requires);
        self.entries("groups", steps.groups);
        let install = steps.install.unwrap_or_default();
        self.at_most(
            "install",
            install.iter().map(String::len).sum(),
            INSTALL_MOST,
            everywhere(),
        );
        self.at_most("env", steps.env.map_or(0, |env| env.len()), ENTRIES_MOST, everywhere());
        for (name, value) in steps.env.into_iter().flatten() {
            self.short("env", value, COMMAND_MOST, everywhere());
            self.short("env", name, LINE_MOST, everywhere());
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) {
                let message = format!("`{}` can't be the name of a variable", cut(name));
                self.say(everywhere(), message, "use letters, digits and `_` as keys of `env`");
            }
        }
    }

    fn entries<T>(&mut self, key: &str, list: Option<&[Spanned<T>]>) {
        let list = list.unwrap_or_default();
        let last = list.last().map_or(0..0, Spanned::span);
        self.at_most(key, list.len(), ENTRIES_MOST, last);
    }

    fn source_texts(&mut self, source: &Spanned<Source>) {
        let Source {
            name,
            pypi,
            version,
            sha256: _,
            git,
            svn,
            rev,
            url,
            path,
            subfolder,
            submodules: _,
        } = source.get_ref();
        for (key, text, most) in [
            ("name", name, LINE_MOST),
            ("pypi", pypi, LINE_MOST),
            ("version", version, LINE_MOST),
            ("git", git, TEXT_MOST),
            ("svn", svn, TEXT_MOST),
            ("rev", rev, LINE_MOST),
            ("url", url, TEXT_MOST),
            ("path", path, LINE_MOST),
            ("subfolder", subfolder, LINE_MOST),
        ] {
            self.short(key, text.as_deref().unwrap_or_default(), most, source.span());
        }
    }

    /// Checks the number and size of everything besides the steps.
    pub(super) fn counts(&mut self, recipe: &Recipe) {
        let here = recipe.name.span();
        self.homepage(&recipe.homepage);
        self.at_most("section", recipe.section.len(), SECTIONS_MOST, here.clone());
        self.at_most(
            "known_failure",
            recipe.known_failure.len(),
            KNOWN_FAILURES_MOST,
            here.clone(),
        );
        self.short("summary", &recipe.summary, LINE_MOST, here.clone());
        self.short("homepage", &recipe.homepage, LINE_MOST, here.clone());
        for failure in recipe.known_failure.iter().take(KNOWN_FAILURES_MOST) {
            let KnownFailure { test, reason, .. } = failure.get_ref();
            self.short("test", test, TEXT_MOST, failure.span());
            self.short("reason", reason, TEXT_MOST, failure.span());
        }
        let whens = recipe.section.iter().map(|section| &section.when);
        for when in recipe.when.iter().chain(whens.take(SECTIONS_MOST)) {
            self.at_most("when", when.0.len(), CONDITIONS_MOST, here.clone());
        }
        let needs = recipe.needs.iter().map(|label| label.get_ref());
        let branches = recipe.branches.iter().flatten();
        for (key, names) in [
            ("owners", recipe.owners.iter().collect::<Vec<_>>()),
            ("labels", recipe.labels.iter().collect()),
            ("needs", needs.collect()),
            ("branches", branches.collect()),
            (
                "exclude",
                recipe.exclude.iter().map(|exclude| &exclude.reason).collect(),
            ),
            (
                "variant",
                recipe.exclude.iter().map(|exclude| &exclude.variant).collect(),
            ),
        ] {
            self.at_most(key, names.len(), ENTRIES_MOST, here.clone());
            for name in names.into_iter().take(ENTRIES_MOST) {
                self.short(key, name, LINE_MOST, here.clone());
            }
        }
    }

    fn at_most(&mut self, key: &str, count: usize, most: usize, span: Range<usize>) {
        if count > most {
            let unit = if key == "install" { " bytes" } else { "" };
            self.say(
                span,
                format!("`{key}` has {count}{unit}"),
                format!("at most {most}{unit}"),
            );
        }
    }

    fn short(&mut self, key: &str, text: &str, most: usize, span: Range<usize>) {
        if text.len() > most {
            self.say(
                span,
                format!("a text in `{key}` has {} bytes", text.len()),
                format!("at most {most}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::recipe::check::check;

    const START: &str = "name = \"p\"\nsource = { pypi = \"p\" }\n";
    const SUITE: &str = "[[suite]]\nname = \"s\"\nrun = \"true\"\n";

    fn problems(more: &str) -> String {
        check("p.toml", &format!("{START}{more}{SUITE}")).plain()
    }

    #[test]
    fn limits_that_no_container_can_have_are_refused() {
        for limits in [
            "memory = \"5MiB\"",
            "cpus = 0.001",
            "pids = 1",
            "work = \"1KiB\"",
            "cpus = nan",
        ] {
            let shown = problems(&format!("limits = {{ {limits} }}\n"));
            assert!(shown.contains("must be at least"), "{limits}: {shown}");
        }
        assert_eq!(problems("limits = { memory = \"6MiB\", cpus = 0.01, pids = 8 }\n"), "");
    }

    #[test]
    fn everything_has_a_bound() {
        let long = "x".repeat(10_000);
        let many = |name: &str, count: usize| format!("{name} = [{}]\n", "\"x\", ".repeat(count));
        for (more, says) in [
            (format!("summary = \"{long}\"\n"), "a text in `summary` has 10000 bytes"),
            (many("owners", 101), "`owners` has 101"),
            (many("requires", 101), "`requires` has 101"),
            (many("system", 101), "`system` has 101"),
            (
                format!("install = [\"{long}\", \"{long}\"]\n"),
                "`install` has 20000 bytes",
            ),
            (
                format!("env = {{ A = \"{long}\" }}\n"),
                "a text in `env` has 10000 bytes",
            ),
            (
                "env = { \"A=B\" = \"1\" }\n".to_owned(),
                "can't be the name of a variable",
            ),
            ("[[section]]\nwhen = \">=3\"\n".repeat(33), "`section` has 33"),
            (
                (0..33)
                    .map(|n| format!("[[suite]]\nname = \"s{n}\"\nrun = \"x\"\n"))
                    .collect(),
                "`suite` has 34",
            ),
            (
                format!("[[suite]]\nname = \"t\"\nrun = \"{long}\"\n"),
                "a text in `run` has 10000 bytes",
            ),
        ] {
            let shown = problems(&more);
            assert!(shown.contains(says), "{says}: {shown}");
        }
        // a large file is refused before it is parsed, and the problem does not quote it
        let shown = problems(&format!("summary = \"{}\"\n", "x".repeat(30 << 20)));
        assert!(
            shown.contains("a recipe has 128 KiB at most") && shown.len() < 1_000,
            "{}",
            shown.len()
        );
    }
}
