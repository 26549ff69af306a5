//! Finds out whether a whole row is bad: because of CPython itself, or because of the machinery.

use super::cell::Cell;
use crate::domain::trust::Voice;
use serde::Serialize;
use std::collections::BTreeMap;

/// The least voices by which a row can show that CPython is to blame.
const MIN_VOICES: usize = 4;

/// A row is red if at least one in this many compared voices newly fails.
const RED_ONE_IN: usize = 4;

/// A row is not meaningful if the machinery failed at least one in this many voices.
const UNKNOWN_ONE_IN: usize = 5;

/// The meaning of all cells of a row together. Numbers count voices: each maintained project is one, and so are all
/// projects of one owner together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "meaning", rename_all = "snake_case")]
pub enum RowHealth {
    /// Each cell has a meaning of its own.
    Plain,
    /// Many projects newly fail, so CPython is to blame: one incident for all of them.
    UpstreamRed {
        newly: usize,
        /// The number of voices with a result both here and before.
        of: usize,
    },
    /// The machinery failed so many runs that the other cells do not show whether all is well.
    NotMeaningful { unknown: usize, of: usize },
}

/// A project of a row.
#[derive(Clone, Copy, Debug)]
pub struct RowCell<'a> {
    pub voice: Voice<'a>,
    /// The last decided cell before the row.
    pub before: Option<Cell>,
    pub now: Cell,
    /// Whether the machinery failed the run, rather than the recipe.
    pub is_infra: bool,
}

/// Returns the health of a row. Anybody can register recipes that fail on purpose, so projects of one owner share a
/// voice. If maintained projects ran, only they can show that the machinery is at fault.
pub fn row_health(cells: &[RowCell<'_>]) -> RowHealth {
    let has_run = |cell: &&RowCell<'_>| !matches!(cell.now, Cell::Skipped | Cell::Pending | Cell::NoImage);
    let is_maintained = |cell: &&RowCell<'_>| matches!(cell.voice, Voice::Project(_));
    let ran = || cells.iter().filter(has_run);
    let is_lost = |cell: &RowCell<'_>| cell.now == Cell::Unknown && cell.is_infra;
    let (unknown, of) = match ran().any(|cell| is_maintained(&cell)) {
        true => count(ran().filter(is_maintained), is_lost),
        false => count(ran(), is_lost),
    };
    if unknown > 0 && unknown * UNKNOWN_ONE_IN >= of {
        return RowHealth::NotMeaningful { unknown, of };
    }
    let compared = cells
        .iter()
        .filter(|cell| cell.before.is_some_and(Cell::is_decided) && cell.now.is_decided());
    let (newly, of) = count(compared, |cell| {
        cell.before == Some(Cell::Pass) && cell.now == Cell::Fail
    });
    if of >= MIN_VOICES && newly * RED_ONE_IN >= of {
        return RowHealth::UpstreamRed { newly, of };
    }
    RowHealth::Plain
}

/// Returns how many voices have a cell that `is` selects, and how many voices there are.
fn count<'a>(cells: impl Iterator<Item = &'a RowCell<'a>>, is: impl Fn(&RowCell<'_>) -> bool) -> (usize, usize) {
    let mut voices: BTreeMap<Voice<'_>, bool> = BTreeMap::new();
    for cell in cells {
        *voices.entry(cell.voice).or_default() |= is(cell);
    }
    (voices.values().filter(|such| **such).count(), voices.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

    fn cell(voice: Voice<'_>, before: Option<Cell>, now: Cell) -> RowCell<'_> {
        RowCell {
            voice,
            before,
            now,
            is_infra: now == Cell::Unknown,
        }
    }

    #[test]
    fn many_bad_cells_mark_the_row() {
        let cells = |counts: &[(usize, Option<Cell>, Cell)]| {
            let each = counts
                .iter()
                .flat_map(|(many, before, now)| vec![(*before, *now); *many]);
            let named = NAMES.into_iter().zip(each);
            let cells = named.map(|(name, (before, now))| cell(Voice::Project(name), before, now));
            row_health(&cells.collect::<Vec<_>>())
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

    #[test]
    fn strangers_do_not_mark_the_row() {
        let pass = Some(Cell::Pass);
        let good = || {
            NAMES
                .into_iter()
                .take(6)
                .map(|name| cell(Voice::Project(name), pass, Cell::Pass))
        };
        let with = |others: &[(Voice<'static>, Cell)]| {
            let others = others.iter().map(|(voice, now)| cell(*voice, pass, *now));
            row_health(&good().chain(others).collect::<Vec<_>>())
        };
        let nobody = Voice::Owner(None);
        // four recipes of nobody fail on purpose
        assert_eq!(with(&[(nobody, Cell::Fail); 4]), RowHealth::Plain);
        assert_eq!(with(&[(nobody, Cell::Unknown); 4]), RowHealth::Plain);
        // owners that the operator names count, each once
        let owners = [Some("o"), Some("p"), Some("q")].map(|owner| (Voice::Owner(owner), Cell::Fail));
        assert_eq!(with(&owners), RowHealth::UpstreamRed { newly: 3, of: 9 });
        assert_eq!(with(&[owners[0]; 3]), RowHealth::Plain);
        // where nobody maintains anything, what the machinery failed still counts
        let alone = [cell(nobody, pass, Cell::Unknown); 2];
        assert_eq!(row_health(&alone), RowHealth::NotMeaningful { unknown: 1, of: 1 });
        // a recipe that is wrong is no fault of the machinery
        let wrong = RowCell {
            is_infra: false,
            ..cell(Voice::Project("k"), pass, Cell::Unknown)
        };
        assert_eq!(row_health(&[wrong]), RowHealth::Plain);
    }
}
