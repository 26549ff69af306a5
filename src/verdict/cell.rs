//! The state of a cell, from all its attempts.

use crate::domain::names::names;
use crate::domain::outcome::{Blame, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a row and a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    Pass,
    Fail,
    /// Valid attempts disagree.
    Flaky,
    /// No attempt is valid: the machinery failed, the recipe is wrong, or the attempts were cancelled.
    Unknown,
    /// There is no image to run on.
    NoImage,
    Skipped,
    /// The run waits or is in progress.
    Pending,
}

impl Cell {
    /// Returns whether the cell shows that code passed or failed.
    pub fn is_decided(self) -> bool {
        matches!(self, Cell::Pass | Cell::Fail | Cell::Flaky)
    }
}

names!(
    Cell, "state of a cell":
    Pass = "pass",
    Fail = "fail",
    Flaky = "flaky",
    Unknown = "unknown",
    NoImage = "no_image",
    Skipped = "skipped",
    Pending = "pending",
);

/// Returns the cell of a run from the outcomes of its attempts. `open` means that its job waits or is in progress.
pub fn cell<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, open: bool) -> Cell {
    let (mut passed, mut failed, mut skipped) = (false, false, false);
    for outcome in outcomes {
        match (outcome, outcome.blame()) {
            (Outcome::Passed, _) => passed = true,
            (Outcome::Skipped { .. }, _) => skipped = true,
            (_, Blame::Code) => failed = true,
            (_, Blame::Nobody | Blame::RecipeOwner | Blame::Operator) => {}
        }
    }
    match (passed, failed) {
        (true, true) => Cell::Flaky,
        (true, false) => Cell::Pass,
        (false, true) => Cell::Fail,
        (false, false) if open => Cell::Pending,
        (false, false) if skipped => Cell::Skipped,
        (false, false) => Cell::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Timeout;

    #[test]
    fn all_attempts_count_and_their_order_does_not() {
        let pass = Outcome::Passed;
        let fail = Outcome::Failed { exit_code: 1 };
        let crash = Outcome::Crashed { signal: 11 };
        let hang = Outcome::TimedOut {
            which: Timeout::Silence,
        };
        let setup = Outcome::SetupFailed {
            reason: "x".into(),
            exit_code: None,
        };
        let infra = Outcome::Infra { reason: "x".into() };
        let recipe = Outcome::RecipeError { reason: "x".into() };
        let skip = Outcome::Skipped { reason: "x".into() };
        let table: &[(&[&Outcome], bool, Cell)] = &[
            (&[], true, Cell::Pending),
            (&[], false, Cell::Unknown),
            (&[&pass], false, Cell::Pass),
            (&[&fail], false, Cell::Fail),
            (&[&crash], false, Cell::Fail),
            (&[&hang], false, Cell::Fail),
            (&[&setup], false, Cell::Fail),
            (&[&pass, &fail], false, Cell::Flaky),
            (&[&fail, &pass], false, Cell::Flaky),
            (&[&infra], false, Cell::Unknown),
            (&[&infra], true, Cell::Pending),
            (&[&infra, &pass], false, Cell::Pass),
            (&[&fail, &infra], false, Cell::Fail),
            (&[&recipe], false, Cell::Unknown),
            (&[&Outcome::Cancelled], false, Cell::Unknown),
            (&[&skip], false, Cell::Skipped),
        ];
        for (outcomes, open, expected) in table {
            assert_eq!(cell(outcomes.iter().copied(), *open), *expected, "{outcomes:?}");
        }
    }
}
