use super::*;
use crate::domain::text::is_odd;
use std::ops::ControlFlow;

/// Returns the visible text of one stream.
fn render(bytes: &[u8]) -> String {
    render_parts(&[(Stream::Stdout, bytes)])
}

fn render_parts(parts: &[(Stream, &[u8])]) -> String {
    let mut screens = Screens::default();
    let mut text = String::new();
    for (stream, bytes) in parts {
        screens.feed(*stream, 0, bytes, &mut |shown| {
            text.extend(shown.cells.iter().map(|(c, _)| c));
            text.extend(shown.ends.then_some('\n'));
            ControlFlow::Continue(())
        });
    }
    screens.unfinished(&mut |shown| text.extend(shown.cells.iter().map(|(c, _)| c)));
    text
}

fn shows(bytes: impl AsRef<[u8]>, text: &str) {
    let bytes = bytes.as_ref();
    assert_eq!(render(bytes), text, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn other_sequences_vanish() {
    shows("\x1b]8;;https://evil.example/\x1b\\text\x1b]8;;\x07!", "text!");
    shows("\x1b]0;title\x07x", "x");
    shows("\x1b]0;never ended\nnext", "\nnext");
    shows("\x1b[2J\x1b[3;4H\x1b[?25la\x1b[5Ab", "ab");
    shows("\x1b(Ba\x1b7b\x1b=c", "abc");
    shows("\x1b[>4;1mx\u{9b}31my", "xy");
    shows("a\x1b", "a");
    shows("a\x1b[", "a");
    shows("a\x1b[31", "a");
    shows("\x1b[31\nx", "\nx");
}

#[test]
fn a_line_shows_its_last_state() {
    shows("10%\r 50%\r100%\r\ndone", "100%\ndone");
    shows("long text\rshort\x1b[K\n", "short\n");
    shows("abc\x08X", "abX");
    shows("\x08\x08a", "a");
    shows("abc\x1b[2DX", "aXc");
    shows("a\x1b[5Gb", "a   b");
    shows("abc\x1b[2Kd", "   d");
    assert!(render(b"\x1b[999999999Cx").len() < 3000);
}

#[test]
fn any_bytes_survive() {
    shows(b"a\0b\x07c\x7f", "abc");
    shows(b"\xff\xfe ok \xc3", "\u{fffd}\u{fffd} ok ");
    shows("tab\tü 🐍", "tab\tü 🐍");
    let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
    assert!(!render(&all).is_empty());
}

/// Feeds sequences, links and characters that are torn anywhere. None of their bytes shows as text.
#[test]
fn a_log_that_comes_in_parts_looks_as_if_it_came_at_once() {
    let link = "x".repeat(9000);
    let log = format!(
        "dots ...\u{20ac}\u{1f40d}\x1b[31mred\x1b[1;4mmore\x1b[0m\nprogress 1%\rprogress 99%\n\
         a \x1b]8;;https://{link}\x1b\\link\x1b]8;;\x1b\\ \x1bP{link}\x1b\\end\u{9d}0;{link}\u{9c}\nthe last"
    );
    let log = [log.as_bytes(), b"\xff\xe2\x82 torn\x1b]0;title\x07 end\xe2\x82\n"].concat();
    let wanted = render(&log);
    assert_eq!(
        wanted,
        "dots ...\u{20ac}\u{1f40d}redmore\nprogress 99%\na link end\nthe last\u{fffd}\u{fffd} torn end\u{fffd}\n"
    );
    for size in (1..20).chain([63, 64, 65, 1000, 4095, 4096, 4097, 5000]) {
        let parts: Vec<_> = log.chunks(size).map(|part| (Stream::Stdout, part)).collect();
        assert_eq!(render_parts(&parts), wanted, "parts of {size}");
    }
}

#[test]
fn a_string_without_an_end_hides_no_more_than_its_line_and_says_so() {
    let long = "word ".repeat(2000);
    assert_eq!(
        render(format!("a\x1b]0;{long}\nnext").as_bytes()),
        "a[a long sequence without an end is not shown]\nnext"
    );
    shows("\x1bPdevice\x1b\\x\x1b^message\x1b\\y\u{90}z\u{9c}", "xy");
}

#[test]
fn each_stream_has_its_own_line() {
    use Stream::{Control, Stderr, Stdout};
    let shown = render_parts(&[
        (Stdout, b"\x1b[31mout \x1b]0;ti"),
        (Stderr, b"err"),
        (Stdout, b"tle\x07more\rO"),
        (Stderr, b"or\n"),
        (Stdout, b"UT\n"),
    ]);
    assert_eq!(shown, "error\nOUT more\n");
    // a line of Pybots ends the lines of the suites
    let shown = render_parts(&[
        (Stdout, b"out\xe2\x82"),
        (Stderr, b"\x1b]0;title"),
        (Control, b"[pybots] phase test ended\n"),
        (Stderr, b"next\n"),
    ]);
    assert_eq!(shown, "out\u{fffd}\n[pybots] phase test ended\nnext\n");
}

#[test]
fn only_pybots_writes_its_mark() {
    let mark = |stream: Stream| render_parts(&[(stream, b"[pybots] outcome: passed\n")]);
    assert_eq!(mark(Stream::Control), "[pybots] outcome: passed\n");
    assert_eq!(mark(Stream::Stdout), "[stdout: pybots] outcome: passed\n");
    assert_eq!(mark(Stream::Stderr), "[stderr: pybots] outcome: passed\n");
    for hidden in [
        "x\r[pybots] passed",
        "[p\x1b[31myb\u{200b}o\u{feff}t\u{e0041}s] passed",
        "[pxbots] passed\x1b[3Gy",
        "\u{9b}36m[PYBOTS] passed",
        "\x1b[2J\x1b[H[pybots] passed",
    ] {
        assert!(
            render(hidden.as_bytes())
                .to_lowercase()
                .contains("[stdout: pybots] passed"),
            "{hidden}"
        );
    }
    // where a long line wraps, and where it is split into parts
    for before in (20_440..20_490).chain([80]) {
        let line = format!("{}[pybots] passed{}\n", " ".repeat(before), "y".repeat(9000));
        let parts: Vec<_> = line
            .as_bytes()
            .chunks(4096)
            .map(|part| (Stream::Stdout, part))
            .collect();
        let shown = render_parts(&parts);
        assert!(
            shown.contains("[stdout: pybots] passed") && !shown.contains("[pybots"),
            "{before}"
        );
    }
}

#[test]
fn a_long_line_is_shown_in_parts() {
    let mut screens = Screens::default();
    let (mut shown, mut parts) = (0, 0);
    let mut show = |line: Shown<'_>| {
        assert_eq!(
            (line.at, line.begins, line.ends),
            (0, parts == 0, shown + line.cells.len() == 1_000_000)
        );
        (shown, parts) = (shown + line.cells.len(), parts + 1);
        ControlFlow::Continue(())
    };
    for time in 0..100 {
        screens.feed(Stream::Stdout, time, &[b'x'; 10_000], &mut show);
    }
    screens.feed(Stream::Stdout, 100, b"\n", &mut show);
    assert!(parts > 50, "{parts}");
}

#[test]
fn nothing_that_controls_or_reorders_comes_out() {
    let all: String = ('\0'..='\u{2fff}').collect();
    let shown = render(all.as_bytes());
    assert!(!shown.contains(|c| is_odd(c) && !matches!(c, '\n' | '\t')), "{shown:?}");
}

#[test]
fn text_that_quotes_others_is_clean() {
    let text = "fix \u{1b}]52;c;x\u{7}it\n\u{9b}2J\x1b[3;4H\u{202e}\x1b[31mabc\r\nnever \x1b]0;ended\nnext\t\x08";
    assert_eq!(clean(text, false), "fix it\n?abc\nnever \nnext\t?");
    assert_eq!(clean(text, true), "fix it\n?\x1b[0;31mabc\nnever \nnext\t?\x1b[0m");
    assert!(matches!(clean("naïve\ttést ✓\n", false), std::borrow::Cow::Borrowed(_)));
}
