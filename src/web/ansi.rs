//! A log's bytes as HTML: what a terminal would show, line by line. Colours become classes (the
//! pages' policy forbids inline styles), everything else that a program can send is text or nothing.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Columns that a cursor may be moved to: without a bound one sequence could ask for gigabytes.
const WIDEST: usize = 2000;

/// Characters of a title, link or other string sequence, after which it is taken as unterminated.
const LONGEST_STRING: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Style {
    /// One of the 16 colours.
    front: Option<u8>,
    back: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    inverse: bool,
}

/// Bytes of a character or an escape sequence that may come in two parts.
const TORN_MOST: usize = 64;

/// Characters of a line that has no end yet; what is longer is taken as ended, without a line break.
const LINE_MOST: usize = 16 << 10;

/// Renders bytes, which may be anything, to HTML for a `<pre>`: the line that is being written, and the lines that are
/// done.
#[derive(Default)]
pub struct Screen {
    html: String,
    line: Vec<(char, Style)>,
    column: usize,
    style: Style,
    /// The first part of what came torn.
    torn: Vec<u8>,
}

impl Screen {
    /// Shows more of a log as it comes, torn anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut text = std::mem::take(&mut self.torn);
        text.extend_from_slice(bytes);
        self.torn = text.split_off(whole(&text));
        self.show(&String::from_utf8_lossy(&text));
        if self.line.len() > LINE_MOST {
            self.show_line();
            self.line.clear();
            self.column = 0;
        }
    }

    /// The HTML of the lines that were done since it was last taken.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.html)
    }

    /// The HTML of the line that is being written.
    pub fn line(&self) -> String {
        let mut html = String::new();
        self.write_line(&mut html);
        html
    }

    fn show(&mut self, text: &str) {
        self.html.reserve(text.len() + text.len() / 8);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' => self.end_line(),
                '\r' => self.column = 0,
                '\x08' => self.column = self.column.saturating_sub(1),
                '\x1b' => escape(&mut chars, self),
                '\u{9b}' => control(&mut chars, self),
                '\t' => self.put(c),
                c if c.is_control() => {}
                c => self.put(c),
            }
        }
    }
}

/// How many bytes make whole characters and whole colour sequences.
fn whole(bytes: &[u8]) -> usize {
    let near = bytes.len().saturating_sub(TORN_MOST);
    if let Some(at) = bytes[near..].iter().rposition(|byte| *byte == 0x1b) {
        let sequence = &bytes[near + at + 1..];
        let ended = match sequence.first() {
            None => false,
            Some(b'[') => sequence[1..].iter().any(|byte| !(0x20..=0x3f).contains(byte)),
            // a title or the like
            Some(b']' | b'P' | b'X' | b'^' | b'_') => sequence.iter().any(|byte| matches!(byte, 0x07 | b'\n')),
            Some(b'(' | b')' | b'*' | b'+' | b'#' | b'%' | b' ') => sequence.len() > 1,
            Some(_) => true,
        };
        if !ended {
            return near + at;
        }
    }
    // a character of which only the beginning is there
    let tail = bytes.len().saturating_sub(3);
    let lead = bytes[tail..].iter().rposition(|byte| *byte >= 0xc0);
    match lead.map(|at| tail + at) {
        Some(at) if std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none()) => at,
        _ => bytes.len(),
    }
}

impl Screen {
    fn put(&mut self, c: char) {
        if self.column > self.line.len() {
            self.line.resize(self.column, (' ', Style::default()));
        }
        match self.line.get_mut(self.column) {
            Some(place) => *place = (c, self.style),
            None => self.line.push((c, self.style)),
        }
        self.column += 1;
    }

    fn move_to(&mut self, column: usize) {
        self.column = column.min(WIDEST.max(self.line.len()));
    }

    fn end_line(&mut self) {
        self.show_line();
        self.html.push('\n');
        self.line.clear();
        self.column = 0;
    }

    fn show_line(&mut self) {
        let mut html = std::mem::take(&mut self.html);
        self.write_line(&mut html);
        self.html = html;
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

    fn erase(&mut self, which: u32) {
        match which {
            0 => self.line.truncate(self.column),
            1 => self
                .line
                .iter_mut()
                .take(self.column + 1)
                .for_each(|place| *place = (' ', Style::default())),
            _ => self.line.clear(),
        }
    }
}

/// After ESC.
fn escape(chars: &mut Peekable<Chars<'_>>, screen: &mut Screen) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            control(chars, screen);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        // a character set: one more character
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            chars.next();
            if chars.peek().is_some_and(|c| !c.is_control()) {
                chars.next();
            }
        }
        Some('\x20'..='\x7e') => {
            chars.next();
        }
        _ => {}
    }
}

