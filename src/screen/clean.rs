//! Cleans text of several lines that Pybots writes and that quotes others: subjects of revisions, messages, errors of
//! servers.

use super::characters::{CANCEL, seven_bit};
use super::style::Style;
use crate::domain::text::is_odd;
use std::borrow::Cow;
use vte::{Params, Parser, Perform};

/// Returns a text that can't control a terminal. Escape sequences go, except colours and other styles if `colours` is
/// set. Carriage returns go too. Other control characters, and characters that mislead a reader, become `?`; line
/// breaks and tabs stay. An unterminated sequence hides at most the rest of its line.
pub fn clean(text: &str, colours: bool) -> Cow<'_, str> {
    if !text.contains(|c| is_odd(c) && !matches!(c, '\n' | '\t')) {
        return text.into();
    }
    let mut clean = Clean {
        colours,
        ..Clean::default()
    };
    let mut parser: Parser = Parser::default();
    for line in seven_bit(text).split_inclusive('\n') {
        parser.advance(&mut clean, line.strip_suffix('\n').unwrap_or(line).as_bytes());
        if line.ends_with('\n') {
            parser.advance(&mut clean, CANCEL);
            clean.text.push('\n');
        }
    }
    clean.select(Style::default());
    clean.text.into()
}

#[derive(Default)]
struct Clean {
    text: String,
    style: Style,
    colours: bool,
}

impl Clean {
    fn select(&mut self, style: Style) {
        if self.colours && style != self.style {
            self.text.push_str(&style.sgr());
        }
        self.style = style;
    }
}

impl Perform for Clean {
    fn print(&mut self, c: char) {
        self.text.push(if is_odd(c) { '?' } else { c });
    }

    fn execute(&mut self, control: u8) {
        match control {
            b'\t' => self.text.push('\t'),
            // a cancelled sequence, and the first half of a line break
            0x18 | b'\r' => {}
            _ => self.text.push('?'),
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        if action == 'm' && intermediates.is_empty() {
            let mut style = self.style;
            style.apply(params);
            self.select(style);
        }
    }
}
