//! Entity tags of projects, by which two edits at once are noticed.

use crate::web::Error;

/// The entity tag of a project: the number of its newest version, and a digest of the rest.
pub fn project_tag(newest: i64, digest: &str) -> String {
    format!("\"{newest}-{digest}\"")
}

/// The number in the tag that a submission is sent with.
pub fn version_of_tag(tag: &str) -> Result<i64, Error> {
    let number = tag.trim_matches('"').split('-').next().unwrap_or_default();
    let stale = |_| Error::Stale("`If-Match` is no entity tag of a project".into());
    number.parse().map_err(stale)
}
