//! The cells of one line: each has a character and its style.

use super::style::Style;
use crate::domain::text::is_odd;
use vte::{Params, Perform};

pub type StyledChar = (char, Style);

/// The last column to which a program can move the cursor, unless the line is longer already.
const WIDEST: usize = 2000;

/// The most cells of an unfinished line. The beginning of a longer line is shown before the line ends.
pub const LINE_MOST: usize = 16 << 10;

/// The number of cells that a program may skip or erase before it has written anything.
const CREDIT: usize = 4096;

/// The current line of a stream.
///
/// One short sequence can skip or erase thousands of cells. A program has a credit for that, which grows with its
/// output. Without it, 8 MiB of such sequences would become gigabytes of blanks, or hours of work.
pub struct LineCells {
    pub line: Vec<StyledChar>,
    column: usize,
    style: Style,
    credit: usize,
    /// Bytes that were parsed since the last callback of the parser.
    pub silent: usize,
}

impl Default for LineCells {
    fn default() -> Self {
        Self {
            line: Vec::new(),
            column: 0,
            style: Style::default(),
            credit: CREDIT,
            silent: 0,
        }
    }
}

impl LineCells {
    pub fn put(&mut self, c: char) {
        if self.column > self.line.len() {
            let skipped = self.spend(self.column - self.line.len());
            self.column = self.line.len() + skipped;
            self.line.resize(self.column, (' ', Style::default()));
        }
        match self.line.get_mut(self.column) {
            Some(cell) => *cell = (c, self.style),
            None => self.line.push((c, self.style)),
        }
        self.column += 1;
    }

    /// Appends a remark to the line, in the default style.
    pub fn hint(&mut self, text: &str) {
        self.line.extend(text.chars().map(|c| (c, Style::default())));
    }

    /// Returns how many of `cells` the credit covers, and subtracts them.
    fn spend(&mut self, cells: usize) -> usize {
        let spent = cells.min(self.credit);
        self.credit -= spent;
        spent
    }

    fn earn(&mut self, credit: usize) {
        self.silent = 0;
        self.credit = self.credit.saturating_add(credit);
    }

    fn move_to(&mut self, column: usize) {
        self.column = column.min(WIDEST.max(self.line.len()));
    }

    fn erase(&mut self, which: usize) {
        match which {
            0 => self.line.truncate(self.column),
            1 => {
                let end = self.line.len().min(self.column + 1);
                let begin = end - self.spend(end);
                self.line[begin..end].fill((' ', Style::default()));
            }
            _ => self.line.clear(),
        }
    }

    /// Begins a new line, which keeps the current style.
    pub fn clear(&mut self) {
        self.line.clear();
        self.column = 0;
    }

    /// Removes and returns the first cells.
    pub fn split(&mut self, cells: usize) -> Vec<StyledChar> {
        self.column = self.column.saturating_sub(cells);
        let rest = self.line.split_off(cells);
        std::mem::replace(&mut self.line, rest)
    }
}

/// Returns whether a character has no width. With such characters, different words look the same.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// The callbacks of the parser. Strings, such as titles and links, have none and are dropped.
impl Perform for LineCells {
    fn print(&mut self, c: char) {
        self.earn(1);
        if c.is_control() || is_invisible(c) {
            return;
        }
        self.put(if is_odd(c) { '\u{fffd}' } else { c });
    }

    fn execute(&mut self, control: u8) {
        self.earn(1);
        match control {
            b'\r' => self.column = 0,
            b'\t' => self.put('\t'),
            0x08 => self.column = self.column.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        self.earn(3);
        if !intermediates.is_empty() {
            return;
        }
        let first = params.iter().next().and_then(|numbers| numbers.first());
        let first = usize::from(first.copied().unwrap_or(0));
        let count = first.max(1);
        match action {
            'm' => self.style.apply(params),
            'K' => self.erase(first),
            'C' => self.move_to(self.column.saturating_add(count)),
            'D' => self.move_to(self.column.saturating_sub(count)),
            'G' => self.move_to(count - 1),
            // the others repeat characters, move between lines, query the terminal or clear it; a log keeps its lines
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, _intermediates: &[u8], _ignore: bool, _byte: u8) {
        self.earn(2);
    }

    fn osc_dispatch(&mut self, _params: &[&[u8]], _bell_terminated: bool) {
        self.earn(2);
    }

    fn unhook(&mut self) {
        self.earn(2);
    }
}
