use super::*;
use crate::logfile::Chunk;
use crate::logfile::file::Appender;
use crate::logfile::frame;
use std::os::unix::fs::FileExt;

/// A log in a file, with the positions of its frames in the file.
struct Log {
    folder: tempfile::TempDir,
    frames: Vec<u64>,
}

impl Log {
    fn of(parts: &[(Stream, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Appender::open(&path).unwrap();
        let mut frames = Vec::new();
        for (stream, text) in parts {
            for part in text.chunks(200_000) {
                frames.push(std::fs::metadata(&path).unwrap().len());
                let chunk = Chunk::of(log.extent().length, *stream, 0, part.to_vec().into());
                log.append(&frame::encode(&chunk).unwrap()).unwrap().unwrap();
            }
        }
        Self { folder, frames }
    }

    fn reader(&self) -> LogReader {
        LogReader::open(&self.folder.path().join("log")).unwrap().unwrap()
    }

    fn draw(&self, place: LogPosition) -> Drawn {
        draw(&mut self.reader(), place, None, true).unwrap()
    }

    /// Returns all pages from the first to the last.
    fn forward(&self) -> Vec<Drawn> {
        let mut pages = vec![self.draw(LogPosition::From(0))];
        while let Some(next) = pages[pages.len() - 1].later() {
            pages.push(self.draw(LogPosition::From(next)));
            assert!(pages.len() < 1000);
        }
        pages
    }

    /// Returns all pages from the last to the first.
    fn backward(&self) -> Vec<Drawn> {
        let mut pages = vec![self.draw(LogPosition::End)];
        while let Some(earlier) = pages[0].earlier() {
            pages.insert(0, self.draw(LogPosition::Until(earlier)));
            assert!(pages.len() < 1000);
        }
        pages
    }
}

fn whole(pages: &[Drawn]) -> String {
    pages.iter().map(|page| page.html.clone() + &page.line).collect()
}

#[test]
fn a_short_log_is_shown_whole() {
    for text in ["a\nb", "a\nb\n"] {
        let page = Log::of(&[(Stream::Stdout, text.as_bytes())]).draw(LogPosition::End);
        assert_eq!(
            (page.html + &page.line, page.from, page.until),
            (text.to_owned(), 0, text.len() as u64)
        );
    }
    let log = Log::of(&[(Stream::Stdout, b"a\nb")]);
    let page = log.draw(LogPosition::From(99));
    assert_eq!((page.from, page.earlier(), page.later()), (3, Some(3), None));
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let text: String = (0..60_000).map(|n| format!("line {n} \u{e9}\n")).collect();
    let log = Log::of(&[(Stream::Stdout, text.as_bytes())]);
    for pages in [log.forward(), log.backward()] {
        assert!(pages.len() > 2);
        assert_eq!(whole(&pages), text);
        assert!(
            pages
                .iter()
                .all(|page| page.html.ends_with('\n') && page.html.len() < 2 * PAGE)
        );
    }
}

#[test]
fn a_progress_bar_of_megabytes_is_one_line_on_one_page() {
    let bar: String = (0..40_000)
        .map(|n| format!("\r{n:>6} of 40000 {}", "#".repeat(44)))
        .collect();
    assert!(bar.len() > 2_300_000);
    let text = format!("first\n{bar}\nlast\n");
    let log = Log::of(&[(Stream::Stderr, text.as_bytes())]);
    let shown = format!("first\n 39999 of 40000 {}\nlast\n", "#".repeat(44));
    for pages in [log.forward(), log.backward()] {
        assert_eq!(pages.len(), 1);
        assert_eq!(whole(&pages), shown);
    }
}

#[test]
fn a_page_reads_no_more_than_its_work() {
    // one long line with hardly any visible text
    let log = Log::of(&[(Stream::Stdout, &b"nothing to see\r".repeat(1_500_000))]);
    let page = log.draw(LogPosition::From(0));
    assert!(
        page.until <= WORK + (1 << 20) && page.later().is_some(),
        "{}",
        page.until
    );
    assert_eq!(page.line, "nothing to see");
    let page = log.draw(LogPosition::End);
    assert!(page.from >= page.total - WORK, "{}", page.from);
}

#[test]
fn a_line_without_an_end_is_shown_in_parts() {
    let text = "\u{20ac}uro <b> ".repeat(100_000);
    let log = Log::of(&[(Stream::Stdout, text.as_bytes())]);
    let wanted = text.replace('<', "&lt;").replace('>', "&gt;");
    for pages in [log.forward(), log.backward()] {
        assert!(pages.len() > 2 && pages.iter().all(|page| page.html.len() < 3 * PAGE));
        assert!(whole(&pages) == wanted, "{} of {}", whole(&pages).len(), wanted.len());
    }
}

#[test]
fn colours_and_links_go_on_where_a_page_begins() {
    let line = "x".repeat(99) + "\n";
    let link = format!("\x1b]8;;http://{}\x1b\\link", "y".repeat(PAGE / 2));
    let block = format!("\x1b[31m{}", line.repeat(500));
    let text = format!("{}{link}\n{}", block.repeat(5), block.repeat(6));
    let log = Log::of(&[(Stream::Stdout, text.as_bytes())]);
    for pages in [log.forward(), log.backward()] {
        assert!(pages.len() > 1);
        for page in &pages {
            assert!(page.html.starts_with("<span class=\"f1\">x"), "{:.200}", page.html);
            assert!(!page.html.contains('y'));
        }
        assert_eq!(whole(&pages).matches("link").count(), 1);
    }
    // begins in the middle of the link
    let page = log.draw(LogPosition::From(5 * 50_005 + 50_000));
    assert!(
        page.html.contains("link") && !page.html.contains('y'),
        "{:.200}",
        page.html
    );
}

#[test]
fn one_stream_alone_fills_its_page() {
    let other = b"other\n".repeat(200_000);
    let mut parts: Vec<(Stream, &[u8])> = Vec::new();
    for _ in 0..3 {
        parts.extend([(Stream::Stdout, &other[..]), (Stream::Stderr, b"rare\n")]);
    }
    let log = Log::of(&parts);
    let page = draw(&mut log.reader(), LogPosition::End, Some(Stream::Stderr), true).unwrap();
    assert_eq!(page.html, "rare\nrare\nrare\n");
}

#[test]
fn a_damaged_log_is_shown_but_for_what_is_lost() {
    let text: String = (0..60_000).map(|n| format!("{n:>9}\n")).collect();
    let log = Log::of(&[(Stream::Stdout, text.as_bytes())]);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(log.folder.path().join("log"))
        .unwrap();
    file.write_all_at(&[0xff; 4], log.frames[1] + 60).unwrap();
    let report = "[pybots] bytes 200000 to 400000 of this log are lost, because its file is damaged";
    for pages in [log.forward(), log.backward()] {
        let shown = whole(&pages);
        assert_eq!((shown.lines().count(), shown.matches(report).count()), (40_001, 1));
        assert!(shown.contains(&format!("<span class=\"own\">{report}</span>\n")));
    }
    // incomplete, and no writer is left
    let length = std::fs::metadata(log.folder.path().join("log")).unwrap().len();
    file.set_len(length - 7).unwrap();
    let report = "this log is lost from byte 400000 on";
    assert!(whole(&log.backward()).contains(report));
    let live = draw(&mut log.reader(), LogPosition::End, None, false).unwrap();
    assert!(!live.html.contains(report), "somebody may still be writing this");
}
