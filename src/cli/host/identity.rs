//! The id of a host.

use anyhow::{Context, Result};
use std::path::Path;

/// The file with the host's id, which labels the containers, images and volumes that the host creates.
pub const ID_FILE: &str = "host-id";

/// Returns the host's id. It is stored in the data folder, so that the host finds its leftovers on the engine after a
/// crash.
pub fn host_id(data: &Path) -> Result<String> {
    let path = data.join(ID_FILE);
    if let Ok(id) = std::fs::read_to_string(&path)
        && uuid::Uuid::parse_str(id.trim()).is_ok()
    {
        return Ok(id.trim().to_owned());
    }
    let id = crate::store::new_id();
    std::fs::write(&path, &id).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(id)
}
