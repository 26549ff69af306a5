//! The context of a pass, which all parts of this module use.

use crate::config::VerdictSettings;
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;
use crate::domain::trust::Trust;
use crate::profile::Profiles;
use crate::queue::Queue;
use crate::recipe::Registered;
use crate::store::Store;
use crate::store::logs::Objects;
use crate::watch::git::Mirror;

/// The store, the settings and the time of one pass.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub store: &'a Store,
    pub objects: &'a Objects,
    pub queue: &'a Queue,
    pub mirror: &'a Mirror,
    pub settings: &'a VerdictSettings,
    /// The trust in projects, which decides whose investigations go first.
    pub trust: &'a Trust,
    /// The profiles in force. All images of an investigation are built by them, on the distribution in force.
    pub profiles: &'a Profiles,
    /// The operator's limits, which bound the limits of every recipe.
    pub limits: &'a Limits,
    /// Whether images travel between hosts through a registry.
    pub has_registry: bool,
    /// The time of the pass, in milliseconds UTC.
    pub now: Timestamp,
}

/// Returns the recipe in force of a project, or `None` if the project has none.
pub fn recipe_in_force<'a>(projects: &'a [Registered], project: &str) -> Option<&'a Registered> {
    projects.iter().find(|one| one.recipe.name.get_ref() == project)
}
