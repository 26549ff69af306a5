//! Requests that the strict stand-in refuses, because no caller may make them of a real engine.

use crate::runtime::{ATTEMPT_LABEL, Container, HOST_LABEL, KIND_LABEL, Network, PHASE_LABEL, PROJECT_LABEL, Volume};
use std::collections::BTreeMap;

/// Returns whether an object with these labels must be gone when the attempt is over.
pub fn is_of_attempt(labels: &BTreeMap<String, String>) -> bool {
    [HOST_LABEL, ATTEMPT_LABEL]
        .iter()
        .any(|label| labels.contains_key(*label))
}

/// Checks the sandbox, which protects the owner of the machine. Returns what is wrong, or `None`.
pub fn unsafe_about(container: &Container, volumes: &BTreeMap<String, Volume>) -> Option<&'static str> {
    let labelled = [HOST_LABEL, ATTEMPT_LABEL]
        .iter()
        .all(|label| container.labels.contains_key(*label));
    let of_project = container.labels.contains_key(PROJECT_LABEL);
    let phase = container.labels.get(PHASE_LABEL).map_or("", String::as_str);
    match container {
        _ if !labelled => Some("bears no labels of its host and attempt"),
        c if of_project && c.user != "1000:1000" => Some("runs a project as another user"),
        c if of_project && matches!(c.network, Network::Open(_)) => Some("of a project reaches the network itself"),
        c if phase.starts_with("test") && c.network != Network::Loopback => Some("tests with a network"),
        c if c.memory.0 == 0 || c.pids == 0 || c.cpus <= 0.0 => Some("has no limits"),
        c => wrong_cache(c, volumes),
    }
}

/// Checks that no phase mounts wheels, because it runs strangers' code. A container that serves a phase may mount only
/// the wheels of its own project, whose code has built them.
fn wrong_cache(container: &Container, volumes: &BTreeMap<String, Volume>) -> Option<&'static str> {
    let label = |labels: &BTreeMap<String, String>, name: &str| labels.get(name).cloned().unwrap_or_default();
    let mut wheels = container.volumes.iter().filter_map(|(name, _)| {
        let labels = &volumes.get(name)?.labels;
        (label(labels, KIND_LABEL) == "wheels").then_some(labels)
    });
    let phase = label(&container.labels, PHASE_LABEL);
    let project = label(&container.labels, PROJECT_LABEL);
    let wrong = |labels| !phase.is_empty() || project.is_empty() || label(labels, PROJECT_LABEL) != project;
    wheels.any(wrong).then_some("has wheels that are not for it")
}
