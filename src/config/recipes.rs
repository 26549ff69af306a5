//! `[recipes]`: the repository that holds recipes, and how recipes that people submit are approved.

use crate::domain::address::Address;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// A maintainer decides about every version.
    #[default]
    Maintainer,
    /// A version whose trial passes is approved at once, if it installs only releases from the package index and asks
    /// for nothing more.
    Policy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecipesSettings {
    /// URL or path of a git repository of recipes, which replaces the folder `projects`. Empty if there is none.
    pub git: Address,
    /// The branch or tag of that repository.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The folder of the recipes in that repository. Empty for its root.
    pub folder: String,
    /// The person or rule that approves the versions of submitted recipes.
    pub approval: Approval,
}

impl Default for RecipesSettings {
    fn default() -> Self {
        Self {
            git: Address::default(),
            reference: "main".to_owned(),
            folder: String::new(),
            approval: Approval::default(),
        }
    }
}

impl RecipesSettings {
    /// Checks the repository of recipes. The error says what is wrong and what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        let Self {
            git, reference, folder, ..
        } = self;
        if git.with_login().starts_with('-') || git.with_login().chars().any(char::is_control) {
            return Err(format!(
                "`recipes.git` is {git:?}; write the URL or path of a git repository"
            ));
        }
        if reference.is_empty() || reference.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!(
                "`recipes.ref` is {reference:?}; write the name of a branch or tag"
            ));
        }
        let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
        if !folder.is_empty() && !folder.split('/').all(is_plain) {
            return Err(format!(
                "`recipes.folder` is {folder:?}; write a path below the root of the repository, such as `projects`"
            ));
        }
        Ok(())
    }

    pub fn approves_by_policy(&self) -> bool {
        self.approval == Approval::Policy
    }
}
