//! The verdict on the page of a run. docs/verdicts.md explains each word.

use super::badge::{Badge, badge};
use crate::verdict::Verdict;

/// The proof for a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    None,
    /// An investigation has ended, but did not find a culprit for all subjects.
    Answered,
    Incident,
}

/// Returns the badge and the sentence of a verdict, or `None` if they would add nothing to the cell.
pub fn run_verdict(verdict: &Verdict, proof: Proof) -> Option<(Badge, &'static str)> {
    let found = match (verdict, proof) {
        (Verdict::Ok, _) => (badge("pass", "✓", "ok"), "This run passes, like the one before."),
        (Verdict::Suspect { .. }, Proof::Incident) => (
            badge("fail", "✗", "confirmed"),
            "The following passed before and fails here. Reruns on both revisions confirmed the change.",
        ),
        (Verdict::Suspect { .. }, Proof::Answered) => (
            badge("fail", "✗", "investigated"),
            "The following passed before and fails here. An investigation has ended with the result below.",
        ),
        (Verdict::Suspect { .. }, Proof::None) => (
            badge("fail", "✗", "suspect"),
            "The following passed before and fails here. Pybots reports nothing until reruns on both revisions confirm it.",
        ),
        (Verdict::StillFailing { .. }, _) => (
            badge("fail", "✗", "still failing"),
            "Everything that fails here failed before too.",
        ),
        (Verdict::Fixed { .. }, _) => (
            badge("pass", "✓", "fixed"),
            "The following failed before and passes here.",
        ),
        (Verdict::Flaky, _) => (
            badge("flaky", "≈", "flaky"),
            "Some runs on this image pass and others fail.",
        ),
        (Verdict::New, _) => (badge("pass", "✓", "new"), "There is no earlier result to compare with."),
        (Verdict::NewFailing { passes_elsewhere }, _) if passes_elsewhere.is_empty() => (
            badge("fail", "✗", "new and failing"),
            "What fails here has no earlier result, on this branch or another.",
        ),
        (Verdict::NewFailing { .. }, _) => (
            badge("fail", "✗", "new and failing"),
            "What fails here has no earlier result on this branch. On another branch, the following passes.",
        ),
        (Verdict::AlwaysFailing, _) => (
            badge("fail", "✗", "always failing"),
            "What fails here has never passed on this branch, and fails on other branches too.",
        ),
        (Verdict::ImageFailed | Verdict::Unknown | Verdict::Skipped | Verdict::Pending, _) => return None,
    };
    Some(found)
}
