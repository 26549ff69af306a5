use super::*;
use std::ops::ControlFlow;

fn render(text: &[u8]) -> String {
    let mut screens = Screens::default();
    let (mut writer, mut html) = (Html::default(), String::new());
    screens.feed(Stream::Stdout, 0, text, &mut |shown| {
        writer.write(&mut html, &shown);
        ControlFlow::Continue(())
    });
    html + &writer.unfinished(&screens, |_| true)
}

fn shows(text: &str, html: &str) {
    assert_eq!(render(text.as_bytes()), html, "{text:?}");
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
        "&lt;script&gt;alert(\"1\")&lt;/script&gt; &amp; co",
    );
    shows("<\x1b[31mscript>", "&lt;<span class=\"f1\">script&gt;</span>");
}

#[test]
fn no_log_has_the_class_of_our_lines() {
    let mut screens = Screens::default();
    let (mut writer, mut html) = (Html::default(), String::new());
    for (stream, text) in [
        (Stream::Stdout, "\x1b[36m[pybots] outcome: passed\n"),
        (Stream::Stderr, "unfinished"),
        (Stream::Control, "\x1b[36m[pybots] outcome: failed\x1b[0m\n"),
    ] {
        screens.feed(stream, 0, text.as_bytes(), &mut |shown| {
            writer.write(&mut html, &shown);
            ControlFlow::Continue(())
        });
    }
    assert_eq!(
        html,
        "<span class=\"f6\">[stdout: pybots] outcome: passed</span>\nunfinished\n\
         <span class=\"own\"><span class=\"f6\">[pybots] outcome: failed</span></span>\n"
    );
}

/// For a MiB of any input that multiplies its output, the HTML is bounded, and so is the time.
#[test]
fn html_is_bounded_by_the_log() {
    let attacks: [&[u8]; 14] = [
        b"\x1b[2000Cx",
        b"\x1b[2000Cx\r",
        b"\x1b[2000Cx\n",
        b"\x1b[2000Gx\r\x1b[1K",
        b"\x1b[2000G\x1b[1Kx\r",
        b"x\x1b[99999b",
        b"\x1b[999I\x1b[99@\x1b[99X\t",
        b"\x1b[1;2;3;4;7;9;91;101mx\x1b[22mx",
        b"\x1b[1mx\x1b[mx",
        b"\x1b[38;2;1;2;3;48;2;9;9;9;38;2;1;2;3;48;2;9;9;9;38;2;1;2;3;48;2;9;9;9mx",
        b"\x1b]8;;http://x/\x1b\\x",
        b"&<>\"",
        b"\xff",
        b"[pybots",
    ];
    let clock = std::time::Instant::now();
    for attack in attacks {
        let log = attack.repeat((1 << 20) / attack.len());
        let html = render(&log);
        assert!(
            html.len() < 10 * log.len(),
            "{} bytes of {:?} become {}",
            log.len(),
            String::from_utf8_lossy(attack),
            html.len()
        );
    }
    // seconds, instead of hours without a bound
    assert!(
        clock.elapsed() < std::time::Duration::from_secs(60),
        "{:?}",
        clock.elapsed()
    );
}
