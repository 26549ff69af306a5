//! The coordinator's address and the host's token, which the first start saves in the data folder.

use crate::cli::files::write_private;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Saves the given value in a file that only its owner can read, and returns it. If none is given, returns the value
/// that an earlier start saved. Fails if there is none either.
pub fn keep(data: &Path, name: &str, flag: &str, given: Option<String>) -> Result<String> {
    let path = data.join(name);
    match given {
        Some(given) => {
            write_private(&path, &given).with_context(|| format!("failed to write {}", path.display()))?;
            Ok(given)
        }
        None => match kept(data, name) {
            Some(text) => Ok(text),
            None => bail!(
                "this host was not enrolled yet ({flag} is missing); `pybots host add NAME --owner MAIL` on the coordinator \
                 prints the command to start it with"
            ),
        },
    }
}

/// Returns the value that an earlier start saved, or `None`.
pub fn kept(data: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(data.join(name)).ok()?;
    Some(text.trim().to_owned())
}
