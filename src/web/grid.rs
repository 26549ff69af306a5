//! The matrix as its template reads it. Pure.

use super::Query;
use super::words::{Badge, CellView, Time, cell_view, image_badge, image_sentence, meaning_badge, short, time};
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
    /// Whether the row above is the same check-in as another variant.
    pub again: bool,
    pub revision: RevisionView,
    pub image: ImageView,
    pub cells: Vec<CellView>,
    /// What the row says before its cells do.
    pub meaning: Option<Badge>,
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
    /// `free-threaded`, or what else is not the default; the default too where it is one of several.
    pub variant: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct ImageView {
    pub badge: Badge,
    pub label: String,
    pub href: Option<String>,
    /// How far it is, in words.
    pub state: String,
    /// The check-in whose image stands for this one.
    pub shared: Option<SharedView>,
}

#[derive(Debug, Serialize)]
pub struct SharedView {
    pub name: String,
    pub href: String,
}

/// What is shown of the variants that there are.
#[derive(Debug, Serialize)]
pub struct VariantsView {
    /// The one whose rows alone are shown.
    pub asked: Option<String>,
    /// Empty where there is only one.
    pub links: Vec<VariantLink>,
}

#[derive(Debug, Serialize)]
pub struct VariantLink {
    pub name: String,
    pub here: bool,
}

/// The variant that a query asks for: a name, which needs no escape in a link.
pub fn asked(query: &Query) -> Option<&str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = query.get("variant")?;
    (!name.is_empty() && name.chars().all(fine)).then_some(name)
}

/// Leaves the rows that are asked for. `known` are variants that there are beside those of the rows.
pub fn variants(matrix: &mut Matrix, known: Vec<String>, asked: Option<&str>) -> VariantsView {
    let mut names = known;
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
        name,
    });
    VariantsView {
        links: links.collect(),
        asked: asked.map(str::to_owned),
    }
}

/// A matrix as seen at `now`.
pub fn grid(matrix: &Matrix, mixed: bool, now: i64) -> Grid {
    let above = std::iter::once(None).chain(matrix.rows.iter().map(Some));
    let rows = matrix
        .rows
        .iter()
        .zip(above)
        .enumerate()
        .map(|(place, (row, above))| RowView {
            meaning: meaning_badge(matrix.meaning(place)),
            again: above.is_some_and(|above| above.revision_id == row.revision_id),
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
        variant: row.told_variant().map(str::to_owned),
    }
}

pub fn image(row: &Row) -> ImageView {
    let badge = image_badge(&row.image);
    let shared = row.built_from.as_ref().map(|built| SharedView {
        name: short(built.name()).to_owned(),
        href: format!("/revision/{}", built.sha),
    });
    let state = image_sentence(&row.image);
    let label = match &shared {
        Some(SharedView { name, .. }) => {
            format!("image of {name}, from which this check-in does not differ in anything that is built: {state}")
        }
        None if matches!(row.image, ImageState::Impossible(_)) => format!("no image: {state}"),
        None => format!("image: {state}"),
    };
    ImageView {
        label,
        href: row.image_id.as_ref().map(|id| format!("/image/{id}")),
        shared,
        state,
        badge,
    }
}
