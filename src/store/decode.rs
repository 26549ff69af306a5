//! Decodes columns that hold text or numbers. Only this folder reads stored JSON, names and flags.

use super::rows::BadRow;
use crate::domain::job::Report;
use serde::de::DeserializeOwned;

/// The row whose columns are decoded. Errors name this row.
#[derive(Clone, Copy)]
pub struct RowOf<'a> {
    pub table: &'static str,
    pub id: &'a str,
}

impl RowOf<'_> {
    /// Decodes JSON.
    pub fn json<T: DeserializeOwned>(self, column: &'static str, text: &str) -> Result<T, BadRow> {
        serde_json::from_str(text).map_err(|error| self.unreadable(column, error.to_string()))
    }

    /// Decodes the report of an attempt. Returns `None` if the attempt has none yet.
    pub fn report(self, text: Option<&str>) -> Result<Option<Report>, BadRow> {
        text.map(|text| self.json("report", text)).transpose()
    }

    /// Decodes a truth value, which is stored as 0 or 1.
    pub fn flag(self, column: &'static str, number: i64) -> Result<bool, BadRow> {
        match number {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.unreadable(column, format!("{other} is neither 0 nor 1"))),
        }
    }

    /// Finds the value that is stored under a name.
    pub fn named<T: Copy>(
        self,
        column: &'static str,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> Result<T, BadRow> {
        let found = all.iter().copied().find(|value| name_of(*value) == name);
        found.ok_or_else(|| self.unreadable(column, format!("{name:?} is not one of its names")))
    }

    fn unreadable(self, column: &'static str, reason: String) -> BadRow {
        BadRow {
            table: self.table,
            id: self.id.to_owned(),
            column: column.to_owned(),
            problem: reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_row_and_the_column() {
        let row = RowOf {
            table: "regression",
            id: "r1",
        };
        assert_eq!(row.flag("exact", 1), Ok(true));
        assert_eq!(row.json::<Vec<String>>("subjects", "[\"a\"]"), Ok(vec!["a".to_owned()]));
        let error = row.flag("exact", 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "regression r1: exact can't be read: 2 is neither 0 nor 1"
        );
        let error = row.json::<Vec<String>>("subjects", "{").unwrap_err();
        assert_eq!((error.id.as_str(), error.column.as_str()), ("r1", "subjects"));
        assert!(row.named("state", "odd", &[true, false], |_| "even").is_err());
    }
}
