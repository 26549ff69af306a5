//! The texts of pages about incidents and investigations.

use super::badge::{Badge, badge};

/// Returns the badge of a state, given by [`crate::domain::incident::State::name`]. `fixed_on` lists the branches on
/// which the incident is fixed.
pub fn incident_badge(state: &str, fixed_on: &[String]) -> Badge {
    match state {
        "confirmed" => badge("fail", "✗", "confirmed"),
        "culprit_found" => badge("fail", "✗", "culprit found"),
        "reported" => badge("flaky", "!", "reported"),
        "fixed_on" => badge("running", "✓", format!("fixed on {}", fixed_on.join(", "))),
        "waived" => badge("skipped", "–", "waived"),
        _ => badge("pass", "✓", "closed"),
    }
}

/// Returns the badge for claims that only projects in probation support.
pub fn unconfirmed_badge() -> Badge {
    badge("flaky", "?", "unconfirmed by others")
}

/// Returns who acts on an incident, given the name of the assignee.
pub fn assignee(name: &str) -> &'static str {
    match name {
        "projects" => "CPython changed this on purpose, so the projects have to adapt.",
        _ => "This is for CPython to fix.",
    }
}

/// Returns the question of an investigation, given the name of the change.
pub fn question(change: &str) -> &'static str {
    match change {
        "fixed" => "what fixed it",
        _ => "what broke it",
    }
}
