//! Modes that can't hold: on a Python that lacks them, or beside a variable of the recipe's own.

use super::Checker;
use crate::domain::version::PythonVersion;
use crate::recipe::{Recipe, Steps, Suite, modes};
use std::collections::BTreeSet;
use toml::Spanned;

/// Lines before the one that has every mode, newest first.
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
    /// Each suite is told about once, whatever number of Pythons it is wrong on.
    pub(super) fn modes(&mut self, recipe: &Recipe) {
        let mut told = BTreeSet::new();
        for line in old_lines().filter(|line| recipe.when.as_ref().is_none_or(|when| line.is_in(&when.0))) {
            for suite in recipe.steps_for(&line).suite.unwrap_or_default() {
                self.too_old(suite, &line, &mut told);
            }
        }
        let common = recipe.steps();
        let sections = recipe.section.iter().map(|section| section.steps().or(common));
        for steps in std::iter::once(common).chain(sections) {
            self.set_twice(&steps, &mut told);
        }
    }

    fn too_old(&mut self, suite: &Spanned<Suite>, line: &PythonVersion, told: &mut BTreeSet<usize>) {
        let lacks = |mode: &&modes::Mode| mode.since() > (line.major, line.minor);
        let Some(mode) = suite.get_ref().modes.iter().find(lacks) else {
            return;
        };
        if told.insert(suite.span().start) {
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

    fn set_twice(&mut self, steps: &Steps<'_>, told: &mut BTreeSet<usize>) {
        let Some(env) = steps.env else { return };
        for suite in steps.suite.unwrap_or_default() {
            let set = modes::variables(&suite.get_ref().modes);
            if let Some(name) = set.keys().find(|name| env.contains_key(**name))
                && told.insert(suite.span().start)
            {
                self.say(
                    suite.span(),
                    format!(
                        "`env` sets {name}, and so do the modes of suite `{}`",
                        suite.get_ref().name
                    ),
                    "leave it to the modes, which hold for this suite alone",
                );
            }
        }
    }
}
