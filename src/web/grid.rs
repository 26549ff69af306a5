//! The matrix, in the form that its template reads.

use super::route::Query;
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
const CELLS_MOST: usize = 700;
/// The fewest projects on a page, also if many rows make it larger.
const PROJECTS_LEAST: usize = 8;

#[derive(Debug, Default, Serialize)]
pub struct Grid {
    pub columns: Vec<Column>,
    pub rows: Vec<GridRow>,
    /// Whether the rows name their branch.
    pub mixed: bool,
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
}

/// A cell in the matrix.
#[derive(Debug, Default, Serialize)]
pub struct CellView {
    pub badge: Badge,
    /// The full sentence, for tooltips and screen readers.
    pub label: String,
    pub href: Option<String>,
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
    /// Empty if there is only one variant.
    pub links: Vec<VariantLink>,
}

#[derive(Debug, Default, Serialize)]
pub struct VariantLink {
    pub name: String,
    pub here: bool,
}

/// Returns the variant in a query, if it has the form of a name. It then needs no escaping in a link.
pub fn asked(query: &Query) -> Option<&str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = query.get("variant")?;
    (!name.is_empty() && name.chars().all(fine)).then_some(name)
}

/// Restricts a matrix to the variant in `asked`, if there is one. Returns links to the variants in `others` and of all
/// rows, or no links if there is only one variant and `asked` is `None`.
pub fn restrict(matrix: &mut Matrix, others: Vec<String>, asked: Option<&str>) -> VariantsView {
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
        name,
    });
    VariantsView {
        links: links.collect(),
        asked: asked.map(str::to_owned),
    }
}

/// The projects that a page shows, if there are more than fit.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColumnsView {
    /// The position of the first project shown, from 1, and of the last one.
    pub first: usize,
    pub last: usize,
    pub all: usize,
    /// The value of `?projects=` for the projects before, and for those after.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Chooses the columns that a page shows: those from the project named `from`, or from the next one in their order.
pub fn columns(matrix: &Matrix, from: Option<&str>) -> (Range<usize>, ColumnsView) {
    let all = matrix.columns.len();
    let most = (CELLS_MOST / matrix.rows.len().max(1)).max(PROJECTS_LEAST);
    let name = |at: usize| matrix.columns.get(at).map(|column| column.name.clone());
    let asked = from.map_or(0, |from| {
        matrix.columns.partition_point(|column| column.name.as_str() < from)
    });
    // after the last project, the last ones are shown
    let first = if asked == all { all.saturating_sub(most) } else { asked };
    let last = all.min(first + most);
    let view = ColumnsView {
        first: first + 1,
        last,
        all,
        before: (first > 0).then(|| name(first.saturating_sub(most))).flatten(),
        after: name(last),
    };
    (first..last, view)
}

/// Builds the view of the columns `shown` of a matrix at `now`. `mixed` makes the rows name their branch.
pub fn grid(matrix: &Matrix, shown: Range<usize>, mixed: bool, trust: &Trust, now: Timestamp) -> Grid {
    let above = std::iter::once(None).chain(matrix.rows.iter().map(Some));
    let rows = matrix
        .rows
        .iter()
        .zip(above)
        .enumerate()
        .map(|(index, (row, above))| GridRow {
            meaning: meaning_badge(matrix.meaning(index, trust)),
            again: above.is_some_and(|above| above.revision_id == row.revision_id),
            revision: revision(row, now),
            image: image(row, now),
            cells: matrix
                .columns
                .iter()
                .zip(&row.cells)
                .enumerate()
                .take(shown.end)
                .skip(shown.start)
                .map(|(at, (column, cell))| {
                    let view = cell_view(&column.name, row, cell.as_ref(), now);
                    with_fewer(view, matrix.fewer_tests(index, at))
                })
                .collect(),
        });
    Grid {
        columns: matrix.columns.get(shown.clone()).unwrap_or_default().to_vec(),
        rows: rows.collect(),
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
            href: None,
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_as_many_projects_as_fit() {
        let column = |number: usize| Column {
            name: format!("p{number:02}"),
            registered: true,
        };
        let matrix = |rows: usize| Matrix {
            columns: (0..50).map(column).collect(),
            rows: vec![Row::default(); rows],
            older: None,
        };
        let shown = |rows, from| {
            let (range, view) = columns(&matrix(rows), from);
            assert_eq!((range.start + 1, range.end), (view.first, view.last));
            (range, view.before, view.after)
        };
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(shown(1, None), (0..50, None, None));
        assert_eq!(shown(35, None), (0..20, None, name("p20")));
        assert_eq!(shown(35, Some("p20")), (20..40, name("p00"), name("p40")));
        // a name that is no project's stands for the next one, or for the last ones
        assert_eq!(shown(35, Some("p39x")), (40..50, name("p20"), None));
        assert_eq!(shown(35, Some("z")), (30..50, name("p10"), None));
        assert_eq!(shown(700, None), (0..8, None, name("p08")));
        let empty = Matrix {
            columns: Vec::new(),
            ..matrix(3)
        };
        assert_eq!(columns(&empty, Some("a")).0, 0..0);
    }
}
