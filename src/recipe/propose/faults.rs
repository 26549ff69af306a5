//! Finds faults in a trial that a recipe can fix, and changes the proposal.

mod install;
mod interrupted;
mod network;
mod plugins;

pub use interrupted::is_of_no_end;

use super::requires::RequirementList;
use super::suite::{remove, shadows};
use super::trial::Observed;
use super::{ChoiceReason, Proposal, Survey, names, requires, write};
use crate::domain::job::FETCH;
use crate::domain::outcome::Outcome;
use crate::domain::package::normalized;
use crate::domain::pattern::{all, is_match, pattern};
use crate::domain::results::Failure;
use std::collections::BTreeSet;

/// The exit code of pytest and unittest if they found no tests.
const NO_TESTS: i64 = 5;
pattern!(NO_PACKAGE_OF_TESTS, r"(?m)^ERROR: module or package not found: ");
pattern!(NO_MODULE, r"No module named '?([A-Za-z_][\w.]*)");
pattern!(
    TO_INSTALL,
    r#"pip3? install ['"`]?([A-Za-z0-9][\w.-]*(?:\[[\w.,-]+\])?)"#
);
pattern!(
    NO_PACKAGE,
    r#"(?:no project called |extra_sources = \[\{ name = "|Because (?:there are no versions of |all versions of |only )?)([A-Za-z0-9][\w.-]*)"#
);
pattern!(
    FROM_SOURCE,
    r"imported `(\w+)` from the source folder [^\n]* that folder lacks \d+ compiled"
);
/// The most extras that are tried together.
const EXTRAS_MOST: usize = 12;

/// Returns whether an extra is for a feature of the project, and not for its developers.
fn is_of_features(extra: &str) -> bool {
    let others = [
        "doc", "dev", "lint", "typ", "check", "cover", "enabler", "release", "bench", "build", "ci", "all", "full",
        "mypy",
    ];
    !others.iter().any(|other| extra.starts_with(other))
}

/// Changes a proposal according to its trial. Returns the changes with their reasons, or none if there is nothing to
/// change.
pub fn correct(proposal: &mut Proposal, survey: &Survey, observed: &Observed<'_>) -> Vec<ChoiceReason> {
    let mut faults = Faults {
        proposal,
        survey,
        observed,
        reasons: Vec::new(),
    };
    match observed.outcome {
        Outcome::RecipeError { reason } if observed.phase == FETCH => faults.fetch(reason),
        Outcome::RecipeError { reason } | Outcome::SetupFailed { reason, .. }
            if !observed.phase.starts_with("test") =>
        {
            faults.install(reason);
        }
        Outcome::Passed | Outcome::Failed { .. } => faults.test(),
        Outcome::TimedOut { .. } | Outcome::Crashed { .. } | Outcome::OutOfMemory => faults.interrupted(),
        _ => {}
    }
    faults.reasons
}

struct Faults<'a> {
    proposal: &'a mut Proposal,
    survey: &'a Survey,
    observed: &'a Observed<'a>,
    reasons: Vec<ChoiceReason>,
}

