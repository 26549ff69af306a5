//! `[[branch]]`: the watched lines of CPython, and how each is built.

use super::{Kind, Settings, SettingsError};
use crate::domain::DEFAULT_VARIANT;
use crate::profile::Profiles;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchSettings {
    /// What people call it, e.g. `trunk`.
    pub name: String,
    /// Its branch or tag in git, or its path below `source.svn`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// How many of the newest check-ins are taken at first sight.
    #[serde(default = "one")]
    pub first: u32,
    /// How CPython is built: one image and one run of each project for each.
    #[serde(default = "default_variant")]
    pub variants: Vec<String>,
    /// Instead of `retention.days`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Which repository it is in; see [`SourceSettings::kind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Kind>,
}

pub(super) fn default_variant() -> Vec<String> {
    vec![DEFAULT_VARIANT.to_owned()]
}

fn one() -> u32 {
    1
}

impl BranchSettings {
    /// A branch of which nothing but name and ref is said.
    pub fn new(name: &str, reference: &str) -> Self {
        Self {
            name: name.to_owned(),
            reference: reference.to_owned(),
            first: one(),
            variants: default_variant(),
            keep_days: None,
            source: None,
        }
    }
}

impl Settings {
    /// Refuses a variant that no build profile has, which settings alone can't tell.
    pub fn buildable(&self, profiles: &Profiles) -> Result<(), SettingsError> {
        for branch in &self.branch {
            for variant in &branch.variants {
                profiles
                    .knows_variant(variant)
                    .map_err(|reason| SettingsError::Nonsense(format!("branch {:?}: {reason}", branch.name)))?;
            }
        }
        Ok(())
    }
}

/// Says what is wrong with the branches, and what to write instead.
pub(super) fn sane(branches: &[BranchSettings]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for branch in branches {
        if !is_name(&branch.name) || branch.name == "all" {
            return Err(format!(
                "the branch name {:?} can't be used; write letters, digits, `-`, `_` and `.`",
                branch.name
            ));
        }
        if !names.insert(&branch.name) {
            return Err(format!(
                "two branches are called {:?}; give each a name of its own",
                branch.name
            ));
        }
        variants(branch)?;
        if branch.first == 0 {
            return Err(format!("branch {:?}: `first` must be at least 1", branch.name));
        }
        if branch.reference.starts_with('-') || branch.reference.is_empty() {
            return Err(format!("branch {:?}: {:?} is no ref", branch.name, branch.reference));
        }
    }
    Ok(())
}

/// Whether a profile has them is not known here: see [`Settings::buildable`].
fn variants(branch: &BranchSettings) -> Result<(), String> {
    if branch.variants.is_empty() || !branch.variants.iter().all(|name| is_name(name)) {
        return Err(format!(
            "branch {:?}: `variants` must name at least one, e.g. [\"default\", \"debug\"]",
            branch.name
        ));
    }
    let mut seen = BTreeSet::new();
    match branch.variants.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(format!(
            "branch {:?}: `variants` names {twice:?} twice; name each once",
            branch.name
        )),
        None => Ok(()),
    }
}

fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.chars().all(fine)
}
