//! How far back results are looked for.

use super::super::Coordinator;
use super::broken::Broken;
use crate::known::Known;
use crate::store::judge::Column;
use crate::verdict::{Row, Subject, is_short};
use anyhow::Result;

/// Results back to which a baseline is looked for.
pub const BACK: i64 = 30;
/// Most results that are looked back.
pub const BACK_MOST: i64 = 480;

/// What is known up to a place, as far back as it takes to say when what failed passed; also, of those that have `to_pass`,
/// what has failed for long. None: some tests are not there yet.
pub async fn rows_back(
    coordinator: &Coordinator,
    column: &Column<'_>,
    seq: i64,
    broken: &Broken,
    to_pass: &[Subject],
    now: i64,
) -> Result<Option<Vec<Known>>> {
    let mut back = broken.back();
    let about: Vec<&Subject> = broken.subjects().chain(to_pass).collect();
    loop {
        let Some(known) = coordinator.results().rows(column, seq, back, &about, now).await? else {
            return Ok(None);
        };
        let plain: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
        let is_all = (known.len() as i64) < back || back >= BACK_MOST;
        if is_all || !is_short(&plain, broken.subjects(), to_pass) {
            return Ok(Some(known));
        }
        back = BACK_MOST;
    }
}
