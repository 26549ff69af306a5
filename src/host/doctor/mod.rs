//! `pybots host doctor`: checks whether a machine can work, and says what to fix. Changes nothing.

mod coordinator;
mod engine;
mod finding;
mod index;
mod machine;

pub use finding::{Enrolment, Finding, Severity};

use crate::config::Settings;

/// Runs all checks. Each comes after those that it depends on.
pub async fn examine(settings: &Settings, enrolment: &Enrolment) -> Vec<Finding> {
    let (mut findings, engine) = engine::examine(settings).await;
    findings.extend(machine::disk(settings, engine.as_ref().map(|engine| &engine.is)));
    findings.extend(machine::say(settings, engine.as_ref().map(|engine| &engine.is)));
    findings.extend(coordinator::examine(enrolment).await);
    if let Some(engine) = engine {
        findings.push(index::examine(settings, engine).await);
    }
    findings
}