impl Faults<'_> {
    fn say(&mut self, choice: impl Into<String>, why: impl Into<String>) {
        self.reasons.push(ChoiceReason::new(choice, why));
    }

    fn require(&mut self, distribution: &str, why: String) {
        if self.proposal.require(distribution) {
            self.say(format!("requires {}", write::text(distribution)), why);
        }
    }

    /// Handles a failed fetch. First removes added requirements that do not exist. If there are none, removes such
    /// requirements from the list in use, or else takes the next list.
    fn fetch(&mut self, reason: &str) {
        let named: BTreeSet<String> = all(&NO_PACKAGE, reason).iter().map(|name| normalized(name)).collect();
        let name_of = |line: &String| normalized(&requires::of_requirement(line));
        let (gone, kept): (Vec<String>, Vec<String>) = self
            .proposal
            .added
            .drain(..)
            .partition(|line| named.contains(&name_of(line)));
        self.proposal.added = kept;
        for line in &gone {
            self.proposal.given_up.insert(name_of(line));
            self.say(
                format!("without {}", write::text(line)),
                format!("fetch can't get it: {}", write::line(reason)),
            );
        }
        // the requirements of a build are in no list of the tests
        let is_about_requires = [
            "dependencies: the requirements cannot be met",
            "dependencies: a package that only has sdists",
            "requires: ",
            "groups: ",
            "required from an address",
        ]
        .iter()
        .any(|text| reason.contains(text));
        if !gone.is_empty() || !is_about_requires {
            return;
        }
        if let Some(list) = self.proposal.base.without(self.survey, &named) {
            self.proposal.base = list;
            self.proposal.given_up.extend(named.iter().cloned());
            let keys: Vec<String> = self.proposal.base.keys().collect();
            self.say(
                keys.join(", "),
                format!("fetch can't get all of what was required: {}", write::line(reason)),
            );
        } else if !self.proposal.others.is_empty() {
            let next = self.proposal.others.remove(0);
            self.take(
                next,
                format!("fetch can't get what was required before: {}", write::line(reason)),
            );
        }
    }

    /// Takes another list, without the distributions that were given up.
    fn take(&mut self, list: RequirementList, why: String) {
        self.proposal.base = list.without(self.survey, &self.proposal.given_up).unwrap_or(list);
        let keys: Vec<String> = self.proposal.base.keys().collect();
        let choice = if keys.is_empty() {
            "no `requires`".to_owned()
        } else {
            keys.join(", ")
        };
        self.say(choice, why);
        let mut reasons = Vec::new();
        requires::complete(self.proposal, self.survey, &mut reasons);
        self.reasons.extend(reasons);
    }

    fn test(&mut self) {
        for package in all(&FROM_SOURCE, self.observed.log) {
            let own = self
                .survey
                .packages
                .iter()
                .find(|own| own.name == package && shadows(self.survey, own));
            if own.is_some() && remove(self.proposal, &package) {
                self.say(
                    format!("install ends with `rm -r {package}`"),
                    "the tests imported it from the source, which lacks its compiled modules",
                );
            }
        }
        let tests = self.observed.tests;
        let failed = tests.map(|tests| tests.failed.as_slice()).unwrap_or_default();
        let none_ran = tests.is_some_and(|tests| tests.total() == 0);
        let has_none = matches!(self.observed.outcome, Outcome::Failed { exit_code: NO_TESTS });
        if has_none || (none_ran && failed.is_empty()) || is_match(&NO_PACKAGE_OF_TESTS, self.observed.log) {
            self.no_tests_found();
        }
        if *self.observed.outcome == Outcome::Passed {
            return;
        }
        let mut messages: Vec<&str> = failed.iter().map(|failure| failure.message.as_str()).collect();
        // if no test ran, only the log has the reason
        if tests.is_none_or(|tests| tests.passed.is_empty()) {
            messages.push(suite_log(self.observed.log));
            self.broken_plugins();
        }
        let text = messages.join("\n");
        self.modules(&text);
        self.hints(&text);
        self.plugins(&text);
        self.programs(&text);
        self.network(failed);
        self.interrupted();
        self.collection(failed);
        self.extras();
    }

    /// Requires the extras for features if no list names the requirements of the tests. Failing tests may need these
    /// extras.
    fn extras(&mut self) {
        if !self.reasons.is_empty() || !self.proposal.base.is_of_imports {
            return;
        }
        let extras: Vec<String> = self
            .survey
            .extras
            .keys()
            .filter(|extra| is_of_features(extra))
            .cloned()
            .collect();
        for extra in extras.iter().take(EXTRAS_MOST) {
            if self.proposal.require_extra(extra) {
                let why = "no list says what the tests need, and those that fail may be for optional features";
                self.say(format!("requires {}", write::text(&format!(".[{extra}]"))), why);
            }
        }
    }

    /// Adds modules that tests can't import.
    fn modules(&mut self, text: &str) {
        let paths = self.survey.paths();
        for module in all(&NO_MODULE, text) {
            let top = module.split('.').next().unwrap_or_default().to_owned();
            if self.survey.packages.iter().any(|package| package.name == top) {
                continue;
            }
            let file = format!("{top}.py");
            let beside = paths.iter().find_map(|path| {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                (name == file || name == top).then(|| folder.to_owned())
            });
            match beside {
                Some(folder) => self.search_path(&top, &folder),
                None => {
                    if let Some(distribution) = names::distribution(&module) {
                        self.require(
                            &distribution,
                            format!("the tests have no module `{}`", write::line(&module)),
                        );
                    }
                }
            }
        }
    }

    /// Follows messages that ask for an installation: `pip install demo[http2]`.
    fn hints(&mut self, text: &str) {
        let own = [normalized(&self.proposal.name), normalized(&self.survey.name)];
        for named in all(&TO_INSTALL, text) {
            let (name, extras) = named.split_once('[').unwrap_or((&named, ""));
            let why = format!("a test asks for `pip install {}`", write::line(&named));
            if !own.contains(&normalized(name)) {
                self.require(name, why);
                continue;
            }
            for extra in extras
                .trim_end_matches(']')
                .split(',')
                .filter(|extra| self.survey.extras.contains_key(*extra))
            {
                if self.proposal.require_extra(extra) {
                    self.say(format!("requires {}", write::text(&format!(".[{extra}]"))), why.clone());
                }
            }
        }
    }

    /// Adds the folder of a module of the tests to Python's search path.
    fn search_path(&mut self, module: &str, folder: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        if !folder.chars().all(plain) || self.proposal.env.contains_key("PYTHONPATH") {
            return;
        }
        let path = format!("/work/src/{}/{folder}", self.proposal.name);
        let path = path.trim_end_matches('/').to_owned();
        self.say(
            format!("env = {{ PYTHONPATH = {} }}", write::text(&path)),
            format!("the tests import `{}` from there", write::line(module)),
        );
        self.proposal.env.insert("PYTHONPATH".to_owned(), path);
    }
}

