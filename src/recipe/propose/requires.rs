//! Chooses the requirements of the tests.

use super::survey::{Environment, Survey, is_of_tests};
use super::{ChoiceReason, Proposal, imports, names, write};
use crate::domain::package::normalized;
use crate::recipe::check::ENTRIES_MOST;
use crate::recipe::requirement::{self, Entry};
use std::collections::BTreeSet;

/// The requirements of the tests, from one place in the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequirementList {
    pub requires: Vec<String>,
    pub groups: Vec<String>,
    /// The normalized names of the distributions in the list.
    pub names: BTreeSet<String>,
    /// All requirements, one by one.
    pub lines: Vec<String>,
    /// Whether the list comes from the imports of the tests, because the project has no better one.
    pub is_of_imports: bool,
    /// The reason for the choice, which names the place.
    pub why: String,
}

impl RequirementList {
    /// Returns the keys of the recipe for this list.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        let lists = [("requires", &self.requires), ("groups", &self.groups)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        lists.map(|(key, list)| format!("{key} = {}", write::list(list)))
    }
}

/// Names of extras and groups for tests, best first.
const TESTS: [&str; 8] = [
    "test",
    "tests",
    "testing",
    "pytest",
    "unit",
    "test-all",
    "tests-all",
    "all-tests",
];
/// Names of extras and groups that also contain other tools.
const DEVELOPMENT: [&str; 4] = ["dev", "develop", "development", "devel"];

/// Returns the lists of the tests' requirements in the project, best first. The last one comes from the imports of the
/// tests. There is always at least one.
pub fn lists(survey: &Survey) -> Vec<RequirementList> {
    let mut found = Vec::new();
    for names in [&TESTS[..], &DEVELOPMENT[..]] {
        for name in names {
            found.extend(extra(survey, name));
            found.extend(group(survey, name));
        }
        if names.len() == TESTS.len() {
            found.extend(environments(survey));
            found.extend(files(survey, "test"));
        } else {
            found.extend(files(survey, "dev"));
        }
    }
    // a list without the test runner has another purpose
    let runner = if uses_pytest(survey) { Some("pytest") } else { None };
    found.retain(|list: &RequirementList| {
        runner.is_none_or(|runner| list.names.contains(runner))
            || list
                .names
                .iter()
                .any(|name| name.starts_with("pytest-") || imported(survey).contains(name))
    });
    found.push(imports::list(survey, runner));
    let mut seen = BTreeSet::new();
    found.retain(|list| seen.insert((list.requires.clone(), list.groups.clone())));
    most_complete_first(survey, &mut found);
    found
}

fn uses_pytest(survey: &Survey) -> bool {
    super::suite::uses_pytest(survey)
}

/// Returns the normalized names of the distributions that tests import.
fn imported(survey: &Survey) -> BTreeSet<String> {
    let modules = survey
        .imports
        .iter()
        .filter_map(|(module, _)| names::distribution(module));
    modules.map(|name| normalized(&of_requirement(&name))).collect()
}

fn find<'a>(
    table: &'a std::collections::BTreeMap<String, Vec<String>>,
    wanted: &str,
) -> Option<(&'a String, &'a Vec<String>)> {
    let mut entries = table.iter();
    entries.find(|(name, lines)| normalized(name) == wanted && !lines.is_empty())
}

fn extra(survey: &Survey, wanted: &str) -> Option<RequirementList> {
    let (name, lines) = find(&survey.extras, wanted)?;
    let entry = format!(".[{name}]");
    requirement::parse(&entry).ok()?;
    Some(RequirementList {
        why: format!("the project has the extra {}", write::text(name)),
        requires: vec![entry],
        groups: Vec::new(),
        names: names_of(lines),
        lines: lines.clone(),
        is_of_imports: false,
    })
}

fn group(survey: &Survey, wanted: &str) -> Option<RequirementList> {
    let (name, lines) = find(&survey.groups, wanted)?;
    // the check of the recipe would refuse a group that requires an address
    lines
        .iter()
        .all(|line| requirement::parse(line).is_ok())
        .then_some(())?;
    Some(RequirementList {
        why: format!("pyproject.toml has the dependency group {}", write::text(name)),
        requires: Vec::new(),
        groups: vec![write::line(name)],
        names: names_of(lines),
        lines: lines.clone(),
        is_of_imports: false,
    })
}

