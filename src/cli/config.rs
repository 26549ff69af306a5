//! `pybots config`.

use super::table;
use crate::config::Loaded;
use anyhow::Result;
use std::process::ExitCode;

pub fn run(loaded: &Loaded) -> Result<ExitCode> {
    let rows = loaded
        .lines()
        .into_iter()
        .map(|(key, value, origin)| vec![key, value, origin])
        .collect::<Vec<_>>();
    print!("{}", table::plain(&["setting", "value", "from"], &rows));
    Ok(ExitCode::SUCCESS)
}
