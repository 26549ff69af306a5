//! Results of a trial of a proposal, and corrections.

use super::command::Command;
use super::{ChoiceReason, Proposal, Survey, faults};
use crate::domain::outcome::Outcome;
use crate::domain::results::{Failure, Tests};
use crate::domain::text::plain;

/// The most failures that a result lists by name.
const NAMED: usize = 5;

/// The observations of a trial.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub outcome: &'a Outcome,
    /// The results of the tests, if the suite reported any.
    pub tests: Option<&'a Tests>,
    /// The name of the last phase that ran; empty if none did.
    pub phase: &'a str,
    /// The end of the log.
    pub log: &'a str,
}

/// The result of a trial of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialResult {
    /// All tests pass. `passed` is `None` if the suite reports no tests.
    Green {
        passed: Option<usize>,
    },
    /// The tests ran, and some fail.
    Red {
        failed: usize,
        run: usize,
        first: Vec<Failure>,
        /// The number of failures that name something missing: a package, a plugin, a program or the network.
        missing: usize,
    },
    /// The source has no tests.
    NoTests,
    Failed(String),
}

impl TrialResult {
    /// Returns whether the recipe is usable: its tests run.
    pub fn is_usable(&self) -> bool {
        matches!(self, TrialResult::Green { .. } | TrialResult::Red { .. })
    }

    /// Returns the result as a sentence.
    pub fn sentence(&self) -> String {
        match self {
            TrialResult::Green { passed: Some(passed) } => format!("green: {passed} tests pass"),
            TrialResult::Green { passed: None } => "green: the suite passes; it reports no single tests".to_owned(),
            TrialResult::Red {
                failed,
                run,
                first,
                missing,
            } => {
                let names: Vec<String> = first.iter().map(|failure| plain(&failure.test)).collect();
                let more = if *failed > first.len() { ", .." } else { "" };
                let missing = match missing {
                    0 => String::new(),
                    missing => format!("; {missing} of them for want of a package, a program or the network"),
                };
                format!("red: {failed} of {run} tests fail: {}{more}{missing}", names.join(", "))
            }
            TrialResult::NoTests => {
                "no tests to be had from this source; the recipe only shows that the project can be installed"
                    .to_owned()
            }
            TrialResult::Failed(reason) => format!("failed: {reason}"),
        }
    }
}

/// Returns a proposal that may do better than the tried one, and the changes with their reasons. Returns `None` if
/// there is nothing to change.
pub fn corrected(
    proposal: &Proposal,
    survey: &Survey,
    observed: &Observed<'_>,
) -> Option<(Proposal, Vec<ChoiceReason>)> {
    let mut other = proposal.clone();
    let reasons = faults::correct(&mut other, survey, observed);
    (!reasons.is_empty()).then_some((other, reasons))
}

/// Why a proposal is written and not tried.
const NEEDS_NETWORK: &str = "install needs the network (`install_network = true`), and a trial gives it to nobody unasked: look at what \
                             builds the project, then try the recipe by `pybots try`, or use `pybots init --allow-network`";

/// Returns the result of a proposal that must not be tried, because install would use the network without the user's
/// permission. Returns `None` for any other proposal.
pub fn untried(proposal: &Proposal, allows_network: bool) -> Option<TrialResult> {
    (proposal.install_network && !allows_network).then(|| TrialResult::Failed(NEEDS_NETWORK.to_owned()))
}

/// Returns the result of a trial.
pub fn trial_result(proposal: &Proposal, observed: &Observed<'_>) -> TrialResult {
    let reason = || match observed.outcome {
        Outcome::Failed { exit_code } if observed.tests.is_some_and(|tests| tests.incomplete) => {
            let tests = observed.tests.map_or(0, Tests::count_run);
            format!("the suite broke off after {tests} tests, exit code {exit_code}")
        }
        Outcome::Failed { exit_code } => {
            let first = observed.tests.and_then(|tests| tests.failed.first());
            let why = first.map(|failure| format!(": {}: {}", plain(&failure.test), plain(&failure.message)));
            let why = why.or_else(|| faults::last_error(observed.log).map(|line| format!(": {line}")));
            format!("no test passes, exit code {exit_code}{}", why.unwrap_or_default())
        }
        Outcome::SetupFailed { .. } => {
            let why = faults::last_error(observed.log).map(|line| format!(": {line}"));
            plain(&format!("{}{}", observed.outcome, why.unwrap_or_default()))
        }
        outcome => {
            let ended = observed
                .tests
                .map(|tests| (tests, tests.failed.iter().find(|failure| faults::is_of_no_end(failure))));
            let how_far = match ended {
                Some((_, Some(failure))) => format!(" with {}", failure.test),
                Some((tests, None)) => format!(" after {} tests", tests.count_run()),
                None => String::new(),
            };
            plain(&format!("{outcome}{how_far}"))
        }
    };
    let imports = matches!(proposal.suite, Some(Command::Line { imports: true, .. }) | None);
    match (observed.outcome, observed.tests) {
        (Outcome::Passed, _) if imports => TrialResult::NoTests,
        (Outcome::Passed, None) => TrialResult::Green { passed: None },
        (Outcome::Passed, Some(tests)) if tests.count_run() > 0 => TrialResult::Green {
            passed: Some(tests.count_run()),
        },
        (Outcome::Passed, Some(tests)) => {
            TrialResult::Failed(format!("no test ran, and {} are skipped", tests.skipped.len()))
        }
        // if a suite broke off, its other tests have no results
        (Outcome::Failed { .. }, Some(tests)) if !tests.incomplete && tests.count_run() > tests.failed.len() => {
            TrialResult::Red {
                failed: tests.failed.len(),
                run: tests.count_run(),
                first: tests.failed.iter().take(NAMED).cloned().collect(),
                missing: tests
                    .failed
                    .iter()
                    .filter(|failure| faults::says_what_is_missing(failure))
                    .count(),
            }
        }
        _ => TrialResult::Failed(reason()),
    }
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
