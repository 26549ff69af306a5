//! `[trust]`: which projects are maintained, and when the results of community projects are enough to name an author.

use crate::domain::trust::{Maintained, Trust};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Stands for all projects.
const ALL: &str = "*";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSettings {
    /// Projects for whose recipes the maintainers answer; `*` for all. The built-in recipes are always maintained.
    pub maintained: Vec<String>,
    /// A community project is in probation until maintainers have agreed with this many of its incidents.
    pub probation: u32,
    /// The owners of community projects that the operator names.
    pub owner: Vec<OwnerSettings>,
}

/// One person or group, with their projects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerSettings {
    pub name: String,
    pub projects: Vec<String>,
}

impl Default for TrustSettings {
    fn default() -> Self {
        Self {
            maintained: Vec::new(),
            probation: 1,
            owner: Vec::new(),
        }
    }
}

impl TrustSettings {
    /// Checks that no project has two owners.
    pub(super) fn sane(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut projects = self.owner.iter().flat_map(|owner| &owner.projects);
        match projects.find(|project| !seen.insert(*project)) {
            Some(twice) => Err(format!(
                "`trust.owner` names the project {twice:?} twice; list it under one owner"
            )),
            None => Ok(()),
        }
    }

    /// Returns the trust that these settings describe. `are_built_in` is true if all recipes came with the program.
    pub(super) fn trust(&self, are_built_in: bool) -> Trust {
        let maintains_all = are_built_in || self.maintained.iter().any(|name| name == ALL);
        let owned = |owner: &OwnerSettings| {
            let pairs = owner.projects.iter().cloned();
            pairs.map(|project| (project, owner.name.clone())).collect::<Vec<_>>()
        };
        Trust {
            maintained: match maintains_all {
                true => Maintained::All,
                false => Maintained::These(self.maintained.iter().cloned().collect()),
            },
            probation: self.probation,
            owners: self.owner.iter().flat_map(owned).collect(),
        }
    }
}
