//! The matrix, in the form that its template reads.

use super::choices::Choices;
use super::wording::{
    Badge, Time, badge, cell_badge, image_badge, image_sentence, meaning_badge, place, sentence, short, time,
};
use crate::domain::DEFAULT_VARIANT;
use crate::domain::time::Timestamp;
use crate::domain::trust::Trust;
use crate::store::views::{Column, ImageProgress, Matrix, Row, RunCell};
use serde::Serialize;
use std::ops::Range;

/// The most cells on a page, which bound its size: a cell takes some 170 bytes.
const CELLS_MOST: usize = 600;
/// The fewest projects on a page, also if many rows make it larger.
const PROJECTS_LEAST: usize = 8;

#[derive(Debug, Default, Serialize)]
pub struct Grid {
    pub columns: Vec<Column>,
    pub rows: Vec<GridRow>,
    /// Whether the rows name their branch.
    pub mixed: bool,
    /// The number of columns besides that of revisions.
    pub width: usize,
}

#[derive(Debug, Default, Serialize)]
pub struct GridRow {
    /// Whether the row above has the same revision as another variant.
    pub again: bool,
    pub revision: RevisionHead,
    pub image: ImageView,
    pub cells: Vec<CellView>,
    /// The common state of most cells in the row.
    pub meaning: Option<Badge>,
    /// How many rows below this one are left out, because nothing changed at them.
    pub folded: usize,
}