pub(super) fn names_of(lines: &[String]) -> BTreeSet<String> {
    lines.iter().map(|line| normalized(&of_requirement(line))).collect()
}

/// Returns the name in a requirement, or an empty text if it has none.
pub fn of_requirement(line: &str) -> String {
    match requirement::parse(line) {
        Ok(Entry::Package { name, .. }) => name,
        _ => String::new(),
    }
}

/// Returns the lists that the environments of tox, nox and hatch install.
fn environments(survey: &Survey) -> Vec<RequirementList> {
    let tox = survey.tox.iter().map(|tox| (tox.name.clone(), tox));
    let nox = survey.nox.iter().filter(|session| is_of_tests(&session.name));
    let nox = nox.map(|session| (format!("the session {} of noxfile.py", session.name), session));
    let hatch = survey.hatch.iter();
    let hatch = hatch.map(|environment| (format!("the environment {} of hatch", environment.name), environment));
    tox.chain(nox)
        .chain(hatch)
        .filter_map(|(place, environment)| of_environment(survey, &place, environment))
        .collect()
}

fn of_environment(survey: &Survey, place: &str, environment: &Environment) -> Option<RequirementList> {
    let why = format!("{} installs that for the tests", write::line(place));
    let extras = environment.extras.iter().chain(&environment.installs);
    let extras = extras.filter_map(|entry| match entry.split_once('[') {
        None => find(&survey.extras, &normalized(entry)).filter(|_| environment.extras.contains(entry)),
        Some((".", rest)) => find(&survey.extras, &normalized(rest.trim_end_matches(']'))),
        Some(_) => None,
    });
    let mut found = RequirementList {
        why,
        ..RequirementList::default()
    };
    for (name, lines) in extras {
        found.requires.push(format!(".[{name}]"));
        found.names.extend(names_of(lines));
        found.lines.extend(lines.iter().cloned());
    }
    for wanted in &environment.groups {
        if let Some(group) = group(survey, &normalized(wanted)) {
            found.groups.extend(group.groups);
            found.names.extend(group.names);
            found.lines.extend(group.lines);
        }
    }
    let mut lines = Vec::new();
    for line in &environment.installs {
        let file = line
            .strip_prefix("-r")
            .map(|file| file.trim().replace("{toxinidir}/", ""));
        // nox passes the option and the file as separate arguments
        let file = file
            .filter(|file| !file.is_empty())
            .or_else(|| line.ends_with(".txt").then(|| line.clone()));
        match file {
            Some(file) => {
                let named = survey.requirement_files.iter().find(|other| other.path == file);
                lines.extend(named.into_iter().flat_map(|file| file.lines.iter().cloned()));
            }
            None => lines.push(line.clone()),
        }
    }
    let (requires, names) = usable(survey, &lines);
    found.lines.extend(requires.iter().cloned());
    found.requires.extend(requires);
    found.names.extend(names);
    found.requires.truncate(ENTRIES_MOST);
    (!found.names.is_empty()).then_some(found)
}

/// Returns the lists in requirement files whose paths contain a word, and in groups of poetry, pdm and uv whose names
/// contain it.
fn files(survey: &Survey, word: &str) -> Vec<RequirementList> {
    let files = survey
        .requirement_files
        .iter()
        .map(|file| (file.path.clone(), &file.lines));
    let groups = survey
        .poetry
        .iter()
        .map(|(name, lines)| (format!("the group {name} of pyproject.toml"), lines));
    let named = files
        .chain(groups)
        .filter(|(place, _)| place.to_lowercase().contains(word));
    let found = named.filter_map(|(place, lines)| {
        let (requires, names) = usable(survey, lines);
        (!requires.is_empty()).then(|| RequirementList {
            lines: requires.clone(),
            requires,
            groups: Vec::new(),
            names,
            is_of_imports: false,
            why: format!("{} lists that", write::line(&place)),
        })
    });
    found.collect()
}

/// Returns the lines that a recipe can contain: requirements from the index, without tools that no test needs, at most
/// [`ENTRIES_MOST`]. Also returns their names.
fn usable(survey: &Survey, lines: &[String]) -> (Vec<String>, BTreeSet<String>) {
    let own = normalized(&survey.name);
    let imported = imported(survey);
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for line in lines {
        // a line `py39: dep` of tox applies to some environments only
        if line.contains(": ") || line.ends_with(".txt") {
            continue;
        }
        let name = normalized(&of_requirement(line));
        let is_tool = names::is_of_no_test(&name) && !imported.contains(&name);
        if !name.is_empty() && name != own && !is_tool && found.len() < ENTRIES_MOST && names.insert(name) {
            found.push(write::line(line));
        }
    }
    (found, names)
}

