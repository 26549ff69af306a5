//! The cells of a matrix as a flat list, for scripts. Pure.

use super::{Matrix, Row};
use crate::domain::outcome::Outcome;
use serde::Serialize;

/// A cell of the flat list that scripts read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResultCell {
    pub branch: String,
    pub revision: String,
    /// What people call the revision, `r45321`, if it is a check-in of Subversion.
    pub label: Option<String>,
    pub project: String,
    pub variant: String,
    pub platform: String,
    /// [`Cell::name`].
    pub state: &'static str,
    /// [`Outcome::name`].
    pub outcome: Option<&'static str>,
    pub exit_code: Option<i64>,
    /// Wall-clock seconds.
    pub seconds: Option<f64>,
    /// Id of the run.
    pub run: Option<String>,
}

impl Matrix {
    /// The cells that are not empty, row by row.
    pub fn results(&self) -> Vec<ResultCell> {
        let of_row = |row: &Row| -> Vec<ResultCell> {
            let filled = self
                .columns
                .iter()
                .zip(&row.cells)
                .filter_map(|(column, cell)| Some((column, cell.as_ref()?)));
            filled
                .map(|(column, cell)| ResultCell {
                    branch: row.branch.clone(),
                    revision: row.sha.clone(),
                    label: row.label.clone(),
                    project: column.name.clone(),
                    variant: row.variant.clone(),
                    platform: row.platform.clone(),
                    state: cell.state.name(),
                    outcome: cell.outcome.as_ref().map(Outcome::name),
                    exit_code: cell.outcome.as_ref().and_then(Outcome::exit_code),
                    seconds: cell.seconds,
                    run: cell.run.clone(),
                })
                .collect()
        };
        self.rows.iter().flat_map(of_row).collect()
    }
}