/// A cell in the matrix.
#[derive(Debug, Default, Serialize)]
pub struct CellView {
    pub badge: Badge,
    /// The full sentence, for tooltips and screen readers.
    pub label: String,
    pub href: Option<String>,
    /// Whether the cell says the same as the one before it.
    pub is_same: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct RevisionHead {
    pub branch: String,
    pub sha: String,
    pub short: String,
    pub subject: String,
    pub author: String,
    pub version: Option<String>,
    pub committed: Time,
    /// When a force-push removed the revision from its branch.
    pub left: Option<Time>,
    /// The variant. `None` if the revision is built only as the default variant.
    pub variant: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct ImageView {
    pub badge: Badge,
    /// The full sentence, for tooltips and screen readers.
    pub label: String,
    pub href: Option<String>,
    /// The revision that the image was built from, if it differs from the row's.
    pub shared: Option<SharedView>,
}

#[derive(Debug, Default, Serialize)]
pub struct SharedView {
    pub name: String,
    pub href: String,
}

/// Links to the variants.
#[derive(Debug, Default, Serialize)]
pub struct VariantsView {
    /// The only variant that the page shows; `None` for all.
    pub asked: Option<String>,
    /// The query of the page with all variants.
    pub all: String,
    /// Empty if there is only one variant.
    pub links: Vec<VariantLink>,
}

#[derive(Debug, Default, Serialize)]
pub struct VariantLink {
    pub name: String,
    pub here: bool,
    /// The query of the page with this variant.
    pub href: String,
}

/// Restricts a matrix to the chosen variant, if there is one. Returns links to the variants in `others` and of all rows,
/// or no links if there is only one variant and none is chosen.
pub fn restrict(matrix: &mut Matrix, others: Vec<String>, choices: &Choices) -> VariantsView {
    let asked = choices.variant.as_deref();
    let mut names = others;
    names.extend(matrix.rows.iter().map(|row| row.variant.clone()));
    names.extend(asked.map(str::to_owned));
    names.sort_by_key(|name| (name != DEFAULT_VARIANT, name.clone()));
    names.dedup();
    if let Some(asked) = asked {
        matrix.keep_variant(asked);
    }
    let several = names.len() > 1 || asked.is_some();
    let links = names.into_iter().filter(|_| several).map(|name| VariantLink {
        here: asked == Some(name.as_str()),
        href: choices.with_variant(Some(&name)).address(),
        name,
    });
    VariantsView {
        links: links.collect(),
        asked: asked.map(str::to_owned),
        all: choices.with_variant(None).address(),
    }
}

/// A row that a page shows, by its index in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownRow {
    pub index: usize,
    /// How many rows below it are left out.
    folded: usize,
}

/// Chooses the rows that a page shows: all, or the newest one and those at which something changed.
pub fn rows(matrix: &Matrix, only_changes: bool) -> Vec<ShownRow> {
    let mut shown: Vec<ShownRow> = Vec::new();
    for index in 0..matrix.rows.len() {
        match shown.last_mut() {
            Some(last) if only_changes && !matrix.has_change(index) => last.folded += 1,
            _ => shown.push(ShownRow { index, folded: 0 }),
        }
    }
    shown
}

/// The projects that a page shows, if there are more than fit.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColumnsView {
    /// The position of the first project shown, from 1, and of the last one.
    pub first: usize,
    pub last: usize,
    pub all: usize,
    /// The queries of the pages with the projects before, and with those after.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Chooses the columns that a page with so many rows shows: those from the chosen project on, or from the next one in
/// their order.
pub fn columns(matrix: &Matrix, rows: usize, choices: &Choices) -> (Range<usize>, ColumnsView) {
    let all = matrix.columns.len();
    let most = (CELLS_MOST / rows.max(1)).max(PROJECTS_LEAST);
    let name = |at: usize| matrix.columns.get(at).map(|column| column.name.as_str());
    let link = |at: usize| name(at).map(|name| choices.with_projects(name).address());
    let asked = choices.projects.as_deref().map_or(0, |from| {
        matrix.columns.partition_point(|column| column.name.as_str() < from)
    });
    // after the last project, the last ones are shown
    let first = if asked == all { all.saturating_sub(most) } else { asked };
    let last = all.min(first + most);
    let view = ColumnsView {
        first: first + 1,
        last,
        all,
        before: (first > 0).then(|| link(first.saturating_sub(most))).flatten(),
        after: link(last),
    };
    (first..last, view)
}

/// Builds the view of some rows and the columns `shown` of a matrix at `now`. `mixed` makes the rows name their branch.
pub fn grid(
    matrix: &Matrix,
    (rows, shown): (&[ShownRow], Range<usize>),
    mixed: bool,
    trust: &Trust,
    now: Timestamp,
) -> Grid {
    let columns = matrix.columns.get(shown.clone()).unwrap_or_default();
    let mut views: Vec<GridRow> = Vec::new();
    let mut above = None;
    for ShownRow { index, folded } in rows.iter().copied() {
        let Some(row) = matrix.rows.get(index) else { continue };
        let cells = columns.iter().zip(shown.clone()).map(|(column, at)| {
            let cell = row.cells.get(at).and_then(Option::as_ref);
            let view = with_fewer(cell_view(&column.name, row, cell, now), matrix.fewer_tests(index, at));
            match matrix.is_same(index, at) {
                Some(true) => CellView {
                    label: format!("{}; the same as before", view.label),
                    is_same: true,
                    ..view
                },
                _ => view,
            }
        });
        views.push(GridRow {
            meaning: meaning_badge(matrix.meaning(index, trust)),
            again: above == Some(&row.revision_id),
            revision: revision(row, now),
            image: image(row, now),
            cells: cells.collect(),
            folded,
        });
        above = Some(&row.revision_id);
    }
    Grid {
        columns: columns.to_vec(),
        width: columns.len() + 1,
        rows: views,
        mixed,
    }
}

pub fn revision(row: &Row, now: Timestamp) -> RevisionHead {
    RevisionHead {
        branch: row.branch.clone(),
        short: short(row.name()).to_owned(),
        sha: row.sha.clone(),
        subject: row.subject.clone(),
        author: row.author.clone(),
        version: row.version.clone(),
        committed: time(row.committed_at, now),
        left: row.left_at.map(|at| time(at, now)),
        variant: row.shown_variant().map(str::to_owned),
    }
}

pub fn image(row: &Row, now: Timestamp) -> ImageView {
    let badge = image_badge(&row.image);
    let shared = row.built_from.as_ref().map(|built| SharedView {
        name: short(built.name()).to_owned(),
        href: format!("/revision/{}", built.sha),
    });
    let state = image_sentence(row, now);
    let label = match &shared {
        Some(SharedView { name, .. }) => {
            format!("image of {name}, because nothing that is built differs between the two revisions: {state}")
        }
        None if matches!(row.image, ImageProgress::Impossible(_)) => format!("no image: {state}"),
        None => format!("image: {state}"),
    };
    ImageView {
        label,
        href: row.image_id.as_ref().map(|id| format!("/image/{id}")),
        shared,
        badge,
    }
}

/// Says in the label of a cell how many tests fewer than before ran.
fn with_fewer(view: CellView, fewer: Option<usize>) -> CellView {
    match fewer {
        None => view,
        Some(fewer) => CellView {
            label: format!("{}; {fewer} fewer tests than before", view.label),
            ..view
        },
    }
}

fn cell_view(project: &str, row: &Row, cell: Option<&RunCell>, now: Timestamp) -> CellView {
    let place = place(project, row);
    let Some(cell) = cell else {
        let label = format!("{place}: not run; the project was registered later");
        return CellView {
            badge: badge("empty", "·", ""),
            label,
            ..CellView::default()
        };
    };
    let href = match (&cell.run, &row.image_id) {
        (Some(run), _) => Some(format!("/run/{run}")),
        (None, Some(image)) => Some(format!("/image/{image}")),
        (None, None) => Some(format!("/revision/{}", row.sha)),
    };
    CellView {
        badge: cell_badge(cell),
        label: format!("{place}: {}", sentence(cell, row, now)),
        href,
        is_same: false,
    }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
