//! `pybots config`.

use super::table;
use crate::config::Loaded;
use crate::profile::Profiles;
use anyhow::Result;
use std::process::ExitCode;

pub fn run(loaded: &Loaded) -> Result<ExitCode> {
    let rows = loaded
        .lines()
        .into_iter()
        .map(|(key, value, origin)| vec![key, value, origin])
        .collect::<Vec<_>>();
    out!("{}", table::plain(&["setting", "value", "from"], &rows));
    // what `pybots up` would say: a variant is known by the build profiles, which are files of their own
    let profiles = Profiles::load(loaded.settings.images_folder())?;
    loaded.settings.buildable(&profiles)?;
    Ok(ExitCode::SUCCESS)
}
