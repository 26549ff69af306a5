//! Compares two revisions, project by project and test by test.

use super::cell::Cell;
use super::subject::Subject;
use crate::domain::results::Tests;
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// The result of a project at one of two revisions.
#[derive(Clone, Debug, Default)]
pub struct ProjectResult {
    pub cell: Option<Cell>,
    /// The results of its tests, if its suites report them.
    pub tests: Option<Tests>,
}

/// How the result of a project changed, ordered from the most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    NewlyFailing,
    StillFailing,
    Flaky,
    NewlyPassing,
    /// At least one of the two revisions has no result: the run was skipped, has no image or is pending, or the
    /// machinery failed.
    NoResult,
    StillPassing,
}

impl Difference {
    /// Returns the heading under which people see it.
    pub fn title(self) -> &'static str {
        match self {
            Difference::NewlyFailing => "Newly failing",
            Difference::StillFailing => "Still failing",
            Difference::Flaky => "Flaky",
            Difference::NewlyPassing => "Newly passing",
            Difference::NoResult => "No result",
            Difference::StillPassing => "Still passing",
        }
    }
}

/// The comparison of one project.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProjectComparison {
    pub project: String,
    pub difference: Difference,
    /// The cell at the older revision, or `None` if there is none.
    #[schema(required = true)]
    pub base: Option<Cell>,
    /// The cell at the newer revision, or `None` if there is none.
    #[schema(required = true)]
    pub now: Option<Cell>,
    /// The tests that passed at the older revision and fail at the newer one. `newly_failing`, `newly_passing` and
    /// `still_failing` are empty unless both revisions have results of single tests.
    pub newly_failing: Vec<String>,
    pub newly_passing: Vec<String>,
    pub still_failing: Vec<String>,
}

impl ProjectComparison {
    /// Keeps only the newly failing and newly passing tests that reruns confirmed. A newly failing or newly passing
    /// project is flaky if no change of its kind is confirmed.
    pub fn confirmed(mut self, broke: &BTreeSet<Subject>, fixed: &BTreeSet<Subject>) -> Self {
        let is = |subjects: &BTreeSet<Subject>, test: &String| subjects.contains(&Subject::Test(test.clone()));
        self.newly_failing.retain(|test| is(broke, test));
        self.newly_passing.retain(|test| is(fixed, test));
        let is_unconfirmed = match self.difference {
            Difference::NewlyFailing => broke.is_empty(),
            Difference::NewlyPassing => fixed.is_empty(),
            _ => false,
        };
        if is_unconfirmed {
            self.difference = Difference::Flaky;
        }
        self
    }
}

