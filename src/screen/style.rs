//! The style of a character: colours and attributes that sequences ending in `m` select (ECMA-48, "SGR"), and their
//! classes in the style sheet.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// One of the 16 colours; `None` is the default colour of the log.
    foreground: Option<u8>,
    background: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    inverse: bool,
}

impl Style {
    /// Applies the parameters of one sequence, such as `1;31`.
    pub fn apply(&mut self, params: &vte::Params) {
        let numbers: Vec<u16> = params.iter().flatten().copied().collect();
        let mut at = 0;
        while let Some(number) = numbers.get(at) {
            at += 1;
            match number {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                7 => self.inverse = true,
                9 => self.strike = true,
                21 | 22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.inverse = false,
                29 => self.strike = false,
                30..=37 => self.foreground = Some((number - 30) as u8),
                39 => self.foreground = None,
                40..=47 => self.background = Some((number - 40) as u8),
                49 => self.background = None,
                90..=97 => self.foreground = Some((number - 82) as u8),
                100..=107 => self.background = Some((number - 92) as u8),
                38 | 48 => {
                    let (colour, used) = extended(numbers.get(at..).unwrap_or_default());
                    at += used;
                    match number {
                        38 => self.foreground = colour.or(self.foreground),
                        _ => self.background = colour.or(self.background),
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the sequence that selects exactly this style on a terminal.
    pub fn sgr(self) -> String {
        let code = |n: u8, low: u16, high: u16| {
            if n < 8 {
                low + u16::from(n)
            } else {
                high + u16::from(n) - 8
            }
        };
        let flags = [
            (self.bold, 1),
            (self.dim, 2),
            (self.italic, 3),
            (self.underline, 4),
            (self.inverse, 7),
            (self.strike, 9),
        ];
        let mut sequence = "\u{1b}[0".to_owned();
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, number)| *number);
        let colours = [
            self.foreground.map(|n| code(n, 30, 90)),
            self.background.map(|n| code(n, 40, 100)),
        ];
        for number in flags.chain(colours.into_iter().flatten()) {
            sequence.push(';');
            sequence.push_str(&number.to_string());
        }
        sequence.push('m');
        sequence
    }

    /// Returns classes of the style sheet, separated by spaces: `f1` for red text, `k4` for a blue background, `bo` for
    /// bold.
    pub fn classes(self) -> String {
        let (mut foreground, mut background) = (self.foreground, self.background);
        if self.inverse {
            // 16 and 17 are the default colours of the log, exchanged
            (foreground, background) = (Some(background.unwrap_or(16)), Some(foreground.unwrap_or(17)));
        }
        let flags = [
            (self.bold, "bo"),
            (self.dim, "di"),
            (self.italic, "it"),
            (self.underline, "un"),
            (self.strike, "st"),
        ];
        let colours = [foreground.map(|n| format!("f{n}")), background.map(|n| format!("k{n}"))];
        let named = flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned());
        colours.into_iter().flatten().chain(named).collect::<Vec<_>>().join(" ")
    }
}

/// Returns the colour after 38 or 48, and how many parameters it takes.
fn extended(numbers: &[u16]) -> (Option<u8>, usize) {
    let byte = |n: u16| n.min(255) as u8;
    match numbers {
        [5, index, ..] => (Some(of_256(byte(*index))), 2),
        [2, r, g, b, ..] => (Some(nearest(byte(*r), byte(*g), byte(*b))), 4),
        _ => (None, numbers.len()),
    }
}

/// Returns the nearest of the 16 colours to one of xterm's 256: 16 named ones, a cube of 6 x 6 x 6, and 24 greys.
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

/// The 16 colours in xterm's default palette.
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
