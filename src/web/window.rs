//! Chooses the part of a long log that a page shows. The part is measured by the visible text: a progress bar of
//! megabytes is one line. A page begins and ends between lines. Reading begins before the page, because its colours,
//! and the beginnings of its lines, may come from there.

use super::ansi::Html;
use crate::logfile::Stream;
use crate::logfile::damage::Lost;
use crate::logfile::file::{LogPart, LogReader};
use crate::screen::{Screens, Shown};
use std::collections::VecDeque;
use std::io::Result;
use std::ops::ControlFlow;

/// The approximate number of visible characters on a page.
pub const PAGE: usize = 256 << 10;

/// The most bytes of a log that are read for a page.
const WORK: u64 = 8 << 20;

/// The bytes before a page that are read for its first colours and lines.
pub const WARM: u64 = 256 << 10;

/// The bytes to read for a page that ends at a given place. The first of these numbers that fills the page is used.
const BACK: [u64; 3] = [512 << 10, 2 << 20, WORK];

/// The position of a page in the log: the offset at which it begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPosition {
    From(u64),
    Until(u64),
    End,
}

/// The part of a log that a page shows.
#[derive(Debug, Default)]
pub struct Drawn {
    pub html: String,
    /// The HTML of the unfinished lines.
    pub line: String,
    /// Offsets in the whole log, in bytes.
    pub from: u64,
    pub until: u64,
    pub total: u64,
}

impl Drawn {
    /// Returns the offset at which the page before this one ends, or `None` at the beginning of the log.
    pub fn earlier(&self) -> Option<u64> {
        (self.from > 0).then_some(self.from)
    }

    /// Returns the offset at which the page after this one begins, or `None` at the end of the log.
    pub fn later(&self) -> Option<u64> {
        (self.until < self.total).then_some(self.until)
    }
}

/// Renders a part of a log, of one stream or of all. `ended` is true if no writer is left.
pub fn draw(reader: &mut LogReader, place: LogPosition, only: Option<Stream>, ended: bool) -> Result<Drawn> {
    let total = reader.length()?;
    let pass = |begin, end| Pass {
        begin,
        end,
        only,
        ended,
        screens: Screens::default(),
        writer: Html::default(),
        lines: VecDeque::new(),
        seen: 0,
        from: begin,
        offset: begin,
        stop: matches!(place, LogPosition::From(_)),
        is_full: false,
    };
    let end = match place {
        LogPosition::From(from) => {
            let mut page = pass(from.min(total), u64::MAX);
            page.run(reader)?;
            return Ok(page.drawn(total));
        }
        LogPosition::Until(until) if until < total => until,
        // a log may grow while it is read
        LogPosition::Until(_) | LogPosition::End => u64::MAX,
    };
    let mut page = pass(0, end);
    for back in BACK {
        page = pass(end.min(total).saturating_sub(back), end);
        page.run(reader)?;
        if page.is_full || page.begin == 0 {
            break;
        }
    }
    Ok(page.drawn(total))
}

/// A line on the page.
struct Line {
    html: String,
    seen: usize,
    /// The offset in the log at which the line ends.
    end: u64,
}

/// A pass over a part of a log.
struct Pass {
    begin: u64,
    end: u64,
    only: Option<Stream>,
    ended: bool,
    screens: Screens,
    writer: Html,
    lines: VecDeque<Line>,
    /// The visible size of the lines.
    seen: usize,
    /// The offset at which the page begins.
    from: u64,
    /// The offset up to which the log was read.
    offset: u64,
    /// Whether to stop when the page is full. Otherwise the first lines make room for the last ones.
    stop: bool,
    is_full: bool,
}

