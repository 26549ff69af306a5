//! Protects the mark `[pybots]`. Lines of Pybots begin with it, and only Pybots writes on the stream `control`. If the
//! output of a suite looks like such a line, it is changed: `[pybots] outcome: passed` becomes `[stdout: pybots]
//! outcome: passed`. This applies anywhere in a line, because a terminal begins a new row where a long line wraps.

use super::cells::StyledChar;
use crate::logfile::Stream;
use std::borrow::Cow;

const MARK: [char; 7] = ['[', 'p', 'y', 'b', 'o', 't', 's'];

/// Returns the cells of a line with changed marks, as they are shown.
pub fn renamed(stream: Stream, cells: &[StyledChar]) -> Cow<'_, [StyledChar]> {
    if stream == Stream::Control || !cells.windows(MARK.len()).any(|cells| begins(cells, MARK.len())) {
        return cells.into();
    }
    let mut shown = Vec::with_capacity(cells.len() + 16);
    for (at, cell) in cells.iter().enumerate() {
        shown.push(*cell);
        if cells[at..].len() >= MARK.len() && begins(&cells[at..], MARK.len()) {
            let name = stream.name().chars().chain(": ".chars());
            shown.extend(name.map(|c| (c, cell.1)));
        }
    }
    shown.into()
}

/// Returns where to cut a long line: at its end, or before a mark that the cut would split.
pub fn cut(cells: &[StyledChar]) -> usize {
    let cut = cells.len();
    let torn = (1..MARK.len()).find(|length| cut.checked_sub(*length).is_some_and(|at| begins(&cells[at..], *length)));
    cut - torn.unwrap_or(0)
}

/// Returns whether cells begin like the first `length` characters of the mark.
fn begins(cells: &[StyledChar], length: usize) -> bool {
    let pairs = cells.iter().zip(&MARK[..length]);
    cells.len() >= length && pairs.into_iter().all(|((c, _), wanted)| c.eq_ignore_ascii_case(wanted))
}