/// Skips a title, a link or the like up to its terminator. At the end of a line it is taken as
/// unterminated, so that it can't swallow the log.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    for _ in 0..LONGEST_STRING {
        match chars.peek() {
            None | Some('\n') => return,
            Some('\x07' | '\u{9c}') => {
                chars.next();
                return;
            }
            Some('\x1b') => {
                chars.next();
                if chars.peek() == Some(&'\\') {
                    chars.next();
                }
                return;
            }
            Some(_) => {
                chars.next();
            }
        }
    }
}

/// After CSI: parameters, then a final character.
fn control(chars: &mut Peekable<Chars<'_>>, screen: &mut Screen) {
    let mut parameters = String::new();
    while let Some(c) = chars.next_if(|c| ('\x20'..='\x3f').contains(c)) {
        if parameters.len() < 64 {
            parameters.push(c);
        }
    }
    let Some(last) = chars.next_if(|c| ('\x40'..='\x7e').contains(c)) else {
        return;
    };
    let numbers: Vec<u32> = parameters
        .split([';', ':'])
        .map(|text| text.parse().unwrap_or(0))
        .collect();
    let first = numbers.first().copied().unwrap_or(0);
    let count = first.max(1) as usize;
    match last {
        'm' if !parameters.starts_with(['>', '?', '<', '=']) => paint(&mut screen.style, &numbers),
        'K' => screen.erase(first),
        'C' => screen.move_to(screen.column.saturating_add(count)),
        'D' => screen.move_to(screen.column.saturating_sub(count)),
        'G' => screen.move_to(count - 1),
        // the rest moves between lines, asks the terminal, or clears it: a log keeps its lines
        _ => {}
    }
}

fn paint(style: &mut Style, numbers: &[u32]) {
    let mut at = 0;
    while let Some(number) = numbers.get(at) {
        at += 1;
        match number {
            0 => *style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            3 => style.italic = true,
            4 => style.underline = true,
            7 => style.inverse = true,
            9 => style.strike = true,
            21 | 22 => (style.bold, style.dim) = (false, false),
            23 => style.italic = false,
            24 => style.underline = false,
            27 => style.inverse = false,
            29 => style.strike = false,
            30..=37 => style.front = Some((number - 30) as u8),
            39 => style.front = None,
            40..=47 => style.back = Some((number - 40) as u8),
            49 => style.back = None,
            90..=97 => style.front = Some((number - 82) as u8),
            100..=107 => style.back = Some((number - 92) as u8),
            38 | 48 => {
                let (colour, used) = extended(numbers.get(at..).unwrap_or_default());
                at += used;
                if let Some(colour) = colour {
                    *(if *number == 38 {
                        &mut style.front
                    } else {
                        &mut style.back
                    }) = Some(colour);
                }
            }
            _ => {}
        }
    }
}

/// The colour after 38 or 48, and how many numbers it took.
fn extended(numbers: &[u32]) -> (Option<u8>, usize) {
    let byte = |n: u32| n.min(255) as u8;
    match numbers {
        [5, index, ..] => (Some(of_256(byte(*index))), 2),
        [2, r, g, b, ..] => (Some(nearest(byte(*r), byte(*g), byte(*b))), 4),
        _ => (None, numbers.len()),
    }
}

fn of_256(index: u8) -> u8 {
    match index {
        0..=15 => index,
        16..=231 => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let cube = index - 16;
            nearest(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        232..=255 => {
            let grey = 8 + 10 * (index - 232);
            nearest(grey, grey, grey)
        }
    }
}

/// The 16 colours as terminals have them.
const PALETTE: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];

fn nearest(r: u8, g: u8, b: u8) -> u8 {
    let distance = |(x, y, z): (u8, u8, u8)| {
        let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        square(r, x) + square(g, y) + square(b, z)
    };
    let best = PALETTE.iter().enumerate().min_by_key(|(_, colour)| distance(**colour));
    best.map_or(7, |(index, _)| index as u8)
}

impl Style {
    /// Classes of the style sheet: `f1` a red front, `k4` a blue back, `bo` bold, ...
    fn classes(self) -> String {
        let (mut front, mut back) = (self.front, self.back);
        if self.inverse {
            (front, back) = (Some(back.unwrap_or(16)), Some(front.unwrap_or(17)));
        }
        let flags = [
            (self.bold, "bo"),
            (self.dim, "di"),
            (self.italic, "it"),
            (self.underline, "un"),
            (self.strike, "st"),
        ];
        let colours = [front.map(|n| format!("f{n}")), back.map(|n| format!("k{n}"))];
        let named = flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned());
        colours.into_iter().flatten().chain(named).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
#[path = "ansi_tests.rs"]
mod tests;
