//! Opens the store of a coordinator.

use crate::config::Settings;
use crate::store::Store;
use anyhow::{Result, bail};

/// Opens the store of a coordinator with these settings. If no coordinator has run with them, fails and does not create
/// an empty store.
pub async fn store(settings: &Settings) -> Result<Store> {
    if settings.database.is_empty() && !settings.data.exists() {
        bail!(
            "there is nothing in {} yet; start `pybots up` with the same settings first",
            settings.data.display()
        );
    }
    Store::open(settings.database_url().with_login()).await
}
