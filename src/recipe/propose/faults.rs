//! Recognizes in a trial what a recipe can do something about, and changes the proposal.

use super::command::Command;
use super::suite::{remove, shadows};
use super::trial::Observed;
use super::{Proposal, Reason, Survey, names, requires, write};
use crate::domain::outcome::Outcome;
use crate::domain::results::Failure;
use crate::recipe::requirement::normalized;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The exit code of pytest and unittest when they found no tests.
const NO_TESTS: i64 = 5;
/// The exit code of pytest when something interrupted it, such as a file that it can't import.
const INTERRUPTED: i64 = 2;
/// Lets pytest run the other files.
const GO_ON: &str = "--continue-on-collection-errors";
/// Cases of one parametrized test beyond which the whole test is left out.
const CASES_MOST: usize = 3;
/// Matches of one pattern that are looked at.
const MATCHES_MOST: usize = 100;

/// Compiles a pattern of this file, all of which are valid.
macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());
    };
}

pattern!(NO_MODULE, r"No module named '?([A-Za-z_][\w.]*)");
pattern!(UNRECOGNIZED, r"error: unrecognized arguments: (.+)");
pattern!(NO_FIXTURE, r"fixture '([^']+)' not found");
pattern!(NO_MARK, r"'([^']+)' not found in `markers` configuration option");
pattern!(
    TO_INSTALL,
    r#"pip3? install ['"`]?([A-Za-z0-9][\w.-]*(?:\[[\w.,-]+\])?)"#
);
pattern!(NO_SETTING, r"Unknown config option: (\w+)");
pattern!(NO_PLUGINS, r"Missing required plugins: ([^\n]+)");
pattern!(
    NO_ASYNC,
    r"async def functions? (?:is|are) not natively supported|async def function and no async plugin"
);
pattern!(
    NO_PROGRAM,
    r"(?:No such file or directory: '|sh: (?:\d+: )?)([\w.-]+)(?:'|: (?:command )?not found)"
);
pattern!(NO_ZONE, r"No time zone found with key");
pattern!(
    NO_PACKAGE,
    r"(?:no project called |Because (?:there are no versions of |all versions of |only )?)([A-Za-z0-9][\w.-]*)"
);
pattern!(TO_REQUIRE, r#"add `requires = \["([A-Za-z0-9._-]+)"\]`"#);
pattern!(TO_SET, r"set ([A-Z][A-Z0-9_]+) in `env`");
pattern!(
    FROM_SOURCE,
    r"imported `(\w+)` from the source folder [^\n]* that folder lacks \d+ compiled"
);
pattern!(
    NO_NETWORK,
    r"(?i)name resolution|name or service not|no address associated with hostname|nodename nor servname|getaddrinfo failed|network is unreachable|gaierror|NameResolutionError|could not resolve host"
);
pattern!(
    NO_CONNECTION,
    r"(?i)Cannot connect to host|Max retries exceeded|Connection refused|timed out"
);
pattern!(ON_LOOPBACK, r"(?i)localhost|127\.0\.0\.\d|\[?::1\]?|0\.0\.0\.0");
pattern!(HAS_ADDRESS, r"(?i)https?://|host=|Cannot connect to host");

/// Returns whether an error comes from the missing network, and not from a server on loopback, which every suite may have.
fn is_of_network(message: &str) -> bool {
    let is_remote = || is_match(&NO_CONNECTION, message) && is_match(&HAS_ADDRESS, message);
    is_match(&NO_NETWORK, message) || (is_remote() && !is_match(&ON_LOOPBACK, message))
}

/// Returns the first group of all matches, without repetition.
fn all(pattern: &LazyLock<Option<Regex>>, text: &str) -> Vec<String> {
    let Some(pattern) = pattern.as_ref() else {
        return Vec::new();
    };
    let matches = pattern.captures_iter(text).take(MATCHES_MOST);
    let found: BTreeSet<String> = matches
        .filter_map(|found| Some(found.get(1)?.as_str().to_owned()))
        .collect();
    found.into_iter().collect()
}

fn is_match(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// Changes a proposal by what its trial showed. Returns the changes with their reasons; none if there is nothing to change.
pub fn correct(proposal: &mut Proposal, survey: &Survey, observed: &Observed<'_>) -> Vec<Reason> {
    let mut faults = Faults {
        proposal,
        survey,
        observed,
        reasons: Vec::new(),
    };
    match observed.outcome {
        Outcome::RecipeError { reason } if observed.phase == "fetch" => faults.fetch(reason),
        Outcome::RecipeError { reason } | Outcome::SetupFailed { reason, .. }
            if !observed.phase.starts_with("test") =>
        {
            faults.install(reason);
        }
        Outcome::Passed | Outcome::Failed { .. } => faults.test(),
        _ => {}
    }
    faults.reasons
}

struct Faults<'a> {
    proposal: &'a mut Proposal,
    survey: &'a Survey,
    observed: &'a Observed<'a>,
    reasons: Vec<Reason>,
}

impl Faults<'_> {
    fn say(&mut self, choice: impl Into<String>, why: impl Into<String>) {
        self.reasons.push(Reason::new(choice, why));
    }

    fn require(&mut self, distribution: &str, why: String) {
        if self.proposal.require(distribution) {
            self.say(format!("requires {}", write::text(distribution)), why);
        }
    }

    /// What was added and does not exist goes again; then a list that cannot be met gives way to the next one.
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
        // what a build requires is in no list of the tests
        let is_about_requires = [
            "dependencies: the requirements cannot be met",
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
            let why = format!("fetch can't get what was required before: {}", write::line(reason));
            let next = self.proposal.others.remove(0);
            let keys: Vec<String> = next.keys().collect();
            self.proposal.base = next;
            self.say(
                if keys.is_empty() {
                    "no `requires`".to_owned()
                } else {
                    keys.join(", ")
                },
                why,
            );
            let mut reasons = Vec::new();
            requires::complete(self.proposal, self.survey, &mut reasons);
            self.reasons.extend(reasons);
        }
    }

    fn install(&mut self, reason: &str) {
        for name in all(&TO_REQUIRE, reason) {
            self.require(&name, "the build of the project asks for it".to_owned());
        }
        if reason.contains("Rust tool chain") && !self.proposal.install_network {
            self.proposal.install_network = true;
            self.say("install_network = true", "the build needs a Rust tool chain and crates");
        }
        for variable in all(&TO_SET, self.observed.log) {
            if !self.proposal.env.contains_key(&variable) {
                self.proposal.env.insert(variable.clone(), "0.0".to_owned());
                self.say(
                    format!("env = {{ {variable} = \"0.0\" }}"),
                    "the build takes its version from tags, which a build does not have",
                );
            }
        }
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
        if matches!(self.observed.outcome, Outcome::Failed { exit_code: NO_TESTS }) || (none_ran && failed.is_empty()) {
            self.no_tests_found();
        }
        if *self.observed.outcome == Outcome::Passed {
            return;
        }
        let mut messages: Vec<&str> = failed.iter().map(|failure| failure.message.as_str()).collect();
        // what keeps a runner from starting is in the log alone
        if tests.is_none_or(|tests| tests.passed.is_empty()) {
            messages.push(suite_log(self.observed.log));
        }
        let text = messages.join("\n");
        self.modules(&text);
        self.hints(&text);
        self.plugins(&text);
        self.programs(&text);
        self.network(failed);
        self.collection(failed);
    }

    /// pytest stops before the first test if it can't import one of the files.
    fn collection(&mut self, failed: &[Failure]) {
        let is_interrupted = matches!(self.observed.outcome, Outcome::Failed { exit_code: INTERRUPTED });
        let Some(pytest) = self.proposal.suite.as_mut().and_then(Command::pytest) else {
            return;
        };
        let goes_on = pytest.options.iter().any(|option| option == GO_ON);
        if !is_interrupted || goes_on || failed.is_empty() || !self.reasons.is_empty() {
            return;
        }
        pytest.options.push(GO_ON.to_owned());
        let message = failed
            .first()
            .map(|failure| write::line(&failure.message))
            .unwrap_or_default();
        self.say(
            GO_ON,
            format!("a file of tests can't be imported, and hides all others: {message}"),
        );
    }

    /// pytest or unittest found no test where it looked.
    fn no_tests_found(&mut self) {
        let places: Vec<String> = self
            .survey
            .places
            .iter()
            .map(|place| place.path.clone())
            .filter(|path| !path.is_empty())
            .collect();
        match self.proposal.suite.as_mut() {
            Some(Command::Pytest(pytest)) if pytest.targets.is_empty() && !places.is_empty() => {
                pytest.targets = places.into_iter().take(5).collect();
                let targets = pytest.targets.join(" ");
                self.say(
                    format!("pytest looks in {}", write::line(&targets)),
                    "it found no tests where its settings send it",
                );
            }
            Some(Command::Line { line, imports: false }) if line.contains("-m unittest") => {
                let mut pytest = super::command::Pytest::default();
                pytest.targets = places.into_iter().take(5).collect();
                self.proposal.suite = Some(Command::Pytest(pytest));
                self.say("pytest runs the tests", "unittest found none");
                self.require("pytest", "pytest runs the tests".to_owned());
            }
            _ => {}
        }
    }

    /// Modules that tests can't import.
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

    /// Messages that say what to install: `pip install demo[http2]`.
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

    /// A module of the tests is not found. Python then searches its folder.
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

    /// Plugins of pytest that are missing.
    fn plugins(&mut self, text: &str) {
        for words in all(&UNRECOGNIZED, text) {
            for word in words.split_whitespace() {
                if let Some(plugin) = names::of_option(word) {
                    self.require(
                        plugin.distribution,
                        format!("pytest has no option {} without it", write::line(word)),
                    );
                }
            }
        }
        for fixture in all(&NO_FIXTURE, text) {
            if let Some(plugin) = names::of_fixture(&fixture) {
                self.require(
                    plugin.distribution,
                    format!("tests use its fixture `{}`", write::line(&fixture)),
                );
            }
        }
        for mark in all(&NO_MARK, text) {
            if let Some(plugin) = names::of_mark(&mark) {
                self.require(
                    plugin.distribution,
                    format!("tests bear its mark `{}`", write::line(&mark)),
                );
            }
        }
        for setting in all(&NO_SETTING, text) {
            if let Some(plugin) = names::of_setting(&setting) {
                self.require(
                    plugin.distribution,
                    format!("pytest's setting `{}` is that of the plugin", write::line(&setting)),
                );
            }
        }
        for plugins in all(&NO_PLUGINS, text) {
            for plugin in plugins.split(',').map(str::trim) {
                if !requires::of_requirement(plugin).is_empty() {
                    self.require(
                        &write::line(plugin),
                        "pytest's setting `required_plugins` names it".to_owned(),
                    );
                }
            }
        }
        if is_match(&NO_ASYNC, text) {
            let plugin = ["anyio", "trio"]
                .iter()
                .find(|mark| self.survey.marks.iter().any(|other| other == *mark));
            let plugin = plugin
                .and_then(|mark| names::of_mark(mark))
                .map_or("pytest-asyncio", |plugin| plugin.distribution);
            self.require(
                plugin,
                "tests are coroutines, which pytest runs by a plugin only".to_owned(),
            );
        }
    }

    /// Programs and data that tests need.
    fn programs(&mut self, text: &str) {
        for program in all(&NO_PROGRAM, text) {
            let Some(package) = names::of_program(&program) else {
                continue;
            };
            if !self.proposal.system.iter().any(|other| other == package) {
                self.proposal.system.push(package.to_owned());
                self.say(
                    format!("system = [\"{package}\"]"),
                    format!("the tests start `{}`", write::line(&program)),
                );
            }
        }
        if is_match(&NO_ZONE, text) {
            self.require("tzdata", "the image has no time zones but UTC".to_owned());
        }
    }

    /// Tests that need the network, which no suite has.
    fn network(&mut self, failed: &[Failure]) {
        let failed: Vec<&Failure> = failed
            .iter()
            .filter(|failure| is_of_network(&failure.message))
            .collect();
        let mut cases: BTreeMap<&str, usize> = BTreeMap::new();
        for failure in &failed {
            *cases
                .entry(failure.test.split('[').next().unwrap_or_default())
                .or_default() += 1;
        }
        let mut left_out = Vec::new();
        for failure in &failed {
            let whole = failure.test.split('[').next().unwrap_or_default();
            let many = cases.get(whole).copied().unwrap_or_default() > CASES_MOST;
            let named = if many { whole } else { failure.test.as_str() };
            let Some((file, address)) = address(&self.survey.files, named) else {
                continue;
            };
            let Some(pytest) = self.proposal.suite.as_mut().and_then(Command::pytest) else {
                continue;
            };
            let reason = format!("it needs the network: {}", write::line(&failure.message));
            if pytest.leave_out(&address, &file, &reason) {
                left_out.push((address, reason));
            }
        }
        for (address, reason) in left_out {
            self.say(format!("without {}", write::line(&address)), reason);
        }
    }
}

