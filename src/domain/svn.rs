//! Revisions of Subversion, and the folders in which they are made.

use std::fmt;
use std::str::FromStr;

/// A revision as Subversion names it, written as `UUID PATH@NUMBER`. It does not have the repository's address, because
/// a server may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvnRevision {
    pub folder: SvnFolder,
    pub number: u64,
}

/// A folder whose revisions make a branch, written as `UUID PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvnFolder {
    /// The unique id of the repository.
    pub uuid: String,
    /// From the root of the repository, such as `python/branches/release25-maint`.
    pub path: String,
}

impl SvnRevision {
    /// Returns the name of the revision on pages: `r45321`.
    pub fn label(&self) -> String {
        format!("r{}", self.number)
    }
}

/// Returns the number of a label such as `r45321`. Returns `None` if the text is not a label.
pub fn number(label: &str) -> Option<u64> {
    let digits = label.strip_prefix('r')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

impl fmt::Display for SvnFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.uuid, self.path)
    }
}

impl fmt::Display for SvnRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.folder, self.number)
    }
}

impl FromStr for SvnRevision {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (folder, number) = text.rsplit_once('@').ok_or(())?;
        let (uuid, path) = folder.split_once(' ').ok_or(())?;
        // a path may hold blanks and `@`; a UUID never does
        if uuid.is_empty() || path.is_empty() {
            return Err(());
        }
        Ok(Self {
            folder: SvnFolder {
                uuid: uuid.to_owned(),
                path: path.to_owned(),
            },
            number: number.parse().map_err(|_| ())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_read_as_it_is_written() {
        for text in ["6015fed2-1504 python/trunk@45321", "6015fed2-1504 a@b/ä c@1"] {
            let revision: SvnRevision = text.parse().unwrap();
            assert_eq!(revision.to_string(), text);
        }
        for text in ["", "trunk@1", "uuid trunk", "uuid trunk@", "uuid trunk@x", " trunk@1"] {
            assert!(text.parse::<SvnRevision>().is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_numbers_after_an_r() {
        assert_eq!(number("r45321"), Some(45321));
        for text in ["r", "45321", "r-1", "r+1", "r1a", "r0", "r01", "r99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
