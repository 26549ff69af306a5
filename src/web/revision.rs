//! The page of a revision, on every branch that has it, with the results of all projects.

use super::error::{Error, HandlerResult};
use super::frame;
use super::grid::{self, ImageView, RevisionHead};
use super::incidents::{self, IncidentLine};
use super::patch::{self, PatchView};
use super::route::Web;
use super::template::Template;
use super::wording::{self, Badge, row_name};
use crate::clock::now;
use crate::domain::time::Timestamp;
use crate::store::views::{Column, Row};
use anyhow::Result;
use serde::Serialize;

/// The most incidents that the page names.
const INCIDENTS: i64 = 10;

#[derive(Default, Serialize)]
pub struct RevisionPage {
    pub revision: RevisionHead,
    /// The incidents that began at this revision.
    pub incidents: Vec<IncidentLine>,
    pub rows: Vec<VariantRow>,
    /// What the revision changes. `None` if nobody may see it.
    pub patch: Option<PatchView>,
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
    /// The address of the comparison with the newest earlier revision that has an image of the variant.
    pub compare: Option<String>,
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
    let mut page = RevisionPage {
        revision: grid::revision(first, now),
        ..RevisionPage::default()
    };
    let mut numbers = Vec::new();
    for row in &matrix.rows {
        let before = match row.image_id {
            Some(_) => web.store.sha_before(&row.revision_id, &row.variant).await?,
            None => None,
        };
        page.rows.push(row_view(row, &matrix.columns, before.as_deref(), now));
        numbers.extend(web.store.incidents_at(&row.revision_id, INCIDENTS).await?);
    }
    page.incidents = incidents_of(&web, numbers, now).await?;
    page.patch = patch::of(&web, &first.sha).await?;
    let title = format!("{} {}", page.revision.short, page.revision.subject);
    frame::respond(&web, title, page).await
}

/// Reads the incidents with these numbers, which may repeat.
async fn incidents_of(web: &Web, mut numbers: Vec<i64>, now: Timestamp) -> Result<Vec<IncidentLine>> {
    numbers.sort_unstable();
    numbers.dedup();
    let mut lines = Vec::new();
    for number in numbers.into_iter().rev() {
        let incident = web.incidents().one(number, now).await?;
        lines.extend(incident.iter().map(|incident| incidents::line(incident, now)));
    }
    Ok(lines)
}

fn row_view(row: &Row, columns: &[Column], before: Option<&str>, now: Timestamp) -> VariantRow {
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
        compare: before.map(|before| {
            let [before, this] = [before, &row.sha].map(|sha| row_name(sha, &row.variant));
            format!("/compare/{before}/{this}")
        }),
        cells: cells.collect(),
    }
}