impl Pass {
    fn run(&mut self, reader: &mut LogReader) -> Result<()> {
        reader.rewind()?;
        let warm = self.begin.saturating_sub(WARM);
        reader.skip_to(warm)?;
        while self.offset < self.end && self.offset - self.begin < WORK && !(self.stop && self.is_full) {
            let chunk = match reader.next_part()? {
                Some(LogPart::Text(chunk)) => chunk.before(self.end),
                Some(LogPart::Lost(lost)) => {
                    self.lose(&lost);
                    continue;
                }
                None if self.ended => {
                    if let Some(lost) = reader.lost_at_end()? {
                        self.lose(&lost);
                    }
                    break;
                }
                None => break,
            };
            let mut at = chunk.offset;
            for (piece, text) in chunk.parts() {
                let before = usize::try_from(self.begin.saturating_sub(at))
                    .unwrap_or(usize::MAX)
                    .min(text.len());
                if before > 0 {
                    let ignore = &mut |_: Shown<'_>| ControlFlow::Continue(());
                    self.screens.feed(piece.stream, piece.at, &text[..before], ignore);
                    at += before as u64;
                    if at == self.begin {
                        self.screens.drop_parted();
                    }
                }
                self.take(piece.stream, piece.at, at, &text[before..]);
                at += (text.len() - before) as u64;
                if self.stop && self.is_full {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Adds text of the page that begins at an offset.
    fn take(&mut self, stream: Stream, time: i64, offset: u64, text: &[u8]) {
        let mut taken = 0;
        while taken < text.len() && !(self.stop && self.is_full) {
            let (new, lines) = self.feed(stream, time, &text[taken..]);
            taken += new;
            self.offset = offset + taken as u64;
            for (html, seen) in lines {
                self.push(html, seen, self.offset);
            }
        }
    }

    /// Parses text up to its first newline. Returns how many bytes it parsed, and the ended lines of the shown streams,
    /// each with its visible size.
    fn feed(&mut self, stream: Stream, time: i64, text: &[u8]) -> (usize, Vec<(String, usize)>) {
        let mut lines = Vec::new();
        let (only, writer) = (self.only, &mut self.writer);
        let taken = self.screens.feed(stream, time, text, &mut |shown| {
            if only.is_none_or(|only| only == shown.stream) {
                let mut html = String::new();
                writer.write(&mut html, &shown);
                // counts HTML too, because many colours make a page much larger than its visible text
                let seen = (shown.cells.len() + 1).max(html.len() / 4);
                lines.push((html, seen));
            }
            ControlFlow::Break(())
        });
        (taken, lines)
    }

    fn push(&mut self, html: String, seen: usize, end: u64) {
        self.seen += seen;
        self.lines.push_back(Line { html, seen, end });
        self.is_full |= self.seen >= PAGE;
        while !self.stop
            && let Some(first) = self.lines.front()
            && self.seen - first.seen >= PAGE
        {
            (self.from, self.seen) = (first.end, self.seen - first.seen);
            self.lines.pop_front();
        }
    }

    fn lose(&mut self, lost: &Lost) {
        if let Some(lost) = lost.after(self.begin).filter(|lost| lost.from < self.end) {
            self.offset = lost.until.unwrap_or(lost.from);
            let (_, lines) = self.feed(Stream::Control, 0, format!("[pybots] {lost}\n").as_bytes());
            for (html, seen) in lines {
                self.push(html, seen, self.offset);
            }
        }
    }

    fn drawn(self, total: u64) -> Drawn {
        // a line that ends on the next page is shown there
        let to_end = self.end == u64::MAX && !(self.stop && self.is_full);
        let all = to_end || self.lines.is_empty();
        let only = self.only;
        // of a line that is shown in parts, this page has the part up to its end
        let is_shown = |shown: &Shown<'_>| (all || !shown.begins) && only.is_none_or(|only| only == shown.stream);
        let line = self.writer.unfinished(&self.screens, is_shown);
        Drawn {
            html: self.lines.into_iter().map(|line| line.html).collect(),
            line,
            from: self.from,
            until: self.offset,
            total: total.max(self.offset),
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