/// Compares the results of one project at two revisions. If the project fails at both, a single newly failing test
/// makes it newly failing.
pub fn compare(project: &str, base: &ProjectResult, now: &ProjectResult) -> ProjectComparison {
    let difference = match (base.cell, now.cell) {
        (Some(Cell::Flaky), Some(Cell::Pass | Cell::Fail | Cell::Flaky))
        | (Some(Cell::Pass | Cell::Fail), Some(Cell::Flaky)) => Difference::Flaky,
        (Some(Cell::Pass), Some(Cell::Fail)) => Difference::NewlyFailing,
        (Some(Cell::Fail), Some(Cell::Fail)) => Difference::StillFailing,
        (Some(Cell::Fail), Some(Cell::Pass)) => Difference::NewlyPassing,
        (Some(Cell::Pass), Some(Cell::Pass)) => Difference::StillPassing,
        _ => Difference::NoResult,
    };
    let mut compared = ProjectComparison {
        project: project.to_owned(),
        difference,
        base: base.cell,
        now: now.cell,
        newly_failing: Vec::new(),
        newly_passing: Vec::new(),
        still_failing: Vec::new(),
    };
    if let (Some(before), Some(after)) = (&base.tests, &now.tests) {
        let failed =
            |tests: &Tests| -> BTreeSet<String> { tests.failed.iter().map(|failure| failure.test.clone()).collect() };
        let (failed_before, failed_after) = (failed(before), failed(after));
        let passed_before: BTreeSet<&String> = before.passed.iter().collect();
        let passed_after: BTreeSet<&String> = after.passed.iter().collect();
        // A test without a result at the other revision has not changed.
        for test in &failed_after {
            if failed_before.contains(test) {
                compared.still_failing.push(test.clone());
            } else if passed_before.contains(test) {
                compared.newly_failing.push(test.clone());
            }
        }
        let fixed = failed_before.iter().filter(|test| passed_after.contains(test));
        compared.newly_passing = fixed.cloned().collect();
        // A new failure counts even if the suite failed before.
        if compared.difference == Difference::StillFailing && !compared.newly_failing.is_empty() {
            compared.difference = Difference::NewlyFailing;
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::Failure;

    fn side(cell: Cell, failed: &[&str], passed: &[&str]) -> ProjectResult {
        let tests = Tests {
            failed: failed.iter().map(|test| Failure::of(test, "boom")).collect(),
            passed: passed.iter().map(|test| (*test).to_owned()).collect(),
            ..Tests::default()
        };
        ProjectResult {
            cell: Some(cell),
            tests: Some(tests),
        }
    }

    #[test]
    fn each_pair_of_cells_has_its_difference() {
        use Cell::*;
        let plain = |cell| ProjectResult { cell, tests: None };
        for (base, now, expected) in [
            (Some(Pass), Some(Pass), Difference::StillPassing),
            (Some(Pass), Some(Fail), Difference::NewlyFailing),
            (Some(Fail), Some(Fail), Difference::StillFailing),
            (Some(Fail), Some(Pass), Difference::NewlyPassing),
            (Some(Flaky), Some(Fail), Difference::Flaky),
            (Some(Pass), Some(Flaky), Difference::Flaky),
            (Some(NoImage), Some(Fail), Difference::NoResult),
            (Some(Pass), Some(Pending), Difference::NoResult),
            (Some(Flaky), Some(Skipped), Difference::NoResult),
            (None, Some(Pass), Difference::NoResult),
            (Some(Unknown), None, Difference::NoResult),
        ] {
            let compared = compare("p", &plain(base), &plain(now));
            assert_eq!(compared.difference, expected, "{base:?} {now:?}");
        }
    }

    #[test]
    fn an_unconfirmed_difference_is_flaky() {
        let base = side(Cell::Pass, &[], &["a", "b"]);
        let now = side(Cell::Fail, &["a", "b"], &[]);
        let set = |tests: &[&str]| {
            tests
                .iter()
                .map(|test| Subject::Test((*test).into()))
                .collect::<BTreeSet<_>>()
        };
        let compared = compare("p", &base, &now);
        let confirmed = compared.clone().confirmed(&set(&["b"]), &set(&[]));
        assert_eq!(
            (confirmed.difference, confirmed.newly_failing),
            (Difference::NewlyFailing, vec!["b".to_owned()])
        );
        let none = compared.confirmed(&set(&[]), &set(&["a"]));
        assert_eq!((none.difference, none.newly_failing), (Difference::Flaky, vec![]));
    }

    #[test]
    fn only_tests_with_results_on_both_sides_are_compared() {
        let base = side(Cell::Fail, &["old", "fixed", "gone"], &["new", "well"]);
        let now = side(Cell::Fail, &["old", "new", "came"], &["fixed", "well"]);
        let compared = compare("p", &base, &now);
        assert_eq!(
            compared.difference,
            Difference::NewlyFailing,
            "a new failure in a failing suite"
        );
        assert_eq!(compared.newly_failing, ["new"]);
        assert_eq!(compared.newly_passing, ["fixed"]);
        assert_eq!(compared.still_failing, ["old"]);
        let same = compare("p", &base, &base);
        assert_eq!(
            (same.difference, same.newly_failing),
            (Difference::StillFailing, vec![])
        );
    }
}