/// Moves the list that covers most imports of the tests to the front. Among equals, the first wins.
fn most_complete_first(survey: &Survey, found: &mut [RequirementList]) {
    let mut needed = imported(survey);
    let have = names_of(&survey.dependencies);
    needed.retain(|name| !have.contains(name) && *name != normalized(&survey.name));
    let missing = |list: &RequirementList| needed.difference(&list.names).count();
    // the last list comes from the imports themselves, and is only a fallback
    let others = found.len().saturating_sub(1);
    let best = found
        .iter()
        .take(others)
        .enumerate()
        .min_by_key(|(_, list)| missing(list));
    if let Some((best, _)) = best
        && let Some(list) = found.get_mut(..=best)
    {
        list.rotate_right(1);
    }
}

impl RequirementList {
    /// Returns the requirements one by one, without some distributions. Returns `None` if the list has none of these.
    pub fn without(&self, survey: &Survey, left_out: &BTreeSet<String>) -> Option<Self> {
        if self.names.is_disjoint(left_out) {
            return None;
        }
        let (mut requires, mut names) = usable(survey, &self.lines);
        requires.retain(|line| !left_out.contains(&normalized(&of_requirement(line))));
        names.retain(|name| !left_out.contains(name));
        Some(Self {
            is_of_imports: self.is_of_imports,
            lines: requires.clone(),
            requires,
            groups: Vec::new(),
            names,
            why: self.why.clone(),
        })
    }
}

impl Proposal {
    /// Returns whether the recipe requires a distribution.
    pub(super) fn has(&self, distribution: &str) -> bool {
        let name = normalized(&of_requirement(distribution));
        self.base.names.contains(&name) || self.added.iter().any(|line| normalized(&of_requirement(line)) == name)
    }

    /// Requires an extra of the project itself. Returns whether this changes the proposal.
    pub(super) fn require_extra(&mut self, extra: &str) -> bool {
        let entry = format!(".[{extra}]");
        let has = self.base.requires.contains(&entry) || self.added.contains(&entry);
        if has || requirement::parse(&entry).is_err() {
            return false;
        }
        self.added.push(entry);
        true
    }

    /// Requires a distribution. Returns whether this changes the proposal.
    pub(super) fn require(&mut self, distribution: &str) -> bool {
        let name = normalized(&of_requirement(distribution));
        let is_own = name == normalized(&self.name);
        if name.is_empty() || is_own || self.has(distribution) || self.given_up.contains(&name) {
            return false;
        }
        self.added.push(distribution.to_owned());
        true
    }
}

/// Adds the test runner, and the plugins that tests and settings use.
pub fn complete(proposal: &mut Proposal, survey: &Survey, reasons: &mut Vec<ChoiceReason>) {
    if !proposal.suite.as_ref().is_some_and(|suite| suite.is_pytest()) {
        return;
    }
    let mut add = |distribution: &str, why: String| {
        if proposal.require(distribution) {
            reasons.push(ChoiceReason::new(
                format!("requires {}", write::text(distribution)),
                why,
            ));
        }
    };
    add("pytest", "pytest runs the tests".to_owned());
    let settings = survey.pytest.iter();
    for plugin in settings.clone().flat_map(|settings| &settings.required_plugins) {
        if requirement::parse(plugin).is_ok() {
            add(
                &write::line(plugin),
                "pytest's setting `required_plugins` names it".to_owned(),
            );
        }
    }
    for setting in settings.flat_map(|settings| &settings.keys) {
        if let Some(plugin) = names::of_setting(setting) {
            add(
                plugin.distribution,
                format!("pytest's setting `{}` is that of the plugin", write::line(setting)),
            );
        }
    }
    for fixture in &survey.arguments {
        if let Some(plugin) = names::of_fixture(fixture) {
            add(
                plugin.distribution,
                format!("tests use its fixture `{}`", write::line(fixture)),
            );
        }
    }
    for mark in &survey.marks {
        if let Some(plugin) = names::of_mark(mark).filter(|plugin| !plugin.is_dispensable) {
            add(
                plugin.distribution,
                format!("tests bear its mark `{}`", write::line(mark)),
            );
        }
    }
}
