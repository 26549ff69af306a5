//! Renders the bytes of a log as HTML, line by line, as a terminal would show them. Colours become classes, because the
//! policy of the pages forbids inline styles. Everything else that a program can send becomes escaped text or nothing.

mod style;

use std::borrow::Cow;
use std::fmt::Write;
use style::Style;
use vte::{Params, Parser, Perform};

/// Columns that a cursor may be moved to. Without a limit, one sequence could ask for gigabytes.
const WIDEST: usize = 2000;

/// Bytes of a title, a link or another string sequence. A longer one counts as unterminated, and its rest is shown.
const LONGEST_STRING: usize = 4096;

/// Characters of a line that has not ended yet. A longer line is rendered as if it had ended, without a line break.
const LINE_MOST: usize = 16 << 10;

/// CAN, the control character that cancels an unfinished sequence.
const CANCEL: &[u8] = b"\x18";

/// Renders bytes, which may be anything, to HTML for a `<pre>`.
#[derive(Default)]
pub struct Screen {
    parser: Parser,
    cells: Cells,
    /// The beginning of a character whose end has not arrived yet.
    torn: Vec<u8>,
}

impl Screen {
    /// Renders more of a log. The bytes may begin and end anywhere, also inside a character or a sequence.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut bytes = [std::mem::take(&mut self.torn).as_slice(), bytes].concat();
        self.torn = bytes.split_off(whole_characters(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        self.cells.html.reserve(text.len() + text.len() / 8);
        for line in seven_bit(&text).split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    self.parse(line);
                    // no sequence goes on in the next line, so that an unterminated one can't hide the log
                    self.cancel();
                    self.cells.end_line();
                }
                None => self.parse(line),
            }
        }
        self.cells.bound();
    }

    /// Returns the HTML of the lines that ended since the last call.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.cells.html)
    }

    /// Returns the HTML of the line that has not ended yet.
    pub fn line(&self) -> String {
        let mut html = String::new();
        self.cells.write_line(&mut html);
        html
    }

    fn parse(&mut self, mut text: &str) {
        while !text.is_empty() {
            let (part, rest) = text.split_at(text.floor_char_boundary(LONGEST_STRING));
            self.cells.silent += part.len();
            self.parser.advance(&mut self.cells, part.as_bytes());
            if self.cells.silent > LONGEST_STRING {
                self.cancel();
            }
            text = rest;
        }
    }

    fn cancel(&mut self) {
        self.parser.advance(&mut self.cells, CANCEL);
    }
}

/// Returns the length of the bytes without an unfinished character at their end. What can't become a character counts
/// as finished.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let lead = bytes[tail..].iter().rposition(|byte| *byte >= 0xc0);
    match lead.map(|at| tail + at) {
        Some(at) if std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none()) => at,
        _ => bytes.len(),
    }
}

/// Replaces the 8-bit forms of "begin a sequence" and "end a string", which the parser does not know, by the 7-bit forms.
fn seven_bit(text: &str) -> Cow<'_, str> {
    if text.contains(['\u{9b}', '\u{9c}']) {
        text.replace('\u{9b}', "\x1b[").replace('\u{9c}', "\x1b\\").into()
    } else {
        text.into()
    }
}

/// The line that is being written, one styled character a cell, and the HTML of the lines before it.
#[derive(Default)]
struct Cells {
    html: String,
    line: Vec<(char, Style)>,
    column: usize,
    style: Style,
    /// Bytes that were parsed since the parser last reported anything.
    silent: usize,
}

impl Cells {
    fn put(&mut self, c: char) {
        if self.column > self.line.len() {
            self.line.resize(self.column, (' ', Style::default()));
        }
        match self.line.get_mut(self.column) {
            Some(cell) => *cell = (c, self.style),
            None => self.line.push((c, self.style)),
        }
        self.column += 1;
    }

    fn move_to(&mut self, column: usize) {
        self.column = column.min(WIDEST.max(self.line.len()));
    }

    fn erase(&mut self, which: usize) {
        match which {
            0 => self.line.truncate(self.column),
            1 => {
                let blank = self.line.iter_mut().take(self.column + 1);
                blank.for_each(|cell| *cell = (' ', Style::default()));
            }
            _ => self.line.clear(),
        }
    }

    fn end_line(&mut self) {
        self.finish_line();
        self.html.push('\n');
    }

    /// Renders a line that is too long as if it had ended.
    fn bound(&mut self) {
        if self.line.len() > LINE_MOST {
            self.finish_line();
        }
    }

    fn finish_line(&mut self) {
        let mut html = std::mem::take(&mut self.html);
        self.write_line(&mut html);
        self.html = html;
        self.line.clear();
        self.column = 0;
    }

    fn write_line(&self, html: &mut String) {
        for part in self.line.chunk_by(|a, b| a.1 == b.1) {
            let classes = part.first().map(|(_, style)| style.classes()).unwrap_or_default();
            if !classes.is_empty() {
                let _ = write!(html, "<span class=\"{classes}\">");
            }
            for (c, _) in part {
                match c {
                    '<' => html.push_str("&lt;"),
                    '>' => html.push_str("&gt;"),
                    '&' => html.push_str("&amp;"),
                    '"' => html.push_str("&quot;"),
                    c => html.push(*c),
                }
            }
            if !classes.is_empty() {
                html.push_str("</span>");
            }
        }
    }
}

/// What the parser reports. Strings, such as titles and links, are left out.
impl Perform for Cells {
    fn print(&mut self, c: char) {
        self.silent = 0;
        if !c.is_control() {
            self.put(c);
        }
    }

    fn execute(&mut self, control: u8) {
        self.silent = 0;
        match control {
            b'\r' => self.column = 0,
            b'\t' => self.put('\t'),
            0x08 => self.column = self.column.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        self.silent = 0;
        if !intermediates.is_empty() {
            return;
        }
        let numbers: Vec<u16> = params.iter().flatten().copied().collect();
        let first = usize::from(numbers.first().copied().unwrap_or(0));
        let count = first.max(1);
        match action {
            'm' => self.style.apply(&numbers),
            'K' => self.erase(first),
            'C' => self.move_to(self.column.saturating_add(count)),
            'D' => self.move_to(self.column.saturating_sub(count)),
            'G' => self.move_to(count - 1),
            // the others move between lines, query the terminal or clear it, but a log keeps its lines
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, _intermediates: &[u8], _ignore: bool, _byte: u8) {
        self.silent = 0;
    }

    fn osc_dispatch(&mut self, _params: &[&[u8]], _bell_terminated: bool) {
        self.silent = 0;
    }

    fn unhook(&mut self) {
        self.silent = 0;
    }
}

#[cfg(test)]
mod tests;
