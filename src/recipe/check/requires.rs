//! Rejects requirements that no resolver accepts, and extras and groups that the project does not have.

use super::most::{ENTRIES_MOST, SECTIONS_MOST};
use super::{Checker, ReadProject};
use crate::domain::package::normalized;
use crate::domain::suite::Source;
use crate::recipe::requirement::{self, Entry};
use crate::recipe::{Recipe, Steps};
use std::collections::BTreeSet;
use toml::Spanned;

/// The extras and groups that the `pyproject.toml` of a source declares.
struct Declared {
    /// `None` if code computes the extras.
    extras: Option<BTreeSet<String>>,
    groups: BTreeSet<String>,
}

impl Declared {
    fn read(text: &str) -> Option<Self> {
        let pyproject: toml::Table = text.parse().ok()?;
        let project = pyproject.get("project").and_then(toml::Value::as_table);
        let keys = |table: Option<&toml::Value>| -> BTreeSet<String> {
            let table = table.and_then(toml::Value::as_table);
            table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
        };
        let is_dynamic = |project: &toml::Table| {
            let dynamic = project.get("dynamic").and_then(toml::Value::as_array);
            dynamic.is_some_and(|keys| keys.iter().any(|key| key.as_str() == Some("optional-dependencies")))
        };
        Some(Self {
            extras: project
                .filter(|project| !is_dynamic(project))
                .map(|project| keys(project.get("optional-dependencies"))),
            groups: keys(pyproject.get("dependency-groups")),
        })
    }
}

fn holds(names: &BTreeSet<String>, name: &str) -> bool {
    names.iter().any(|other| normalized(other) == normalized(name))
}

fn listing(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => "it has none".to_owned(),
        names => format!("it has {}", names.join(", ")),
    }
}

impl Checker<'_> {
    /// Reports each entry once, even if it is wrong on several Pythons.
    pub(super) fn requires(&mut self, recipe: &Recipe, read: &ReadProject<'_>) {
        // each section checks the common steps again, so entries beyond the bounds are ignored
        let common = recipe.steps().first(ENTRIES_MOST);
        let sections = recipe.section.iter().take(SECTIONS_MOST);
        let sections = sections.map(|section| section.steps().first(ENTRIES_MOST).or(common));
        let mut reported = BTreeSet::new();
        for steps in std::iter::once(common).chain(sections) {
            let project = self.project(&steps, read, &mut reported);
            let mut names = vec![normalized(recipe.name.get_ref())];
            names.extend(
                steps
                    .source
                    .and_then(|source| source.get_ref().pypi.as_deref())
                    .map(normalized),
            );
            for entry in steps.requires.unwrap_or_default() {
                if reported.contains(&entry.span().start) {
                    continue;
                }
                let before = self.problems.len();
                self.entry(entry, &names, project.as_ref());
                if self.problems.len() > before {
                    reported.insert(entry.span().start);
                }
            }
            for group in steps.groups.unwrap_or_default() {
                if !reported.contains(&group.span().start) && self.group(group, project.as_ref()) {
                    reported.insert(group.span().start);
                }
            }
        }
    }

    /// Reads the declarations of the project that these steps fetch, and reports sources that can't be read. Returns
    /// `None` if only a fetch could read the project.
    fn project(
        &mut self,
        steps: &Steps<'_>,
        read: &ReadProject<'_>,
        reported: &mut BTreeSet<usize>,
    ) -> Option<Declared> {
        let source = steps.source?;
        for extra in steps.extra_sources.unwrap_or_default() {
            self.place(extra, read, reported);
        }
        Declared::read(&self.place(source, read, reported)?)
    }

    fn place(
        &mut self,
        source: &Spanned<Source>,
        read: &ReadProject<'_>,
        reported: &mut BTreeSet<usize>,
    ) -> Option<String> {
        match read(source.get_ref()) {
            Ok(text) => text,
            Err(message) => {
                if reported.insert(source.span().start) {
                    self.say(
                        source.span(),
                        message,
                        "name a folder that is there, relative to the recipe",
                    );
                }
                None
            }
        }
    }

    fn entry(&mut self, entry: &Spanned<String>, own: &[String], project: Option<&Declared>) {
        let text = entry.get_ref();
        match requirement::parse(text) {
            Err(wrong) => self.say(entry.span(), wrong.message, wrong.help),
            Ok(Entry::Package { name, extras }) if own.contains(&normalized(&name)) => {
                let help = match extras.as_slice() {
                    [] => "remove it: the source is installed anyway".to_owned(),
                    extras => format!("write `\".[{}]\"` for its extras", extras.join(",")),
                };
                self.say(entry.span(), format!("`{text}` is the project itself"), help);
            }
            Ok(Entry::Package { .. }) => {}
            Ok(Entry::Own { extras }) => {
                let Some(project) = project else { return };
                let Some(declared) = &project.extras else { return };
                for extra in extras.iter().filter(|extra| !holds(declared, extra)) {
                    let help = if holds(&project.groups, extra) {
                        format!("`{extra}` is a dependency group: write `groups = [\"{extra}\"]`")
                    } else {
                        format!("name one of its extras: {}", listing(declared))
                    };
                    self.say(entry.span(), format!("the project has no extra `{extra}`"), help);
                }
            }
        }
    }

    /// Checks a group. Returns whether it is wrong.
    fn group(&mut self, group: &Spanned<String>, project: Option<&Declared>) -> bool {
        let name = group.get_ref();
        if !matches!(requirement::parse(name), Ok(Entry::Package { name: whole, .. }) if whole == *name) {
            let help = "write names of [dependency-groups] in its pyproject.toml, e.g. `groups = [\"test\"]`";
            self.say(
                group.span(),
                format!("`{name}` is not the name of a dependency group"),
                help,
            );
            return true;
        }
        let Some(project) = project.filter(|project| !holds(&project.groups, name)) else {
            return false;
        };
        let help = match &project.extras {
            Some(extras) if holds(extras, name) => {
                format!("`{name}` is an extra: write `requires = [\".[{name}]\"]`")
            }
            _ => format!("name one of its groups: {}", listing(&project.groups)),
        };
        self.say(
            group.span(),
            format!("the project has no dependency group `{name}`"),
            help,
        );
        true
    }
}
