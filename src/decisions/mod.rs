//! What maintainers, operators and host owners decide, through the API and on the coordinator's machine alike: about incidents,
//! jobs and hosts. Each decision checks the permission of its actor, and is in the audit log.

mod hosts;
mod incidents;
mod jobs;

pub use hosts::{HostMove, HostRequest, add_host, move_host};
pub use incidents::{IncidentDecision, decide};
pub use jobs::{JobMove, move_job};
