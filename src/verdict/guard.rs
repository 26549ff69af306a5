//! What a whole row says before its cells do: that CPython itself is red there, or that the machinery was.

use super::cell::Cell;
use serde::Serialize;

/// Projects below which a row is too small to speak for CPython.
const FEW: usize = 4;
/// Of the projects with a result here and before, the part that newly fails: one in so many.
const RED: usize = 4;
/// Of the projects, the part of which nothing is known: one in so many.
const DARK: usize = 5;

/// What a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "meaning", rename_all = "snake_case")]
pub enum Meaning {
    /// Its cells speak for themselves.
    Plain,
    /// So many projects of those that have a result here and before newly fail: it is CPython, and one incident.
    UpstreamRed { newly: usize, of: usize },
    /// The machinery failed too many runs for the others to say that all is well.
    NotMeaningful { unknown: usize, of: usize },
}

/// Each project by its last decided cell before, and its cell now.
pub fn meaning(cells: &[(Option<Cell>, Cell)]) -> Meaning {
    let asked = cells
        .iter()
        .filter(|(_, now)| !matches!(now, Cell::Skipped | Cell::Pending | Cell::NoImage));
    let of = asked.clone().count();
    let unknown = asked.filter(|(_, now)| *now == Cell::Unknown).count();
    if unknown > 0 && unknown * DARK >= of {
        return Meaning::NotMeaningful { unknown, of };
    }
    let compared = cells
        .iter()
        .filter(|(before, now)| before.is_some_and(Cell::is_decided) && now.is_decided());
    let of = compared.clone().count();
    let newly = compared
        .filter(|(before, now)| *before == Some(Cell::Pass) && *now == Cell::Fail)
        .count();
    if of >= FEW && newly * RED >= of {
        return Meaning::UpstreamRed { newly, of };
    }
    Meaning::Plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_speaks_before_its_cells() {
        let cells = |counts: &[(usize, Option<Cell>, Cell)]| {
            let each = counts
                .iter()
                .flat_map(|(many, before, now)| vec![(*before, *now); *many]);
            meaning(&each.collect::<Vec<_>>())
        };
        let (pass, fail) = (Some(Cell::Pass), Some(Cell::Fail));
        for (counts, expected) in [
            (
                &[(3, pass, Cell::Pass), (1, pass, Cell::Fail)][..],
                Meaning::UpstreamRed { newly: 1, of: 4 },
            ),
            (&[(4, pass, Cell::Pass), (1, pass, Cell::Fail)], Meaning::Plain),
            (&[(2, pass, Cell::Pass), (1, pass, Cell::Fail)], Meaning::Plain),
            (&[(4, fail, Cell::Fail)], Meaning::Plain),
            (&[(4, None, Cell::Fail)], Meaning::Plain),
            (
                &[(8, pass, Cell::Pass), (2, pass, Cell::Unknown)],
                Meaning::NotMeaningful { unknown: 2, of: 10 },
            ),
            (&[(9, pass, Cell::Pass), (1, pass, Cell::Unknown)], Meaning::Plain),
            (
                &[(1, pass, Cell::Unknown)],
                Meaning::NotMeaningful { unknown: 1, of: 1 },
            ),
            (&[(1, pass, Cell::Pass), (9, pass, Cell::Skipped)], Meaning::Plain),
            (&[(5, pass, Cell::NoImage)], Meaning::Plain),
        ] {
            assert_eq!(cells(counts), expected, "{counts:?}");
        }
    }
}
