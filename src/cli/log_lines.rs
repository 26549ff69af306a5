//! Formats a log for a terminal or a file, line by line. [`crate::screen`] gives the final text of a line and its
//! colours. Each line is written whole, so that the lines of two streams do not mix.

use crate::domain::time::Timestamp;
use crate::logfile::Stream;
use crate::screen::{Screens, Shown, Style, StyledChar};
use std::ops::ControlFlow;

/// The most bytes of a line that are held back until it ends. The rest of a longer line is written as another line.
const HELD_MOST: usize = 16 << 20;

/// The mark at the end of such a line.
const GOES_ON: &str = " [this line goes on]";

/// Turns the chunks of a log into the text to print.
pub struct LogLines {
    screens: Screens,
    writer: Writer,
}

struct Writer {
    /// If set, only this stream is printed.
    only: Option<Stream>,
    /// Whether each line begins with its time and its stream.
    timestamps: bool,
    colours: bool,
    /// The beginnings of lines that arrive in several parts.
    held: Vec<(Stream, Vec<u8>)>,
    /// The unfinished line that is printed already, in the last row of the terminal.
    begun: Option<(Stream, Vec<StyledChar>)>,
}

impl LogLines {
    pub fn new(only: Option<Stream>, timestamps: bool, colours: bool) -> Self {
        Self {
            screens: Screens::default(),
            writer: Writer {
                only,
                timestamps,
                colours,
                held: Vec::new(),
                begun: None,
            },
        }
    }

    /// Returns the lines that end in `text`. `at` is in milliseconds since 1970, UTC.
    pub fn take(&mut self, stream: Stream, at: i64, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let writer = &mut self.writer;
        self.screens.feed(stream, at, text, &mut |shown| {
            writer.write(&mut out, &shown);
            ControlFlow::Continue(())
        });
        out
    }

    /// Returns a line that reports a loss.
    pub fn lost(&mut self, lost: &str) -> Vec<u8> {
        self.take(Stream::Control, 0, format!("[pybots] {lost}\n").as_bytes())
    }

    /// Returns the visible part of unfinished lines, for a person who watches; nothing if lines begin with their times.
    /// Text that a program later overwrites is corrected at the end of its line.
    pub fn preview(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let writer = &mut self.writer;
        self.screens.unfinished(&mut |shown| writer.preview(&mut out, &shown));
        out
    }

    /// Returns the unfinished lines at the end of the log.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let writer = &mut self.writer;
        self.screens
            .unfinished(&mut |shown| writer.write(&mut out, &Shown { ends: true, ..shown }));
        out
    }
}

impl Writer {
    fn is_wanted(&self, stream: Stream) -> bool {
        self.only.is_none_or(|only| only == stream)
    }

    fn write(&mut self, out: &mut Vec<u8>, shown: &Shown<'_>) {
        if !self.is_wanted(shown.stream) {
            return;
        }
        let held = self.held.iter().position(|(stream, _)| *stream == shown.stream);
        let mut line = held.map_or_else(Vec::new, |at| self.held.swap_remove(at).1);
        if line.is_empty() && shown.ends && self.complete(out, shown) {
            return;
        }
        self.draw(&mut line, shown.cells);
        if !shown.ends && line.len() < HELD_MOST {
            self.held.push((shown.stream, line));
            return;
        }
        if self.begun.take().is_some() {
            out.push(b'\n');
        }
        if self.timestamps {
            let time = crate::clock::show_exactly(Timestamp::from_millis(shown.at));
            out.extend_from_slice(format!("{time} {:<7} ", shown.stream.name()).as_bytes());
        }
        out.extend_from_slice(&line);
        if !shown.ends {
            out.extend_from_slice(GOES_ON.as_bytes());
        }
        out.push(b'\n');
    }

    /// Completes the line in the last row. Returns `false` if `shown` does not continue it.
    fn complete(&mut self, out: &mut Vec<u8>, shown: &Shown<'_>) -> bool {
        let goes_on = self.rest(shown).map(<[StyledChar]>::to_vec);
        if let Some(rest) = &goes_on {
            self.draw(out, rest);
            out.push(b'\n');
            self.begun = None;
        }
        goes_on.is_some()
    }

    /// Returns the cells that continue the line in the last row, or `None` if `shown` does not continue it.
    fn rest<'a>(&self, shown: &Shown<'a>) -> Option<&'a [StyledChar]> {
        let (stream, begun) = self.begun.as_ref()?;
        shown
            .cells
            .strip_prefix(begun.as_slice())
            .filter(|_| *stream == shown.stream)
    }

    fn preview(&mut self, out: &mut Vec<u8>, shown: &Shown<'_>) {
        if self.timestamps || !shown.begins || !self.is_wanted(shown.stream) {
            return;
        }
        let rest = match &self.begun {
            None => shown.cells,
            Some(_) => self.rest(shown).unwrap_or_default(),
        };
        if !rest.is_empty() {
            self.draw(out, rest);
            self.begun = Some((shown.stream, shown.cells.to_vec()));
        }
    }

    fn draw(&self, out: &mut Vec<u8>, cells: &[StyledChar]) {
        let mut buffer = [0; 4];
        for part in cells.chunk_by(|a, b| a.1 == b.1) {
            let style = part.first().map(|(_, style)| *style).unwrap_or_default();
            let styled = self.colours && style != Style::default();
            if styled {
                out.extend_from_slice(style.sgr().as_bytes());
            }
            for (c, _) in part {
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
            if styled {
                out.extend_from_slice(Style::default().sgr().as_bytes());
            }
        }
    }
}

#[cfg(test)]
#[path = "log_lines_tests.rs"]
mod tests;
