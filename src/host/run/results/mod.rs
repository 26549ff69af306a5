//! Reads the results of a suite's tests: the files that our recorders wrote when tests ended, or a JUnit report. Both
//! come from project code, so their sizes and their numbers are limited.

mod encoding;
pub mod junit;
mod names;
pub mod recorded;

use crate::domain::results::{Failure, Tests};
use std::collections::BTreeMap;

/// The most bytes of a report, and of everything that the recorders of a suite wrote.
pub const FILE_MOST: usize = 32 << 20;
/// The most bytes of all names together.
const NAMES_MOST: usize = 2 << 20;
/// The most characters of a failure's message.
const MESSAGE_MOST: usize = 300;

/// The result of a test, the worst last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TestResult {
    Skipped,
    Passed,
    Failed(String),
}

/// Collects results. A test that is reported twice, for its run and its tear-down, counts with the worse result.
#[derive(Default)]
struct Collector {
    found: BTreeMap<String, TestResult>,
    names: usize,
    cut: bool,
}

impl Collector {
    fn add(&mut self, name: String, result: TestResult) {
        if let Some(worst) = self.found.get_mut(&name) {
            // of several failures, the first counts
            if result > *worst && !matches!(worst, TestResult::Failed(_)) {
                *worst = result;
            }
            return;
        }
        self.names += name.len();
        match self.names > NAMES_MOST {
            true => self.cut = true,
            false => {
                self.found.insert(name, result);
            }
        }
    }

    /// Returns the tests, each named `suite: test`.
    fn of_suite(self, suite: &str) -> Tests {
        let mut tests = Tests {
            cut: self.cut,
            ..Tests::default()
        };
        for (name, result) in self.found {
            let test = format!("{suite}: {name}");
            match result {
                TestResult::Passed => tests.passed.push(test),
                TestResult::Skipped => tests.skipped.push(test),
                TestResult::Failed(text) => tests.failed.push(Failure {
                    test,
                    message: first_line(&text),
                }),
            }
        }
        tests
    }
}

const TRACEBACK: &str = "Traceback (most recent call last):";

/// Returns the first line that is not blank. If that only begins a traceback, returns the last line, which says more.
fn first_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let line = match (first.strip_suffix(TRACEBACK), lines.next_back()) {
        (Some(before), Some(last)) => format!("{before}{last}"),
        _ => first.to_owned(),
    };
    let line: String = line.chars().filter(|c| !c.is_control()).take(MESSAGE_MOST).collect();
    names::without_addresses(&line)
}
