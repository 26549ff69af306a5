//! The page of a revision, on every branch that has it, with the results of all projects.

use super::error::{Error, HandlerResult};
use super::frame;
use super::grid::{self, ImageView, RevisionHead};
use super::route::Web;
use super::template::Template;
use super::wording::{self, Badge};
use crate::clock::now;
use crate::domain::time::Timestamp;
use crate::store::views::{Column, Row};
use serde::Serialize;

#[derive(Default, Serialize)]
pub struct RevisionPage {
    pub revision: RevisionHead,
    pub rows: Vec<VariantRow>,
}

impl Template for RevisionPage {
    const NAME: &'static str = "revision";
}

#[derive(Default, Serialize)]
pub struct VariantRow {
    pub revision: RevisionHead,
    pub image: ImageView,
    /// The platform. Empty until an image is planned.
    pub platform: String,
    pub cells: Vec<ProjectCell>,
}

#[derive(Default, Serialize)]
pub struct ProjectCell {
    pub project: String,
    pub badge: Badge,
    pub sentence: String,
    pub href: Option<String>,
}

pub async fn page(sha: String, web: Web) -> HandlerResult {
    let matrix = web.store.revision_page(&sha).await?.ok_or_else(Error::not_found)?;
    let first = matrix.rows.first().ok_or_else(Error::not_found)?;
    let now = now();
    let page = RevisionPage {
        revision: grid::revision(first, now),
        rows: matrix
            .rows
            .iter()
            .map(|row| row_view(row, &matrix.columns, now))
            .collect(),
    };
    let title = format!("{} {}", page.revision.short, page.revision.subject);
    frame::respond(&web, title, page).await
}

fn row_view(row: &Row, columns: &[Column], now: Timestamp) -> VariantRow {
    let cells = columns.iter().zip(&row.cells).filter_map(|(column, cell)| {
        let cell = cell.as_ref()?;
        Some(ProjectCell {
            project: column.name.clone(),
            badge: wording::cell_badge(cell),
            sentence: wording::sentence(cell, row, now),
            href: cell.run.as_ref().map(|run| format!("/run/{run}")),
        })
    });
    VariantRow {
        revision: grid::revision(row, now),
        image: grid::image(row, now),
        platform: row.platform.clone(),
        cells: cells.collect(),
    }
}
