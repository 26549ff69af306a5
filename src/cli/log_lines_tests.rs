use super::*;

fn lines(timestamps: bool, colours: bool) -> LogLines {
    LogLines::new(None, timestamps, colours)
}

/// Returns the printed text of a log that arrives in parts.
fn printed(mut lines: LogLines, parts: &[(Stream, &str)]) -> String {
    let mut out = Vec::new();
    for (at, (stream, text)) in parts.iter().enumerate() {
        out.extend(lines.take(*stream, 1_700_000_000_123 + at as i64, text.as_bytes()));
    }
    out.extend(lines.end());
    String::from_utf8(out).unwrap()
}

#[test]
fn no_log_controls_a_terminal() {
    let log = "\x1b]52;c;aGFjaw==\x07\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x07\x1b[2J\x1b[H\x1b[5A\x1bc\x1b[?1049h\
               \u{9b}2J\u{9d}0;title\u{9c}\x1b[31mred\x1b[0m\x1bP+q\x1b\\\x08\x08\x0b\x0c\x0e\u{202e}\r\n";
    for size in [1, 3, 1000] {
        let parts: Vec<String> = log
            .chars()
            .collect::<Vec<_>>()
            .chunks(size)
            .map(|part| part.iter().collect())
            .collect();
        let parts: Vec<_> = parts.iter().map(|part| (Stream::Stdout, part.as_str())).collect();
        assert_eq!(printed(lines(false, false), &parts), "linkr\u{fffd}d\n");
        assert_eq!(
            printed(lines(false, true), &parts),
            "link\x1b[0;31mr\x1b[0m\u{fffd}\x1b[0;31md\x1b[0m\n"
        );
    }
}

#[test]
fn a_suite_can_not_write_our_lines() {
    let parts = [
        (Stream::Stdout, "\x1b[36m[pybots] outcome: passed\x1b[0m\n"),
        (Stream::Control, "\x1b[36m[pybots] outcome: failed\x1b[0m\n"),
    ];
    assert_eq!(
        printed(lines(false, false), &parts),
        "[stdout: pybots] outcome: passed\n[pybots] outcome: failed\n"
    );
}

#[test]
fn a_line_has_its_time_and_its_stream() {
    let parts = [
        (Stream::Stderr, "no "),
        (Stream::Stdout, "out\n"),
        (Stream::Stderr, "end"),
    ];
    assert_eq!(
        printed(lines(true, false), &parts),
        "2023-11-14T22:13:20.124Z stdout  out\n2023-11-14T22:13:20.123Z stderr  no end\n"
    );
}

#[test]
fn a_line_of_megabytes_is_one_line() {
    let part = "x".repeat(100_000);
    let mut parts = Vec::new();
    for _ in 0..50 {
        parts.extend([(Stream::Stdout, part.as_str()), (Stream::Stderr, "err\n")]);
    }
    let out = printed(lines(true, false), &parts);
    assert_eq!(out.lines().count(), 51);
    let long: Vec<&str> = out.lines().filter(|line| line.len() > 100).collect();
    assert_eq!(
        (long.len(), long[0].len()),
        (1, "2023-11-14T22:13:20.124Z stdout  ".len() + 5_000_000)
    );
    assert!(long[0].starts_with("2023-11-14T22:13:20.123Z stdout  x"));
}

#[test]
fn a_line_beyond_all_bounds_says_that_it_goes_on() {
    let mut lines = lines(false, false);
    let part = vec![b'x'; 1 << 20];
    let out: Vec<u8> = (0..20).flat_map(|_| lines.take(Stream::Stdout, 0, &part)).collect();
    assert!(out.ends_with(b"x [this line goes on]\n"));
    assert!(out.len() < HELD_MOST + (1 << 20));
}

#[test]
fn who_watches_sees_a_line_before_it_ends() {
    let mut lines = lines(false, false);
    let mut step = |stream, text: &str| {
        let out = [lines.take(stream, 0, text.as_bytes()), lines.preview()].concat();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(step(Stream::Stdout, ".."), "..");
    assert_eq!(step(Stream::Stdout, "."), ".");
    assert_eq!(step(Stream::Stdout, "\n"), "\n");
    assert_eq!(step(Stream::Stdout, "10%"), "10%");
    assert_eq!(step(Stream::Stdout, "\r50%"), "");
    assert_eq!(step(Stream::Stdout, "\r100%\n"), "\n100%\n");
    assert_eq!(step(Stream::Stdout, "one"), "one");
    assert_eq!(step(Stream::Stderr, "two\n"), "\ntwo\none");
    assert_eq!(step(Stream::Stdout, " more\n"), " more\n");
}
