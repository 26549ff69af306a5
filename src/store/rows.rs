//! Converts rows of the database to values. An error names the row and the column.

use super::types::{Ending, Flag};
use crate::domain::access::{Permissions, Roles};
use crate::domain::host::{Capabilities, HostState, Labels};
use crate::domain::id::*;
use crate::domain::job::{Facts, JobSpec, Report};
use crate::domain::outcome::Outcome;
use crate::domain::project::ProjectTags;
use crate::domain::recipe_version::{ProjectState, VersionState};
use crate::domain::state::{AttemptState, ImageState, JobKind, JobState, Repetition, Request};
use crate::domain::streak::FailureStreak;
use crate::domain::time::Timestamp;
use crate::verdict::Cell;
use sqlx::any::AnyRow;
use sqlx::{Row, ValueRef};

/// A column with a value that this program never writes. The row was changed by hand, or by another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{table} {id}: {column} can't be read: {problem}")]
pub struct BadRow {
    pub table: &'static str,
    /// The value of the row's key column.
    pub id: String,
    pub column: String,
    pub problem: String,
}

impl BadRow {
    /// Returns the bad row that an error of the store is about, or `None` if the error has another cause.
    pub fn of(error: &anyhow::Error) -> Option<&Self> {
        error
            .chain()
            .find_map(|cause| match cause.downcast_ref::<sqlx::Error>() {
                Some(sqlx::Error::Decode(bad)) => bad.downcast_ref(),
                _ => cause.downcast_ref(),
            })
    }
}

impl From<BadRow> for sqlx::Error {
    fn from(bad: BadRow) -> Self {
        sqlx::Error::Decode(Box::new(bad))
    }
}

/// A row of `table`, named in errors by its column `key`.
pub(super) struct Cells<'r> {
    pub row: &'r AnyRow,
    pub table: &'static str,
    pub key: &'static str,
}

impl Cells<'_> {
    pub fn read<T: Column>(&self, column: &str) -> Result<T, BadRow> {
        T::read(self, column)
    }

    fn bad(&self, column: &str, error: sqlx::Error) -> BadRow {
        BadRow {
            table: self.table,
            id: self.row.try_get(self.key).unwrap_or_default(),
            column: column.to_owned(),
            problem: match error {
                sqlx::Error::ColumnDecode { source, .. } => source.to_string(),
                other => other.to_string(),
            },
        }
    }
}

/// A type to which a column can be decoded.
pub(super) trait Column: Sized {
    fn read(cells: &Cells<'_>, column: &str) -> Result<Self, BadRow>;
}

macro_rules! columns {
    ($($type:ty),+ $(,)?) => {$(
        impl Column for $type {
            fn read(cells: &Cells<'_>, column: &str) -> Result<Self, BadRow> {
                cells.row.try_get(column).map_err(|error| cells.bad(column, error))
            }
        }
    )+};
}

columns!(String, i64, Timestamp, Flag);
columns!(
    BranchId, RevisionId, ImageId, RunId, JobId, JobGroupId, AttemptId, HostId
);
columns!(InvestigationId, RegressionId, IncidentId, NoteId);
columns!(AccountId, TokenId, Permissions, Roles, ProjectState, VersionState);
columns!(
    AttemptState,
    Cell,
    HostState,
    ImageState,
    JobKind,
    JobState,
    Repetition,
    Request
);
columns!(
    Capabilities,
    Ending,
    Facts,
    FailureStreak,
    JobSpec,
    Labels,
    Outcome,
    ProjectTags,
    Report
);

impl Column for bool {
    fn read(cells: &Cells<'_>, column: &str) -> Result<Self, BadRow> {
        cells.read::<Flag>(column).map(|flag| flag.0)
    }
}

impl<T: Column> Column for Option<T> {
    fn read(cells: &Cells<'_>, column: &str) -> Result<Self, BadRow> {
        match cells.row.try_get_raw(column) {
            Ok(value) if value.is_null() => Ok(None),
            _ => cells.read(column).map(Some),
        }
    }
}

/// A column whose error does not affect the rest of the row. Callers that need its value handle the error.
impl<T: Column> Column for Result<T, BadRow> {
    fn read(cells: &Cells<'_>, column: &str) -> Result<Self, BadRow> {
        Ok(cells.read(column))
    }
}

/// Implements `FromRow` for a struct: each field is read from the column of its name.
///
/// `from_row!(HostRow, "host" by "id": id, name, state);`
macro_rules! from_row {
    ($row:ident, $table:literal by $key:literal: $($field:ident),+ $(,)?) => {
        impl<'r> sqlx::FromRow<'r, sqlx::any::AnyRow> for $row {
            fn from_row(row: &'r sqlx::any::AnyRow) -> Result<Self, sqlx::Error> {
                let cells = $crate::store::rows::Cells { row, table: $table, key: $key };
                Ok(Self {
                    $($field: cells.read(stringify!($field))?),+
                })
            }
        }
    };
}

pub(super) use from_row;