/// Returns whether a failure names a missing package, plugin, program or network. A recipe can name all but the last.
pub fn says_what_is_missing(failure: &Failure) -> bool {
    let text = failure.message.as_str();
    all(&NO_MODULE, text)
        .iter()
        .any(|module| names::distribution(module).is_some())
        || plugins::is_of_plugins(text)
        || network::is_of_network(text)
}

/// Returns the part of a log that belongs to the suites.
fn suite_log(log: &str) -> &str {
    let start = log.rfind("[pybots] phase test ").filter(|_| !log.is_empty());
    // the mark at the end of the phase begins in the same way
    let start = match start {
        Some(at)
            if log[at..]
                .lines()
                .next()
                .is_some_and(|line| line.contains(" ended after ")) =>
        {
            log[..at].rfind("[pybots] phase test ")
        }
        other => other,
    };
    &log[start.unwrap_or(0)..]
}

/// Returns the last line in the suites' part of a log that looks like an error. If the log has a report of uv, returns
/// that instead.
pub fn last_error(log: &str) -> Option<String> {
    if let Some((_, report)) = log.rsplit_once("  × ") {
        // a report of uv, whose lines form a tree
        let words = report.lines().take_while(|line| !line.contains("[pybots]"));
        let words: Vec<&str> = words
            .map(|line| line.trim_matches(['├', '╰', '─', '▶', '│', ' ']))
            .collect();
        return Some(write::line(&words.join(" ")));
    }
    let mut lines = suite_log(log).lines().rev().map(str::trim);
    let found = lines.find(|line| line.contains("Error") || line.starts_with("ERROR") || line.contains(" error: "));
    found.map(write::line)
}

#[cfg(test)]
#[path = "faults_tests.rs"]
pub mod tests;
