//! From results to incidents.
//!
//! A run that has ended is compared with the history of its series. Each change is investigated: runs on both sides
//! prove the change, and further runs search the revision that caused it. The answer becomes an incident, fixes one, or
//! explains the failure otherwise. The rules are in [`crate::verdict`], which does no I/O. This module reads their
//! input and acts on their decisions.
//!
//! ```text
//! a run has ended
//!   -> detect          compares it with its history; a suspicion opens an investigation
//!        first_results: another host repeats the results of a new host before they count
//!        known_regressions, suppression: a change that is explained, or was answered recently, opens none
//!        flakiness: some runs are repeated
//!   -> schedule        gives each open investigation its turn
//!        places: how many are worked on at the same time, and which of them go first
//!        run_requests, eligible_hosts: which runs an investigation wants next, and which hosts can make them
//!   -> conclude        stores the answer
//!        evidence, incidents: opens an incident, joins one, or records a fix
//!        follow_up: opens the next investigation, such as the one inside a merge
//!   -> recheck         looks again when the suppression by an answer is over
//! ```
//!
//! Beside this, build_failures opens and closes incidents about builds, and dependency_locks pins the versions of
//! dependencies and refreshes them.
//!
//! A pass keeps nothing in memory. It reads the store, so a missed event or a restart changes no answer, and any step
//! can be repeated.

mod build_failures;
mod conclude;
mod context;
mod dependency_locks;
mod detect;
mod eligible_hosts;
mod evidence;
mod first_results;
mod flakiness;
mod follow_up;
pub mod history;
mod incidents;
mod known_regressions;
mod model;
mod places;
mod recheck;
mod run_requests;
mod schedule;
mod suppression;

pub use context::Context;
pub use follow_up::merged_line;
pub use model::{Pass, WantedImage};

use crate::recipe::Registered;
use anyhow::Result;

/// Makes one pass over new results, builds, old locks, open investigations, and answers whose suppression is over. An
/// error ends the pass; the next one does the rest.
pub async fn tick(context: &Context<'_>, projects: &[Registered]) -> Result<Pass> {
    let mut pass = Pass::default();
    incidents::end_those_that_left(context.store, context.now).await?;
    recheck::tick(context, projects).await?;
    first_results::tick(context).await?;
    detect::tick(context, projects).await?;
    build_failures::tick(context).await?;
    pass.jobs += dependency_locks::tick(context).await?;
    schedule::tick(context, projects, &mut pass).await?;
    Ok(pass)
}
