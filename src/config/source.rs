//! The repositories that branches are in.

use super::{BranchSettings, Settings};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    /// The git repository that holds CPython: a URL or a path; empty: none.
    pub git: String,
    /// The Subversion repository, or a folder in it, below which branches are; empty: none.
    pub svn: String,
}

/// What keeps a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Git,
    Svn,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            git: "https://github.com/python/cpython".to_owned(),
            svn: String::new(),
        }
    }
}

impl Settings {
    /// Whoever names a Subversion repository, and no git one, wants nothing of the default git one,
    /// nor of the default branches, which are in it.
    pub(super) fn leave_git(&mut self, by_default: impl Fn(&str) -> bool) {
        if self.source.svn.is_empty() || !by_default("source.git") {
            return;
        }
        self.source.git.clear();
        if by_default("branch") {
            self.branch = vec![
                BranchSettings::new("trunk", "trunk"),
                BranchSettings::new("2.5", "branches/release25-maint"),
            ];
        }
    }
}

impl SourceSettings {
    /// What keeps a branch: what it says, or else git, unless there is only Subversion.
    pub fn kind(&self, branch: &BranchSettings) -> Kind {
        let only_svn = self.git.is_empty() && !self.svn.is_empty();
        branch.source.unwrap_or(if only_svn { Kind::Svn } else { Kind::Git })
    }

    /// The repository of a branch, as the settings write it.
    pub fn of(&self, branch: &BranchSettings) -> &str {
        match self.kind(branch) {
            Kind::Git => &self.git,
            Kind::Svn => &self.svn,
        }
    }

    /// What is wrong with the addresses, and what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        if self.git.starts_with('-') || (self.git.is_empty() && self.svn.is_empty()) {
            return Err(format!(
                "`source.git` is {:?}; write the URL or path of a CPython repository",
                self.git
            ));
        }
        let known = match self.svn.split_once("://") {
            Some((scheme, _)) => ["svn", "http", "https", "file"].contains(&scheme) || scheme.starts_with("svn+"),
            None => true,
        };
        if !known || self.svn.starts_with('-') || self.svn.chars().any(char::is_control) {
            return Err(format!(
                "`source.svn` is {:?}; write a path, or a URL that begins with svn://, svn+ssh://, https://, http:// or file://",
                self.svn
            ));
        }
        Ok(())
    }

    /// Why a branch can't be in its repository, and what to write instead.
    pub(super) fn holds(&self, branch: &BranchSettings) -> Result<(), String> {
        let (name, path) = (&branch.name, &branch.reference);
        // a path names one folder in one way only, and stays below the address
        let odd = path.split('/').any(|part| ["", ".", ".."].contains(&part)) || path.chars().any(char::is_control);
        match self.kind(branch) {
            Kind::Git if self.git.is_empty() && !self.svn.is_empty() => Err(format!(
                "branch {name:?} has `source = \"git\"`, but there is no `source.git`; set it to the URL or path of a git repository of CPython, or take `source` out"
            )),
            Kind::Svn if self.svn.is_empty() => Err(format!(
                "branch {name:?} has `source = \"svn\"`, but there is no `source.svn`; set it to the URL or path of a Subversion repository, or take `source` out"
            )),
            Kind::Svn if odd => Err(format!(
                "branch {name:?}: the ref {path:?} is no path in a Subversion repository; write one below `source.svn`, such as `trunk` or `branches/release25-maint`"
            )),
            Kind::Git | Kind::Svn => Ok(()),
        }
    }
}
