//! Entity tags of projects, by which two edits at once are noticed.

use crate::store::submissions::RecipeVersion;
use crate::web::Error;

/// Characters of a digest in a tag.
const DIGEST: usize = 16;

/// The beginning of a digest, as it is in a tag.
pub fn short(digest: &str) -> String {
    digest.chars().take(DIGEST).collect()
}

/// The entity tag of a project: the number and the digest of its newest version, and a digest of the rest.
pub fn project_tag(newest: Option<&RecipeVersion>, rest: &str) -> String {
    let (number, digest) = newest.map_or((0, ""), |version| (version.number, &version.digest));
    format!("\"{number}-{}-{}\"", short(digest), short(rest))
}

/// The number of the version in the tag that a submission is sent with, and the beginning of that version's digest. The rest of the
/// project may have changed since, as when a trial has ended.
pub fn version_of_tag(tag: &str) -> Result<(i64, &str), Error> {
    let mut parts = tag.trim_matches('"').split('-');
    let number = parts.next().and_then(|number| number.parse().ok());
    let digest = parts.next();
    match (number, digest) {
        (Some(0), Some("")) => Ok((0, "")),
        (Some(number), Some(digest)) if digest.len() == DIGEST => Ok((number, digest)),
        _ => Err(Error::Stale("`If-Match` is no entity tag of a project".into())),
    }
}
