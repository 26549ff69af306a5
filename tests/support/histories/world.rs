//! What a run would say.

use super::{At, Effect, Fault, History};
use fastrand::Rng;
use pybots::domain::outcome::Outcome;
use pybots::domain::results::{Failure, Tests};
use pybots::verdict::RunEnd;

/// Tests of each project, in the order of their names.
const TESTS: [&str; 8] = [
    "test_date",
    "test_dependency",
    "test_flaky",
    "test_host",
    "test_new",
    "test_old",
    "test_other",
    "test_well",
];

/// One run to be.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    pub tree: At,
    pub project: usize,
    pub variant: &'static str,
    pub host: usize,
    pub lock: usize,
    pub day: f64,
}

impl History {
    /// What comes of a run; the same again may come to something else.
    pub fn run(&self, run: Try, rng: &mut Rng) -> RunEnd {
        let mut tests = Tests::default();
        let mut has = |effect: &Effect| {
            self.faults
                .iter()
                .any(|fault| fault.effect == *effect && self.holds(fault, run) && rng.f64() < fault.rate)
        };
        if has(&Effect::FailsToBuild) {
            return RunEnd::NoImage;
        }
        if has(&Effect::FailsToInstall) {
            let reason = "it does not compile".to_owned();
            return RunEnd::Run(
                Outcome::SetupFailed {
                    reason,
                    exit_code: Some(1),
                },
                None,
            );
        }
        if has(&Effect::Crashes) {
            return RunEnd::Run(Outcome::Crashed { signal: 11 }, None);
        }
        for test in TESTS {
            if has(&Effect::FailsTest(test)) {
                tests.failed.push(Failure::of(test, "boom"));
            } else {
                tests.passed.push(test.to_owned());
            }
        }
        let outcome = if tests.failed.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed { exit_code: 1 }
        };
        RunEnd::Run(outcome, Some(tests))
    }

    fn holds(&self, fault: &Fault, run: Try) -> bool {
        fault.from.is_none_or(|from| self.has(run.tree, from))
            && !fault.until.is_some_and(|until| self.has(run.tree, until))
            && (fault.projects.is_empty() || fault.projects.contains(&run.project))
            && fault.variant.is_none_or(|variant| variant == run.variant)
            && fault.host.is_none_or(|host| host == run.host)
            && fault.day.is_none_or(|day| run.day >= day)
            && fault.lock.is_none_or(|lock| run.lock >= lock)
    }
}
