//! Rejects modes that can't work, because a Python lacks them or the recipe sets a variable for the same thing.

use super::Checker;
use super::most::{ENTRIES_MOST, SECTIONS_MOST};
use crate::domain::modes;
use crate::domain::suite::Suite;
use crate::domain::version::PythonVersion;
use crate::recipe::{Recipe, Steps};
use std::collections::BTreeSet;
use toml::Spanned;

/// Returns the Python versions that lack some mode, newest first.
fn old_lines() -> impl Iterator<Item = PythonVersion> {
    let three = (0..7).rev().map(|minor| (3, minor));
    let two = (0..8).rev().map(|minor| (2, minor));
    three.chain(two).map(|(major, minor)| PythonVersion {
        major,
        minor,
        full: format!("{major}.{minor}"),
    })
}

impl Checker<'_> {
    /// Reports each suite once, even if it is wrong on several Pythons.
    pub(super) fn modes(&mut self, recipe: &Recipe) {
        let mut reported = BTreeSet::new();
        for line in old_lines().filter(|line| recipe.when.as_ref().is_none_or(|when| line.is_in(&when.0))) {
            for suite in recipe.steps_for(&line).suite.unwrap_or_default() {
                self.too_old(suite, &line, &mut reported);
            }
        }
        // each section checks the common steps again, so entries beyond the bounds are ignored
        let common = recipe.steps().first(ENTRIES_MOST);
        let sections = recipe.section.iter().take(SECTIONS_MOST);
        let sections = sections.map(|section| section.steps().first(ENTRIES_MOST).or(common));
        for steps in std::iter::once(common).chain(sections) {
            self.set_twice(&steps, &mut reported);
        }
    }

    fn too_old(&mut self, suite: &Spanned<Suite>, line: &PythonVersion, reported: &mut BTreeSet<usize>) {
        let lacks = |mode: &&modes::Mode| mode.since() > (line.major, line.minor);
        let Some(mode) = suite.get_ref().modes.iter().find(lacks) else {
            return;
        };
        if reported.insert(suite.span().start) {
            let (major, minor) = mode.since();
            let (line, name) = (line.line(), &suite.get_ref().name);
            self.say(
                suite.span(),
                format!(
                    "suite `{name}` has `{mode}`, which Python has from {major}.{minor} on, but runs on {line} too"
                ),
                format!(
                    "add `when = \">={major}.{minor}\"` to the recipe, or a `[[section]]` with \
                     `when = \"<{major}.{minor}\"` whose suites lack it"
                ),
            );
        }
    }

    fn set_twice(&mut self, steps: &Steps<'_>, reported: &mut BTreeSet<usize>) {
        let Some(env) = steps.env else { return };
        for suite in steps.suite.unwrap_or_default() {
            let set = modes::variables(&suite.get_ref().modes);
            if let Some(name) = set.keys().find(|name| env.contains_key(**name))
                && reported.insert(suite.span().start)
            {
                self.say(
                    suite.span(),
                    format!(
                        "`env` sets {name}, and so do the modes of suite `{}`",
                        suite.get_ref().name
                    ),
                    "remove it from `env`; the modes set it for this suite only",
                );
            }
        }
    }
}
