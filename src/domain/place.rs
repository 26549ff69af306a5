//! Where in a Subversion repository a check-in was made.

use std::fmt;
use std::str::FromStr;

/// A check-in as Subversion names it. Written `UUID PATH@NUMBER`: the address of the repository is
/// no part of it, for a server may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: Line,
    pub number: u64,
}

/// A folder whose check-ins make a branch. Written `UUID PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The repository's own id, which no other repository has.
    pub uuid: String,
    /// Below the repository's root, e.g. `python/branches/release25-maint`.
    pub path: String,
}

impl Place {
    /// What people call the check-in: `r45321`.
    pub fn label(&self) -> String {
        format!("r{}", self.number)
    }
}

/// The number of a label such as `r45321`; None if the text is no label.
pub fn number(label: &str) -> Option<u64> {
    let digits = label.strip_prefix('r')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.uuid, self.path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.line, self.number)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (line, number) = text.rsplit_once('@').ok_or(())?;
        let (uuid, path) = line.split_once(' ').ok_or(())?;
        // a path may hold blanks and `@`; a UUID never does
        if uuid.is_empty() || path.is_empty() {
            return Err(());
        }
        Ok(Self {
            line: Line {
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
    fn a_place_is_read_as_it_is_written() {
        for text in ["6015fed2-1504 python/trunk@45321", "6015fed2-1504 a@b/ä c@1"] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
        }
        for text in ["", "trunk@1", "uuid trunk", "uuid trunk@", "uuid trunk@x", " trunk@1"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
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
