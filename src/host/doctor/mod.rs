//! `pybots host doctor`: checks whether a machine can work, and says what to fix. Leaves nothing on the machine.

mod coordinator;
mod diagnosis;
mod engine;
mod index;
mod machine;

pub use diagnosis::{Diagnosis, Enrolment, Severity};

use crate::config::Settings;

/// Runs all checks. Each comes after the checks that it depends on.
pub async fn examine(settings: &Settings, enrolment: &Enrolment) -> Vec<Diagnosis> {
    let (mut diagnoses, engine) = engine::examine(settings).await;
    diagnoses.extend(machine::disk(settings, engine.as_ref().map(|engine| &engine.is)));
    diagnoses.extend(machine::say(settings, engine.as_ref().map(|engine| &engine.is)));
    diagnoses.extend(coordinator::examine(enrolment).await);
    if let Some(engine) = engine {
        diagnoses.push(index::examine(settings, engine).await);
    }
    diagnoses
}