/// Returns the part of a log that belongs to the suites.
fn suite_log(log: &str) -> &str {
    let start = log.rfind("[pybots] phase test ").filter(|_| !log.is_empty());
    // the mark of the end of the phase begins likewise
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

/// Returns the last line of the suites' log that looks like an error.
pub fn last_error(log: &str) -> Option<String> {
    let mut lines = suite_log(log).lines().rev().map(str::trim);
    let found = lines.find(|line| line.contains("Error") || line.starts_with("ERROR") || line.contains(" error: "));
    found.map(write::line)
}

/// Returns the file of a test, and its address for pytest: `tests: tests.test_a.Class.test_x[1]` is
/// `tests/test_a.py::Class::test_x[1]`. Returns `None` if no file of tests has that name.
fn address(files: &[String], test: &str) -> Option<(String, String)> {
    let test = test.split_once(": ").map_or(test, |(_, test)| test);
    let (dotted, case) = match test.split_once('[') {
        Some((dotted, case)) => (dotted, Some(case)),
        None => (test, None),
    };
    let matching = files.iter().filter_map(|file| {
        let module = file.strip_suffix(".py")?.replace('/', ".");
        let rest = dotted.strip_prefix(&module)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| (file, rest.trim_start_matches('.').to_owned()))
    });
    let (file, rest) = matching.max_by_key(|(file, _)| file.len())?;
    if rest.is_empty() {
        return Some((file.clone(), file.clone()));
    }
    // an address that a shell or a terminal could not take names the whole test
    let case = case.filter(|case| case.len() < 80 && case.chars().all(|c| c.is_ascii_graphic() && c != '\''));
    let case = case.map(|case| format!("[{case}")).unwrap_or_default();
    Some((file.clone(), format!("{file}::{}{case}", rest.replace('.', "::"))))
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
