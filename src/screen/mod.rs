//! Renders a log as a terminal would show it. Each stream has its own line, cursor and colours, so that two mixed
//! streams do not break each other's lines. The output has only text and colours. Other sequences of a program (links,
//! titles, the clipboard, jumps of the cursor, a cleared screen) never reach a page or a terminal.
//!
//! The size of the output is bounded by the size of the input: see [`LineCells`].

mod cells;
mod characters;
mod clean;
mod line;
mod mark;
mod style;

pub use cells::StyledChar;
pub use characters::whole_characters;
pub use clean::clean;
pub use line::{Show, Shown};
pub use style::Style;

use crate::logfile::Stream;
use line::{Line, SLICE};

/// The current lines of a log's streams.
#[derive(Default)]
pub struct Screens {
    lines: [Line; 3],
}

impl Screens {
    /// Parses more of a stream. The text may begin and end anywhere, even inside a character or a sequence. Calls
    /// `show` for each line that ends, and for the beginning of a very long one. Text on `control` first ends the open
    /// lines of the other streams. Returns early if `show` breaks. Returns how many bytes it parsed.
    pub fn feed(&mut self, stream: Stream, at: i64, text: &[u8], show: Show<'_>) -> usize {
        if stream == Stream::Control && !text.is_empty() {
            self.interrupt(show);
        }
        let line = &mut self.lines[index(stream)];
        let mut taken = 0;
        while taken < text.len() {
            let rest = &text[taken..text.len().min(taken + SLICE)];
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let part = &rest[..newline.unwrap_or(rest.len())];
            line.parse(at, part, newline.is_some());
            taken += part.len() + usize::from(newline.is_some());
            let flow = match newline {
                Some(_) => line.end(stream, show),
                None => line.part(stream, show),
            };
            if flow.is_break() {
                break;
            }
        }
        taken
    }

    /// Ends the lines of the suites before a line of Pybots: their processes have ended, or a part of their output is
    /// missing. No line and no colour continues after it.
    fn interrupt(&mut self, show: Show<'_>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut line = std::mem::take(&mut self.lines[index(stream)]);
            if !line.is_blank() {
                // a caller that breaks is asked again at the next line
                let _ = line.end(stream, show);
            }
        }
    }

    /// Calls `show` for each unfinished line, and keeps the lines.
    pub fn unfinished(&self, show: &mut dyn FnMut(Shown<'_>)) {
        for stream in Stream::ALL {
            let line = &self.lines[index(stream)];
            if !line.is_blank() {
                line.unfinished(stream, show);
            }
        }
    }

    /// Drops the rest of lines whose beginning was shown, for a reader that begins here.
    pub fn drop_parted(&mut self) {
        self.lines.iter_mut().for_each(Line::drop_parted);
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Control => 2,
    }
}

#[cfg(test)]
mod tests;
