//! Lines of Pybots begin with `[pybots]`, and only Pybots writes on the stream `control`. What a suite writes on its own
//! streams is changed where it looks like such a line: `[pybots] outcome: passed` becomes
//! `[stdout: pybots] outcome: passed`. This holds anywhere in a line, because a terminal begins a new row where a long
//! line wraps.

use super::cells::StyledChar;
use crate::logfile::Stream;
use std::borrow::Cow;

const MARK: [char; 7] = ['[', 'p', 'y', 'b', 'o', 't', 's'];

/// Returns the cells of a line as they are shown.
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

/// Returns where a long line is cut: at its end, but not inside what looks like the mark.
pub fn cut(cells: &[StyledChar]) -> usize {
    let cut = cells.len();
    let torn = (1..MARK.len()).find(|length| cut.checked_sub(*length).is_some_and(|at| begins(&cells[at..], *length)));
    cut - torn.unwrap_or(0)
}

/// Whether cells begin like the first `length` characters of the mark.
fn begins(cells: &[StyledChar], length: usize) -> bool {
    let pairs = cells.iter().zip(&MARK[..length]);
    cells.len() >= length && pairs.into_iter().all(|((c, _), wanted)| c.eq_ignore_ascii_case(wanted))
}
