//! The order of the rules for one case: the hint, then confirm, then search.

use super::answer::{Answer, RangeReason};
use super::case::{Case, NextAction};
use super::confirm::{Confirmation, confirm, try_hint};
use super::samples::Samples;
use super::search::search;

/// Returns the next action in a case, from all its samples.
pub fn next(case: &Case, samples: &Samples) -> NextAction {
    if let Some(action) = try_hint(case, samples) {
        return action;
    }
    match confirm(case, samples) {
        Confirmation::NeedsRuns(probes) => NextAction::Confirm(probes),
        Confirmation::Rejected(answer) => NextAction::Answer(answer),
        Confirmation::Flakier(rate) => NextAction::Answer(Answer::Range {
            good: 0,
            bad: case.last,
            why: RangeReason::Flakier,
            rate: Some(rate),
        }),
        Confirmation::Confirmed(rate) => search(case, samples, rate),
    }
}
