//! Opens the store of a coordinator.

use crate::config::Settings;
use crate::store::Store;
use anyhow::{Result, bail};

/// Opens the store that a coordinator with these settings uses. Fails if no coordinator has run with them, instead of
/// making an empty store.
pub async fn store(settings: &Settings) -> Result<Store> {
    if settings.database.is_empty() && !settings.data.exists() {
        bail!(
            "there is nothing in {} yet; start `pybots up` with the same settings first",
            settings.data.display()
        );
    }
    Store::open(settings.database_url().with_login()).await
}
