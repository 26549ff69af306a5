//! The matrix as its template reads it. Pure.

use super::words::{Badge, CellView, Time, cell_view, image_badge, image_sentence, short, time};
use crate::domain::DEFAULT_VARIANT;
use crate::store::views::{Column, ImageState, Matrix, Row};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Grid {
    pub columns: Vec<Column>,
    pub rows: Vec<RowView>,
    /// Whether rows name their branch.
    pub mixed: bool,
}

#[derive(Debug, Serialize)]
pub struct RowView {
    pub revision: RevisionView,
    pub image: ImageView,
    pub cells: Vec<CellView>,
}

#[derive(Debug, Serialize)]
pub struct RevisionView {
    pub branch: String,
    pub sha: String,
    pub short: String,
    pub subject: String,
    pub author: String,
    pub version: Option<String>,
    pub committed: Time,
    /// When a force-push took it off its branch.
    pub left: Option<Time>,
    /// `free-threaded`, or what else is not the default.
    pub variant: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct ImageView {
    pub badge: Badge,
    pub label: String,
    pub href: Option<String>,
    /// The check-in whose image stands for this one.
    pub shared: Option<String>,
}

/// A matrix as seen at `now`.
pub fn grid(matrix: &Matrix, mixed: bool, now: i64) -> Grid {
    let rows = matrix.rows.iter().map(|row| RowView {
        revision: revision(row, now),
        image: image(row),
        cells: matrix
            .columns
            .iter()
            .zip(&row.cells)
            .map(|(column, cell)| cell_view(&column.name, row, cell.as_ref()))
            .collect(),
    });
    Grid {
        columns: matrix.columns.clone(),
        rows: rows.collect(),
        mixed,
    }
}

pub fn revision(row: &Row, now: i64) -> RevisionView {
    RevisionView {
        branch: row.branch.clone(),
        short: short(row.name()).to_owned(),
        sha: row.sha.clone(),
        subject: row.subject.clone(),
        author: row.author.clone(),
        version: row.version.clone(),
        committed: time(row.committed_at, now),
        left: row.left_at.map(|at| time(at, now)),
        variant: (row.variant != DEFAULT_VARIANT).then(|| row.variant.clone()),
    }
}

pub fn image(row: &Row) -> ImageView {
    let badge = image_badge(&row.image);
    let shared = row.built_from.as_deref().map(|name| short(name).to_owned());
    let state = image_sentence(&row.image);
    let label = match &shared {
        Some(other) => {
            format!("image of {other}, from which this check-in does not differ in anything that is built: {state}")
        }
        None if matches!(row.image, ImageState::Impossible(_)) => format!("no image: {state}"),
        None => format!("image: {state}"),
    };
    ImageView {
        label,
        href: row.image_id.as_ref().map(|id| format!("/image/{id}")),
        shared,
        badge,
    }
}
