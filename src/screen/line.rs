//! The current line of one stream.

use super::cells::{LINE_MOST, LineCells, StyledChar};
use super::characters::{CANCEL, seven_bit, whole_characters};
use super::mark;
use crate::logfile::Stream;
use std::borrow::Cow;
use std::ops::ControlFlow;
use vte::Parser;

/// The number of bytes that are parsed between two checks of the line's length.
pub const SLICE: usize = 4096;

/// A line, or a part of a line that is too long to wait for its end.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub stream: Stream,
    /// When the first byte was written, in milliseconds since 1970, UTC.
    pub at: i64,
    /// Whether this is the beginning of a line.
    pub begins: bool,
    /// Whether this is the end of a line.
    pub ends: bool,
    pub cells: &'a [StyledChar],
}

/// A callback that takes a line, and returns whether to continue.
pub type Show<'a> = &'a mut dyn FnMut(Shown<'_>) -> ControlFlow<()>;

/// The current line of one stream.
#[derive(Default)]
pub struct Line {
    parser: Parser,
    cells: LineCells,
    /// The first bytes of a character that is not complete yet.
    torn: Vec<u8>,
    /// When the first byte of the line was written. `None` for an empty line.
    begun: Option<i64>,
    /// Whether the beginning of the line was shown already.
    parted: bool,
}

impl Line {
    /// Parses more of the line. `ends` is true for its last part, which resolves incomplete characters.
    pub fn parse(&mut self, at: i64, part: &[u8], ends: bool) {
        self.begun.get_or_insert(at);
        let mut bytes = Cow::Borrowed(part);
        if !self.torn.is_empty() {
            bytes = [std::mem::take(&mut self.torn).as_slice(), part].concat().into();
        }
        let whole = if ends { bytes.len() } else { whole_characters(&bytes) };
        self.torn = bytes[whole..].to_vec();
        let text = String::from_utf8_lossy(&bytes[..whole]);
        self.cells.silent += text.len();
        self.parser.advance(&mut self.cells, seven_bit(&text).as_bytes());
    }

    /// Returns whether the line has nothing to show.
    pub fn is_blank(&self) -> bool {
        !self.parted && self.cells.line.is_empty() && self.torn.is_empty()
    }

    /// Shows the line, and begins the next one. Resets open sequences, so that an unterminated one can't hide the rest
    /// of the log. If a sequence hid many bytes, the line ends with a remark that says so. Returns the answer of
    /// `show`.
    pub fn end(&mut self, stream: Stream, show: Show<'_>) -> ControlFlow<()> {
        if !self.torn.is_empty() {
            self.torn.clear();
            self.cells.put('\u{fffd}');
        }
        let hidden = self.cells.silent;
        self.parser.advance(&mut self.cells, CANCEL);
        self.cells.silent = 0;
        if hidden >= SLICE {
            self.cells.hint("[a long sequence without an end is not shown]");
        }
        let cells = std::mem::take(&mut self.cells.line);
        let flow = show(self.shown(stream, &mark::renamed(stream, &cells), true));
        self.cells.line = cells;
        self.cells.clear();
        self.begun = None;
        self.parted = false;
        flow
    }

    /// Shows the beginning of a line that has more than [`LINE_MOST`] cells, and keeps its rest. Does nothing with a
    /// shorter line.
    pub fn part(&mut self, stream: Stream, show: Show<'_>) -> ControlFlow<()> {
        if self.cells.line.len() <= LINE_MOST {
            return ControlFlow::Continue(());
        }
        let part = self.cells.split(mark::cut(&self.cells.line));
        let flow = show(self.shown(stream, &mark::renamed(stream, &part), false));
        self.parted = true;
        flow
    }

    /// Shows the unfinished line, and keeps it.
    pub fn unfinished(&self, stream: Stream, show: &mut dyn FnMut(Shown<'_>)) {
        let cells = mark::renamed(stream, &self.cells.line);
        show(self.shown(stream, &cells, false));
    }

    /// Drops the rest of a line whose beginning was shown.
    pub fn drop_parted(&mut self) {
        if std::mem::take(&mut self.parted) {
            self.cells.clear();
        }
    }

    fn shown<'a>(&self, stream: Stream, cells: &'a [StyledChar], ends: bool) -> Shown<'a> {
        Shown {
            stream,
            at: self.begun.unwrap_or_default(),
            begins: !self.parted,
            ends,
            cells,
        }
    }
}
