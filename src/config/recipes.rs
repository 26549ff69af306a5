//! `[recipes]`: how recipes that people submit are approved.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// A maintainer decides about every version.
    #[default]
    Maintainer,
    /// A version whose trial passes is approved at once, if it only takes releases of the package index and asks for nothing more.
    Policy,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecipesSettings {
    /// Who approves the versions of submitted recipes.
    pub approval: Approval,
}

impl RecipesSettings {
    pub fn approves_by_policy(&self) -> bool {
        self.approval == Approval::Policy
    }
}
