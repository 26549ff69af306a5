//! The version of a CPython tree.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The version in a tree's `Include/patchlevel.h`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonVersion {
    pub major: u64,
    pub minor: u64,
    /// The version as the tree has it, such as `3.16.0a0` or `2.5.6c1`, without a `+` at the end.
    pub full: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no Python version in {0:?}")]
pub struct NoVersion(String);

impl PythonVersion {
    /// Reads `PY_VERSION` from the text of `Include/patchlevel.h`. Every version of CPython defines it there.
    pub fn from_patchlevel(header: &str) -> Result<Self, NoVersion> {
        header
            .lines()
            .filter_map(|line| line.trim().strip_prefix("#define"))
            .filter_map(|rest| rest.trim().strip_prefix("PY_VERSION"))
            .find_map(|rest| rest.trim().trim_matches('"').parse().ok())
            .ok_or_else(|| NoVersion("Include/patchlevel.h".to_owned()))
    }

    /// Major and minor version, such as `3.16`. Recipes and profiles are chosen by it.
    pub fn line(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// Returns whether a PEP 440 set such as `>=3.9,<3.15` contains the version. Only major and minor count, so that an
    /// alpha of 3.16 is in `>=3.16`.
    pub fn is_in(&self, when: &pep440_rs::VersionSpecifiers) -> bool {
        when.contains(&pep440_rs::Version::new([self.major, self.minor]))
    }
}

impl FromStr for PythonVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let full = text.trim().trim_end_matches('+');
        let mut parts = full.splitn(3, '.');
        let mut number = || -> Option<u64> {
            let part = parts.next()?;
            let digits = part.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        match (number(), number()) {
            (Some(major), Some(minor)) => Ok(Self {
                major,
                minor,
                full: full.to_owned(),
            }),
            _ => Err(NoVersion(text.to_owned())),
        }
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_and_new_headers() {
        let new = "#define PY_MAJOR_VERSION        3\n/* Version as a string */\n#define PY_VERSION              \"3.16.0a0\"\n";
        let version = PythonVersion::from_patchlevel(new).unwrap();
        assert_eq!((version.line().as_str(), version.full.as_str()), ("3.16", "3.16.0a0"));
        let old = "#define PY_VERSION      \t\"2.5.6c1\"\n";
        assert_eq!(PythonVersion::from_patchlevel(old).unwrap().line(), "2.5");
        let plus = "#define PY_VERSION \"2.7.18+\"";
        assert_eq!(PythonVersion::from_patchlevel(plus).unwrap().full, "2.7.18");
        assert!(PythonVersion::from_patchlevel("nothing here").is_err());
    }

    #[test]
    fn an_alpha_counts_as_its_minor_version() {
        let alpha: PythonVersion = "3.16.0a1".parse().unwrap();
        assert!(alpha.is_in(&">=3.16".parse().unwrap()));
        assert!(!alpha.is_in(&"<3.16".parse().unwrap()));
    }
}
