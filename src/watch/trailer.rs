//! The last line of an imported commit's message, which names its Subversion revision.

use crate::domain::svn::SvnRevision;

const PREFIX: &str = "svn: ";

/// Returns the line for a revision: `svn: UUID PATH@NUMBER`.
pub fn trailer(revision: &SvnRevision) -> String {
    format!("{PREFIX}{revision}")
}

/// Returns the Subversion revision that a commit was imported from, or `None` if the commit was made in git.
pub fn svn_revision(message: &str) -> Option<SvnRevision> {
    message
        .trim_end()
        .lines()
        .next_back()?
        .strip_prefix(PREFIX)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_counts() {
        let revision: SvnRevision = "uuid python/trunk@7".parse().unwrap();
        let message = format!("One.\n\n{}\n", trailer(&revision));
        assert_eq!(svn_revision(&message), Some(revision));
        assert_eq!(svn_revision("svn: uuid python/trunk@7\n\nand no end"), None);
        assert_eq!(svn_revision(""), None);
    }
}
