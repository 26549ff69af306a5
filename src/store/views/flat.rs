//! The cells of a matrix as a flat list, for scripts.

use super::{Matrix, Row};
use crate::domain::id::RunId;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::verdict::Cell;
use serde::Serialize;
use utoipa::ToSchema;

/// A cell of the flat list that scripts read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ResultCell {
    pub branch: String,
    /// The hash of the revision.
    pub revision: String,
    /// The name of a Subversion revision: `r45321`.
    #[schema(required = true)]
    pub label: Option<String>,
    pub project: String,
    pub variant: String,
    pub platform: String,
    /// The revision from which the image was built, if it is another one.
    #[schema(required = true)]
    pub image_of: Option<String>,
    /// The name of the revision from which the image was built, if it is another one and of Subversion.
    #[schema(required = true)]
    pub image_of_label: Option<String>,
    pub state: Cell,
    /// The outcome of the attempt that explains the state: `passed`, `failed`, `crashed`, `timed_out`, `out_of_memory`,
    /// `setup_failed`, `recipe_error`, `infra`, `cancelled` or `skipped`. `null` while there is none.
    #[schema(value_type = Option<String>, required = true)]
    pub outcome: Option<&'static str>,
    /// Why the project is skipped, why there is no image, why the run waits, or which space limit it hit.
    #[schema(required = true)]
    pub reason: Option<String>,
    #[schema(required = true)]
    pub exit_code: Option<i64>,
    /// The duration in seconds of the attempt that explains the state.
    #[schema(required = true)]
    pub seconds: Option<f64>,
    /// The id of the run; its page is `/run/ID`, and its log `/api/v1/logs/ID`.
    #[schema(value_type = Option<String>, required = true)]
    pub run: Option<RunId>,
}

impl Matrix {
    /// Returns the cells that are not empty, row by row, as seen at `now`.
    pub fn results(&self, now: Timestamp) -> Vec<ResultCell> {
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
                    image_of: row.built_from.as_ref().map(|built| built.sha.clone()),
                    image_of_label: row.built_from.as_ref().and_then(|built| built.label.clone()),
                    state: cell.state,
                    outcome: cell.outcome.as_ref().map(Outcome::name),
                    reason: cell.reason(row, now),
                    exit_code: cell.outcome.as_ref().and_then(Outcome::exit_code),
                    seconds: cell.seconds,
                    run: cell.run.clone(),
                })
                .collect()
        };
        self.rows.iter().flat_map(of_row).collect()
    }
}
