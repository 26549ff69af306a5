use super::*;

fn render(bytes: &[u8]) -> String {
    let mut screen = Screen::default();
    screen.feed(bytes);
    // at the end of a log, a character whose end is missing counts as one that can't be read
    if !screen.torn.is_empty() {
        screen.cells.put('\u{fffd}');
    }
    screen.take() + &screen.line()
}

fn shows(bytes: impl AsRef<[u8]>, html: &str) {
    let bytes = bytes.as_ref();
    assert_eq!(render(bytes), html, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn colours_become_classes() {
    shows("\x1b[31mred\x1b[0m plain", "<span class=\"f1\">red</span> plain");
    shows("\x1b[1;92;44mx\x1b[m", "<span class=\"f10 k4 bo\">x</span>");
    shows("\x1b[38;5;196mx", "<span class=\"f9\">x</span>");
    shows("\x1b[38;5;3mx", "<span class=\"f3\">x</span>");
    shows("\x1b[48;2;1;2;3mx", "<span class=\"k0\">x</span>");
    shows("\x1b[38;5;244mx", "<span class=\"f8\">x</span>");
    shows("\x1b[7mx\x1b[27my", "<span class=\"f16 k17\">x</span>y");
    shows(
        "\x1b[31m\x1b[1ma\x1b[22mb\x1b[39mc",
        "<span class=\"f1 bo\">a</span><span class=\"f1\">b</span>c",
    );
}

#[test]
fn unclosed_colours_go_on_in_closed_spans() {
    shows(
        "\x1b[32ma\nb",
        "<span class=\"f2\">a</span>\n<span class=\"f2\">b</span>",
    );
    shows("\x1b[38mx\x1b[38;5mx\x1b[999mx\x1b[;;;mx", "xxxx");
}

#[test]
fn markup_is_text() {
    shows(
        "<script>alert(\"1\")</script> & co",
        "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; co",
    );
    shows("<\x1b[31mscript>", "&lt;<span class=\"f1\">script&gt;</span>");
}

#[test]
fn other_sequences_vanish() {
    shows("\x1b]8;;https://evil.example/\x1b\\text\x1b]8;;\x07!", "text!");
    shows("\x1b]0;title\x07x", "x");
    shows("\x1b]0;never ended\nnext", "\nnext");
    shows("\x1b[2J\x1b[3;4H\x1b[?25la\x1b[5Ab", "ab");
    shows("\x1b(Ba\x1b7b\x1b=c", "abc");
    shows("\x1b[>4;1mx\u{9b}31my", "x<span class=\"f1\">y</span>");
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
    shows(b"\xff\xfe ok \xc3", "\u{fffd}\u{fffd} ok \u{fffd}");
    shows("tab\tü 🐍", "tab\tü 🐍");
    let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
    assert!(!render(&all).is_empty());
}

#[test]
fn a_log_that_comes_in_parts_looks_as_if_it_came_at_once() {
    let log = "dots ...\u{20ac}\u{1f40d}\x1b[31mred\x1b[1;4mmore\x1b[0m\nprogress 1%\rprogress 99%\nthe last";
    let log = [log.as_bytes(), b"\xff\xe2\x82 torn\x1b]0;title\x07 end"].concat();
    let wanted = render(&log);
    for size in 1..20 {
        let mut screen = Screen::default();
        let mut lines = String::new();
        for part in log.chunks(size) {
            screen.feed(part);
            lines.push_str(&screen.take());
        }
        assert_eq!(lines + &screen.line(), wanted, "parts of {size}");
    }
}

#[test]
fn what_is_shown_does_not_wait_for_what_may_come() {
    let mut screen = Screen::default();
    screen.feed(b"\x1b[31mFAILED");
    assert_eq!(screen.line(), "<span class=\"f1\">FAILED</span>");
    screen.feed(b"\x1b[0m ...");
    assert_eq!(screen.line(), "<span class=\"f1\">FAILED</span> ...");
    assert_eq!(screen.take(), "");
}

#[test]
fn a_line_without_an_end_is_bounded() {
    let mut screen = Screen::default();
    for _ in 0..100 {
        screen.feed(&[b'x'; 10_000]);
    }
    assert!(screen.line().len() <= LINE_MOST);
    assert_eq!(screen.take().len() + screen.line().len(), 1_000_000);
}

#[test]
fn a_string_without_an_end_hides_only_its_beginning() {
    let text = "word ".repeat(LONGEST_STRING);
    let shown = render(format!("\x1b]0;{text}").as_bytes());
    assert!(shown.len() > text.len() - 2 * LONGEST_STRING, "{}", shown.len());
    shows("\x1b]0;title\u{9c}x", "x");
    shows("\x1bPdevice\x1b\\x\x1b^message\x1b\\y", "xy");
}
