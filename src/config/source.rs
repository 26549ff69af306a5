//! `[source]`: the repositories that hold CPython.

use super::branch::{BranchSettings, SourceKind};
use crate::domain::address::Address;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    /// URL or path of a git repository. Empty if there is none.
    pub git: Address,
    /// URL or path of a Subversion repository, or of a folder in it that holds the branches. Empty if there is none.
    pub svn: Address,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            git: "https://github.com/python/cpython".into(),
            svn: Address::default(),
        }
    }
}

impl SourceSettings {
    /// Returns whether Pybots identifies itself to a repository. If so, its contents are not public.
    pub fn are_private(&self) -> bool {
        self.git.is_identified() || self.svn.is_identified()
    }

    /// Returns the kind of repository that holds a branch. If the branch does not set it, this is git, or Subversion if
    /// that is the only repository.
    pub fn kind(&self, branch: &BranchSettings) -> SourceKind {
        let only_svn = self.git.is_empty() && !self.svn.is_empty();
        branch
            .source
            .unwrap_or(if only_svn { SourceKind::Svn } else { SourceKind::Git })
    }

    /// Returns the address of the repository that holds a branch, as the settings write it.
    pub fn of(&self, branch: &BranchSettings) -> &Address {
        match self.kind(branch) {
            SourceKind::Git => &self.git,
            SourceKind::Svn => &self.svn,
        }
    }

    /// Checks the addresses. The error says what is wrong and what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        let (git, svn) = (self.git.with_login(), self.svn.with_login());
        if git.starts_with('-') || (git.is_empty() && svn.is_empty()) {
            return Err(format!(
                "`source.git` is {:?}; write the URL or path of a CPython repository",
                self.git
            ));
        }
        let is_address = match svn.split_once("://") {
            Some((scheme, _)) => ["svn", "http", "https", "file"].contains(&scheme) || scheme.starts_with("svn+"),
            None => true,
        };
        if !is_address || svn.starts_with('-') || svn.chars().any(char::is_control) {
            return Err(format!(
                "`source.svn` is {:?}; write a path, or a URL that begins with svn://, svn+ssh://, https://, http:// or file://",
                self.svn
            ));
        }
        Ok(())
    }

    /// Checks that a branch can be in its repository. The error says what is wrong and what to write instead.
    pub(super) fn holds(&self, branch: &BranchSettings) -> Result<(), String> {
        let (name, path) = (&branch.name, &branch.reference);
        // a folder has one path only, and it is below the address
        let odd = path.split('/').any(|part| ["", ".", ".."].contains(&part)) || path.chars().any(char::is_control);
        match self.kind(branch) {
            SourceKind::Git if self.git.is_empty() && !self.svn.is_empty() => Err(format!(
                "branch {name:?} has `source = \"git\"`, but there is no `source.git`; set it to the URL or path of a git repository of CPython, or remove `source`"
            )),
            SourceKind::Svn if self.svn.is_empty() => Err(format!(
                "branch {name:?} has `source = \"svn\"`, but there is no `source.svn`; set it to the URL or path of a Subversion repository, or remove `source`"
            )),
            SourceKind::Svn if odd => Err(format!(
                "branch {name:?}: the ref {path:?} is not a path in a Subversion repository; write one below `source.svn`, such as `trunk` or `branches/release25-maint`"
            )),
            SourceKind::Git | SourceKind::Svn => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_with_a_login_is_private() {
        let of = |git: &str, svn: &str| SourceSettings {
            git: git.into(),
            svn: svn.into(),
        };
        for public in ["https://example.org/cpython", "/srv/cpython.git", "../cpython", ""] {
            assert!(!of(public, "").are_private(), "{public}");
        }
        for private in [
            "https://me:secret@example.org/cpython",
            "https://example.org/cpython?private_token=x",
            "ssh://git@example.org/cpython",
            "svn+ssh://example.org/cpython",
            "git@example.org:cpython",
        ] {
            assert!(
                of(private, "").are_private() && of("", private).are_private(),
                "{private}"
            );
        }
    }
}
