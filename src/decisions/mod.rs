//! Decisions of maintainers, operators and host owners about incidents, jobs and hosts. The API and the command line on
//! the coordinator's machine use the same functions. Each decision checks the permission of its actor, and the audit
//! log records each that changes something.

mod hosts;
mod incidents;
mod jobs;

pub use hosts::{HostMove, HostRequest, add_host, move_host};
pub use incidents::{IncidentDecision, decide};
pub use jobs::{JobMove, move_job};
