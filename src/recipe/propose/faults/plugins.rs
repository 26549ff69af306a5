//! Missing plugins of pytest, and other things that tests need to run.

use super::Faults;
use crate::domain::outcome::Outcome;
use crate::domain::package::normalized;
use crate::domain::pattern::{all, is_match, pattern};
use crate::domain::results::Failure;
use crate::recipe::propose::command::{Command, Pytest};
use crate::recipe::propose::{libraries, names, requires, write};

/// The exit code of pytest after an interruption, such as a file that it can't import.
const INTERRUPTED: i64 = 2;
/// Makes pytest run the other files.
const GO_ON: &str = "--continue-on-collection-errors";
/// Sets the loop scope of fixtures to the default of pytest-asyncio. Some versions warn until the option is set.
const FIXTURE_SCOPE: &str = "-o asyncio_default_fixture_loop_scope=function";
/// The most folders of tests that one command names.
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
pattern!(UNKNOWN_MARK, r"Unknown pytest\.mark\.(\w+)");
pattern!(
    UNSET_SCOPE,
    r#"configuration option "asyncio_default_fixture_loop_scope" is unset"#
);
pattern!(
    IN_PLUGIN,
    r"INTERNALERROR>[^\n]*/site-packages/(\w+)[/.][^\n]*, in pytest_"
);
pattern!(NO_ZONE, r"No time zone found with key");

/// Returns whether an error names a missing plugin or program whose package is in the tables of `names` and
/// `libraries`.
pub(super) fn is_of_plugins(text: &str) -> bool {
    let marks = [&NO_MARK, &UNKNOWN_MARK]
        .into_iter()
        .flat_map(|pattern| all(pattern, text));
    let fixtures = all(&NO_FIXTURE, text);
    let programs = all(&NO_PROGRAM, text);
    marks.into_iter().any(|mark| names::of_mark(&mark).is_some())
        || fixtures.iter().any(|fixture| names::of_fixture(fixture).is_some())
        || programs.iter().any(|program| libraries::of_program(program).is_some())
        || is_match(&NO_ASYNC, text)
        || is_match(&NO_ZONE, text)
}

/// Returns whether pytest looks for tests in installed packages.
fn is_by_module(pytest: &Pytest) -> bool {
    pytest.targets.first().is_some_and(|target| target == "--pyargs")
}

impl Faults<'_> {
    /// Makes pytest look elsewhere, or replaces unittest, after no test was found.
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
            Some(Command::Pytest(pytest)) if is_by_module(pytest) && !places.is_empty() => {
                pytest.targets = places.into_iter().take(TARGETS_MOST).collect();
                let targets = pytest.targets.join(" ");
                self.say(
                    format!("pytest looks in {}", write::line(&targets)),
                    "the installed package has no tests",
                );
            }
            _ => self.run_by_pytest("unittest found none"),
        }
    }

    /// Makes pytest run the tests of a suite that unittest ran.
    pub(super) fn run_by_pytest(&mut self, why: &str) {
        let is_unittest =
            |suite: &Command| matches!(suite, Command::Line { line, imports: false } if line.contains("-m unittest"));
        if !self.proposal.suite.as_ref().is_some_and(is_unittest) {
            return;
        }
        let places = self.survey.places.iter().map(|place| place.path.clone());
        let pytest = Pytest {
            targets: places.filter(|path| !path.is_empty()).take(TARGETS_MOST).collect(),
            ..Pytest::default()
        };
        self.proposal.suite = Some(Command::Pytest(pytest));
        self.say("pytest runs the tests", why);
        self.require("pytest", "pytest runs the tests".to_owned());
    }

    /// Makes pytest go on if it can't import a file. By default it stops before the first test.
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

    /// Requires missing plugins of pytest.
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
        for mark in all(&NO_MARK, text).into_iter().chain(all(&UNKNOWN_MARK, text)) {
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

    /// Handles a pytest that does not start because a hook of a plugin fails. Sets an option if that helps. Otherwise
    /// removes the plugin if the proposal only guessed it.
    pub(super) fn broken_plugins(&mut self) {
        if is_match(&UNSET_SCOPE, self.observed.log)
            && let Some(pytest) = self.proposal.suite.as_mut().and_then(Command::pytest)
            && !pytest.options.iter().any(|option| option == FIXTURE_SCOPE)
        {
            pytest.options.push(FIXTURE_SCOPE.to_owned());
            self.say(
                FIXTURE_SCOPE,
                "the plugin warns that it is unset, and the settings of pytest make errors of warnings",
            );
            return;
        }
        for module in all(&IN_PLUGIN, self.observed.log) {
            let name = normalized(&module);
            let is_of_it = |line: &String| normalized(&requires::of_requirement(line)) == name;
            let count = self.proposal.added.len();
            self.proposal.added.retain(|line| !is_of_it(line));
            if self.proposal.added.len() < count {
                self.say(
                    format!("without {}", write::text(&name)),
                    "pytest does not start with it",
                );
                self.proposal.given_up.insert(name);
            }
        }
    }

    /// Adds programs and data that tests need.
    pub(super) fn programs(&mut self, text: &str) {
        for program in all(&NO_PROGRAM, text) {
            let Some(package) = libraries::of_program(&program) else {
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

#[cfg(test)]
mod tests {
    use crate::domain::outcome::Outcome;
    use crate::domain::suite::Source;
    use crate::recipe::propose::{Observed, Survey, corrected, propose};
    use serde_json::json;

    #[test]
    fn a_plugin_with_which_pytest_does_not_start_gets_its_setting_or_goes() {
        let survey: Survey = serde_json::from_value(json!({
            "places": [{ "path": "tests", "files": 1, "runners": { "pytest": 1 } }],
            "marks": ["asyncio"],
        }))
        .unwrap();
        let (proposal, _) = propose(
            &survey,
            "demo",
            Source::of_git("https://example.org/demo", "0123456789"),
        );
        assert!(proposal.text(&[]).contains("\"pytest-asyncio\""));
        let frame = "INTERNALERROR>   File \"/work/venv/lib/python3.13/site-packages/pytest_asyncio/plugin.py\", line 3, in pytest_configure\n";
        let unset = format!(
            "{frame}INTERNALERROR> Warning: The configuration option \"asyncio_default_fixture_loop_scope\" is unset.\n"
        );
        let trial = |log: &str| {
            let outcome = Outcome::Failed { exit_code: 3 };
            let observed = Observed {
                outcome: &outcome,
                tests: None,
                phase: "test tests",
                log,
            };
            corrected(&proposal, &survey, &observed).unwrap().0.text(&[])
        };
        let text = trial(&unset);
        assert!(
            text.contains("-o asyncio_default_fixture_loop_scope=function"),
            "{text}"
        );
        assert!(text.contains("\"pytest-asyncio\""), "{text}");
        assert!(!trial(frame).contains("pytest-asyncio"));
    }
}
