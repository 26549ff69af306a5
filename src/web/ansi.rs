//! Renders lines of a log as HTML for a `<pre>`. Colours become classes, because the content security policy of the
//! pages forbids inline styles.

use crate::logfile::Stream;
use crate::screen::{Screens, Shown, StyledChar};
use std::fmt::Write;

/// Writes lines as HTML. If two streams write long lines at the same time, each part gets its own line.
#[derive(Default)]
pub struct Html {
    /// The stream whose unfinished line was written last.
    open: Option<Stream>,
}

impl Html {
    /// Appends a line, or a part of a line.
    pub fn write(&mut self, html: &mut String, shown: &Shown<'_>) {
        if self.open.is_some_and(|open| open != shown.stream) {
            html.push('\n');
        }
        write(html, shown);
        self.open = (!shown.ends).then_some(shown.stream);
    }

    /// Returns the unfinished lines that `is_shown` accepts, each on its own line.
    pub fn unfinished(&self, screens: &Screens, is_shown: impl Fn(&Shown<'_>) -> bool) -> String {
        let mut html = String::new();
        let mut open = self.open;
        screens.unfinished(&mut |shown| {
            if is_shown(&shown) {
                if open.is_some_and(|open| open != shown.stream) {
                    html.push('\n');
                }
                write(&mut html, &shown);
                open = Some(shown.stream);
            }
        });
        html
    }
}

/// Writes a line. Lines of Pybots get a class that no text of a log can have.
fn write(html: &mut String, shown: &Shown<'_>) {
    let own = shown.stream == Stream::Control;
    if own {
        html.push_str("<span class=\"own\">");
    }
    write_cells(html, shown.cells);
    if own {
        html.push_str("</span>");
    }
    if shown.ends {
        html.push('\n');
    }
}

fn write_cells(html: &mut String, cells: &[StyledChar]) {
    for part in cells.chunk_by(|a, b| a.1 == b.1) {
        let classes = part.first().map(|(_, style)| style.classes()).unwrap_or_default();
        if !classes.is_empty() {
            let _ = write!(html, "<span class=\"{classes}\">");
        }
        for (c, _) in part {
            match c {
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '&' => html.push_str("&amp;"),
                c => html.push(*c),
            }
        }
        if !classes.is_empty() {
            html.push_str("</span>");
        }
    }
}

#[cfg(test)]
#[path = "ansi_tests.rs"]
mod tests;
