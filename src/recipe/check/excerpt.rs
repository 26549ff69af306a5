//! Excerpts of a text around a place, cut so that a report stays short even if the text is one long line.

use crate::domain::address::starred;
use crate::domain::secrets::masked;
use crate::domain::text::is_odd;
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::ops::Range;

/// The most bytes of the text to show after the place.
const SHOWN: usize = 400;
/// The most bytes of a line to show before the place. A longer beginning is cut.
const BEFORE: usize = 120;
/// The most bytes of a neighbouring line. A longer one is omitted.
const NEIGHBOUR: usize = 200;

/// A text without secrets, which everybody may see. Each byte has the same place as in the original.
pub struct Shown<'a> {
    original: &'a str,
    shown: String,
}

impl<'a> Shown<'a> {
    /// Masks logins, values of queries and secrets, and replaces characters that a terminal would obey.
    pub fn of(original: &'a str) -> Self {
        let mut shown = starred(&masked(original));
        let is_refused = |c: char| is_odd(c) && !matches!(c, '\n' | '\r' | '\t');
        if shown.contains(is_refused) {
            let mut plain = String::with_capacity(shown.len());
            for c in shown.chars() {
                match is_refused(c) {
                    true => plain.extend(std::iter::repeat_n('?', c.len_utf8())),
                    false => plain.push(c),
                }
            }
            shown = plain;
        }
        Self { original, shown }
    }

    pub fn text(&self) -> &str {
        &self.shown
    }
}

/// Some lines of a file, with a marked place.
#[derive(Clone, Debug)]
pub struct Excerpt {
    file: String,
    text: String,
    /// The byte and the line in the file where the excerpt begins, from 0.
    begin: (usize, usize),
    /// The line and the column of the place, from 0.
    place: (usize, usize),
    /// The bytes of the file that are marked and within the excerpt.
    span: Range<usize>,
}

/// Returns the nearest boundary between characters at or before a byte.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl Excerpt {
    pub fn new(file: &str, shown: &Shown<'_>, span: &Range<usize>) -> Self {
        let text = shown.text();
        let start = boundary(shown.original, boundary(text, span.start));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        // counted in the original, because a mask is longer than the secret
        let column = shown
            .original
            .get(line_start..start)
            .map_or(0, |text| text.chars().count());
        let (begin, end);
        if start - line_start > BEFORE {
            let from = boundary(text, start - BEFORE);
            begin = (from, line);
        } else {
            let above = text[..line_start.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
            let is_short = line_start > 0 && line_start - above <= NEIGHBOUR;
            begin = if is_short {
                (above, line - 1)
            } else {
                (line_start, line)
            };
        }
        // all lines of the place, and one more
        let most = boundary(text, start + SHOWN);
        let last = span.end.clamp(start, text.len()).min(most);
        let line_end = |from: usize| {
            let from = boundary(text, from);
            text[from..].find('\n').map_or(text.len(), |at| from + at)
        };
        let own_end = line_end(last.saturating_sub(1).max(start));
        if own_end > most {
            end = most;
        } else {
            let below = line_end((own_end + 1).min(text.len()));
            end = if below - own_end <= NEIGHBOUR { below } else { own_end };
        }
        Self {
            file: file.to_owned(),
            text: text[begin.0..end].to_owned(),
            begin,
            place: (line, column),
            span: start..last.max(start),
        }
    }

    /// Returns the line and the column, from 1.
    pub fn place(&self) -> (usize, usize) {
        (self.place.0 + 1, self.place.1 + 1)
    }

    /// Returns the marked bytes, for a label.
    pub fn label(&self) -> SourceSpan {
        (self.span.start, self.span.len().max(1)).into()
    }
}

impl SourceCode for Excerpt {
    /// Returns the excerpt around a span. Without context lines, returns only the place of the span, which the head of
    /// a report needs.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (at, (line, column)) = match (before, after) {
            (0, 0) => (*span, self.place),
            _ => ((self.begin.0, self.text.len()).into(), (self.begin.1, 0)),
        };
        let lines = self.text.lines().count();
        let (file, text) = (self.file.clone(), self.text.as_bytes());
        Ok(Box::new(MietteSpanContents::new_named(
            file, text, at, line, column, lines,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::check::Problem;

    fn drawn(text: &str, span: Range<usize>) -> String {
        Problem::at("p.toml", text, span, "it is wrong".to_owned(), None).draw(false)
    }

    #[test]
    fn a_place_has_its_line_and_its_neighbours() {
        let text = "a = 1\nb = \"é\"; c\nd = 4\ne = 5";
        let at = text.find("c\n").unwrap();
        let shown = drawn(text, at..at + 1);
        assert!(shown.contains("p.toml:2:10"), "{shown}");
        for line in ["1 │ a = 1", "2 │ b = \"é\"; c", "3 │ d = 4"] {
            assert!(shown.contains(line), "{shown}");
        }
        assert!(!shown.contains("e = 5"), "{shown}");
    }

    #[test]
    fn every_place_of_every_text_can_be_drawn() {
        for text in ["", "\n", "a", "é", "a\nb", "a\r\nb\r\n", "\u{1b}\u{202e}\n\n"] {
            for start in 0..=text.len() + 2 {
                for end in start..=text.len() + 3 {
                    let shown = drawn(text, start..end);
                    assert!(shown.contains("p.toml:"), "{text:?} {start} {end}: {shown}");
                    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_place() {
        let text = format!("x = 1\n{}é{}\ny = 2\n", "é".repeat(50_000), "z".repeat(100_000));
        let at = 6 + 2 * 50_000;
        let shown = drawn(&text, at..text.len());
        assert!(
            shown.contains("p.toml:2:50001") && shown.len() < 4_000,
            "{} {shown}",
            shown.len()
        );
        let many = "line\n".repeat(20_000);
        assert!(drawn(&many, 50..many.len()).len() < 8_000);
    }
}
