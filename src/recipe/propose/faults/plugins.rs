//! What pytest lacks, and what else tests need to run.

use super::Faults;
use crate::domain::outcome::Outcome;
use crate::domain::pattern::{all, is_match, pattern};
use crate::domain::results::Failure;
use crate::recipe::propose::command::{Command, Pytest};
use crate::recipe::propose::{names, requires, write};

/// The exit code of pytest when something interrupted it, such as a file that it can't import.
const INTERRUPTED: i64 = 2;
/// Lets pytest run the other files.
const GO_ON: &str = "--continue-on-collection-errors";
/// Folders of tests that one command names.
const TARGETS_MOST: usize = 5;

pattern!(UNRECOGNIZED, r"error: unrecognized arguments: (.+)");
pattern!(NO_FIXTURE, r"fixture '([^']+)' not found");
pattern!(NO_MARK, r"'([^']+)' not found in `markers` configuration option");
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

impl Faults<'_> {
    /// pytest or unittest found no test where it looked.
    pub(super) fn no_tests_found(&mut self) {
        let places: Vec<String> = self
            .survey
            .places
            .iter()
            .map(|place| place.path.clone())
            .filter(|path| !path.is_empty())
            .collect();
        match self.proposal.suite.as_mut() {
            Some(Command::Pytest(pytest)) if pytest.targets.is_empty() && !places.is_empty() => {
                pytest.targets = places.into_iter().take(TARGETS_MOST).collect();
                let targets = pytest.targets.join(" ");
                self.say(
                    format!("pytest looks in {}", write::line(&targets)),
                    "it found no tests where its settings send it",
                );
            }
            Some(Command::Line { line, imports: false }) if line.contains("-m unittest") => {
                let pytest = Pytest {
                    targets: places.into_iter().take(TARGETS_MOST).collect(),
                    ..Pytest::default()
                };
                self.proposal.suite = Some(Command::Pytest(pytest));
                self.say("pytest runs the tests", "unittest found none");
                self.require("pytest", "pytest runs the tests".to_owned());
            }
            _ => {}
        }
    }

    /// pytest stops before the first test if it can't import one of the files.
    pub(super) fn collection(&mut self, failed: &[Failure]) {
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

    /// Plugins of pytest that are missing.
    pub(super) fn plugins(&mut self, text: &str) {
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
    pub(super) fn programs(&mut self, text: &str) {
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
}
