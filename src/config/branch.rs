//! `[[branch]]`: the watched branches of CPython, and how each is built.

use crate::domain::DEFAULT_VARIANT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The kind of repository that a branch is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Git,
    Svn,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchSettings {
    /// The name that pages show, such as `trunk`.
    pub name: String,
    /// The branch or tag in git, or the path below `source.svn`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The number of newest revisions that are taken when the branch is first read.
    #[serde(default = "one")]
    pub first: u32,
    /// The variants of CPython to build. Each revision gets an image, and a run of each project, for each of them.
    #[serde(default = "default_variant")]
    pub variants: Vec<String>,
    /// Replaces `retention.days` for the images of this branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// The repository that the branch is in. If absent, see [`super::SourceSettings::kind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceKind>,
}

pub(super) fn default_variant() -> Vec<String> {
    vec![DEFAULT_VARIANT.to_owned()]
}

fn one() -> u32 {
    1
}

impl BranchSettings {
    /// Builds a branch with a name and a ref, and defaults for everything else.
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

/// Checks the branches. The error says what is wrong and what to write instead.
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
            return Err(format!("branch {:?}: {:?} is not a ref", branch.name, branch.reference));
        }
    }
    Ok(())
}

/// Checks that a branch has variants, each with a valid name and only once. [`super::Settings::buildable`] checks
/// whether a profile has them.
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
