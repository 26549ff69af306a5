//! The texts of pages about hosts.

use super::badge::{Badge, badge};
use crate::domain::host::{CONSECUTIVE_FAILURES_MOST, Capabilities, HostState};
use crate::domain::time::Timestamp;
use crate::domain::waiting::ONLINE_MS;
use crate::store::hosts::HostRow;
use std::collections::BTreeSet;

/// Returns the badge for the state of a host at `now`.
pub fn host_badge(host: &HostRow, now: Timestamp) -> Badge {
    match (host.state, &host.token, host.seen_at) {
        (HostState::Removed, ..) => badge("skipped", "↷", "removed"),
        (HostState::Quarantined, ..) => badge("fail", "✗", "quarantined"),
        (_, None, _) => badge("unknown", "?", "no token"),
        (_, _, None) => badge("running", "▸", "never seen"),
        (_, _, Some(at)) if now - at >= ONLINE_MS => badge("unknown", "?", "silent"),
        (HostState::Active, ..) if host.backoff_until.is_some_and(|until| now < until) => {
            badge("unknown", "?", "backing off")
        }
        (HostState::Active, ..) if host.consecutive_failures >= CONSECUTIVE_FAILURES_MOST => {
            badge("running", "▸", "on trial")
        }
        (HostState::Draining, ..) => badge("running", "▸", "draining"),
        (HostState::Active, ..) => badge("pass", "✓", "active"),
    }
}

/// Describes the host policy in sentences: `Accepts all projects and branches 3.14, trunk. Labels: gpu.`
pub fn policy(capabilities: &Capabilities) -> String {
    let accepted = |names: &Option<BTreeSet<String>>, what: &str| match names {
        Some(names) => format!("{what} {}", list(names)),
        None => format!("all {what}"),
    };
    let mut sentences = vec![format!(
        "Accepts {} and {}.",
        accepted(&capabilities.projects, "projects"),
        accepted(&capabilities.branches, "branches")
    )];
    if !capabilities.labels.is_empty() {
        sentences.push(format!("Labels: {}.", list(&capabilities.labels)));
    }
    let limits = [
        capabilities.cpus.map(|cpus| format!("{cpus} processors")),
        capabilities.memory_mib.map(|mib| format!("{mib} MiB of memory")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if !limits.is_empty() {
        sentences.push(format!("A run may use {}.", limits.join(" and ")));
    }
    if let Some(hours) = &capabilities.hours {
        sentences.push(format!("Works {hours}."));
    }
    sentences.join(" ")
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}
