//! Entity tags of projects, which detect concurrent edits.

use crate::store::submissions::RecipeVersion;
use crate::web::Error;

/// The number of characters of a digest in a tag.
const DIGEST: usize = 16;

/// Returns the beginning of a digest, as a tag contains it.
pub fn short(digest: &str) -> String {
    digest.chars().take(DIGEST).collect()
}

/// Returns the entity tag of a project: the number and the digest of its newest version, and a digest of the rest.
pub fn project_tag(newest: Option<&RecipeVersion>, rest: &str) -> String {
    let (number, digest) = newest.map_or((0, ""), |version| (version.number, &version.digest));
    format!("\"{number}-{}-{}\"", short(digest), short(rest))
}

/// Parses the tag of a submission. Returns the number of the version and the beginning of its digest. Ignores the rest
/// of the project, which may have changed since, for example because a trial has ended.
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
