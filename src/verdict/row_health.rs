//! Whether a whole row is bad: because of CPython itself, or because of the machinery.

use super::cell::Cell;
use serde::Serialize;

/// With fewer projects than this, a row can't show that CPython is to blame.
const MIN_PROJECTS: usize = 4;

/// A row is red if at least one in this many compared projects newly fails.
const RED_ONE_IN: usize = 4;

/// A row is not meaningful if at least one in this many projects is unknown.
const UNKNOWN_ONE_IN: usize = 5;

/// What the cells of a row mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "meaning", rename_all = "snake_case")]
pub enum RowHealth {
    /// Each cell speaks for itself.
    Plain,
    /// Many projects newly fail, so CPython is to blame: one incident for all of them.
    UpstreamRed {
        newly: usize,
        /// The number of projects with a result both here and before.
        of: usize,
    },
    /// The machinery failed so many runs that the other cells do not show that all is well.
    NotMeaningful { unknown: usize, of: usize },
}

/// Returns the health of a row. For each project, `cells` holds the last decided cell before the row and the cell of the
/// row.
pub fn row_health(cells: &[(Option<Cell>, Cell)]) -> RowHealth {
    let ran = cells
        .iter()
        .filter(|(_, now)| !matches!(now, Cell::Skipped | Cell::Pending | Cell::NoImage));
    let of = ran.clone().count();
    let unknown = ran.filter(|(_, now)| *now == Cell::Unknown).count();
    if unknown > 0 && unknown * UNKNOWN_ONE_IN >= of {
        return RowHealth::NotMeaningful { unknown, of };
    }
    let compared = cells
        .iter()
        .filter(|(before, now)| before.is_some_and(Cell::is_decided) && now.is_decided());
    let of = compared.clone().count();
    let newly = compared
        .filter(|(before, now)| *before == Some(Cell::Pass) && *now == Cell::Fail)
        .count();
    if of >= MIN_PROJECTS && newly * RED_ONE_IN >= of {
        return RowHealth::UpstreamRed { newly, of };
    }
    RowHealth::Plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bad_cells_mark_the_row() {
        let cells = |counts: &[(usize, Option<Cell>, Cell)]| {
            let each = counts
                .iter()
                .flat_map(|(many, before, now)| vec![(*before, *now); *many]);
            row_health(&each.collect::<Vec<_>>())
        };
        let (pass, fail) = (Some(Cell::Pass), Some(Cell::Fail));
        for (counts, expected) in [
            (
                &[(3, pass, Cell::Pass), (1, pass, Cell::Fail)][..],
                RowHealth::UpstreamRed { newly: 1, of: 4 },
            ),
            (&[(4, pass, Cell::Pass), (1, pass, Cell::Fail)], RowHealth::Plain),
            (&[(2, pass, Cell::Pass), (1, pass, Cell::Fail)], RowHealth::Plain),
            (&[(4, fail, Cell::Fail)], RowHealth::Plain),
            (&[(4, None, Cell::Fail)], RowHealth::Plain),
            (
                &[(8, pass, Cell::Pass), (2, pass, Cell::Unknown)],
                RowHealth::NotMeaningful { unknown: 2, of: 10 },
            ),
            (&[(9, pass, Cell::Pass), (1, pass, Cell::Unknown)], RowHealth::Plain),
            (
                &[(1, pass, Cell::Unknown)],
                RowHealth::NotMeaningful { unknown: 1, of: 1 },
            ),
            (&[(1, pass, Cell::Pass), (9, pass, Cell::Skipped)], RowHealth::Plain),
            (&[(5, pass, Cell::NoImage)], RowHealth::Plain),
        ] {
            assert_eq!(cells(counts), expected, "{counts:?}");
        }
    }
}
