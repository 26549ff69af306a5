//! `pybots config`: prints the settings in force.

use super::table;
use crate::config::Loaded;
use crate::profile::Profiles;
use anyhow::Result;
use std::process::ExitCode;

/// Prints each setting with its value and origin. Fails afterwards if a variant has no build profile.
pub fn run(loaded: &Loaded) -> Result<ExitCode> {
    let rows = loaded
        .lines()
        .into_iter()
        .map(|(key, value, origin)| vec![key, value, origin])
        .collect::<Vec<_>>();
    out!("{}", table::plain(&["setting", "value", "from"], &rows));
    // `pybots up` makes the same check: the build profiles define the variants, not the settings
    let profiles = Profiles::load(loaded.settings.images_folder())?;
    loaded.settings.buildable(&profiles)?;
    Ok(ExitCode::SUCCESS)
}
