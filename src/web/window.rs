//! Which part of a long log a page shows. The part begins and ends between lines, so that no line, colour sequence or
//! character is torn. In a line that is too long for that, it begins and ends between characters.

use crate::store::logs::Window;

/// Bytes of a log that a page shows, approximately.
pub const PAGE: u64 = 256 * 1024;

/// Bytes by which an edge may move to meet the end of a line.
const SLACK: u64 = 4096;

/// Returns the offset at which a page begins: the one that is asked for, else near the end of a log of `total` bytes.
pub fn begin(from: Option<u64>, total: u64) -> u64 {
    from.unwrap_or(total.saturating_sub(PAGE)).min(total)
}

/// Returns what to read for a page that begins at `begin`: the offset, and the bytes at most.
pub fn to_read(begin: u64) -> (u64, u64) {
    let from = begin.saturating_sub(SLACK);
    (from, begin - from + PAGE)
}

/// The part of a log that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    pub bytes: &'a [u8],
    /// Offsets in the whole log.
    pub from: u64,
    pub until: u64,
    pub total: u64,
}

/// Cuts the part that was read to the page, which begins with the line that holds `begin`.
pub fn cut(read: &Window, begin: u64) -> Shown<'_> {
    let before = usize::try_from(begin.saturating_sub(read.from))
        .unwrap_or(0)
        .min(read.bytes.len());
    let (slack, rest) = read.bytes.split_at(before);
    let start = match slack.iter().rposition(|b| *b == b'\n') {
        Some(newline) => newline + 1,
        None if read.from == 0 => 0,
        None => escape_at(slack).unwrap_or(before + rest.iter().take(3).take_while(|b| is_continuation(**b)).count()),
    };
    let body = &read.bytes[start.min(read.bytes.len())..];
    let at_end = read.from + read.bytes.len() as u64 >= read.total;
    let end = match body.iter().rposition(|b| *b == b'\n') {
        _ if at_end => body.len(),
        Some(newline) => newline + 1,
        None => escape_at(body).filter(|at| *at > 0).unwrap_or(whole_characters(body)),
    };
    let from = read.from + start as u64;
    Shown {
        bytes: &body[..end],
        from,
        until: from + end as u64,
        total: read.total,
    }
}

/// Returns where the last escape sequence begins, if it is so near the end that it may be torn.
fn escape_at(bytes: &[u8]) -> Option<usize> {
    let near = bytes.len().saturating_sub(32);
    bytes[near..].iter().rposition(|b| *b == 0x1b).map(|at| near + at)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Returns the length of the bytes without an unfinished character at their end.
fn whole_characters(bytes: &[u8]) -> usize {
    let lead = bytes
        .iter()
        .rev()
        .take(4)
        .position(|b| !is_continuation(*b))
        .map(|back| bytes.len() - 1 - back);
    match lead {
        Some(at) if at > 0 && bytes[at] >= 0xc0 => match std::str::from_utf8(&bytes[at..]) {
            Ok(_) => bytes.len(),
            Err(_) => at,
        },
        _ => bytes.len(),
    }
}

impl Shown<'_> {
    /// Returns the offset of the page before this one.
    pub fn earlier(&self) -> Option<u64> {
        (self.from > 0).then(|| self.from.saturating_sub(PAGE))
    }

    /// Returns the offset of the page after this one.
    pub fn later(&self) -> Option<u64> {
        (self.until < self.total).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(log: &[u8], from: Option<u64>) -> (u64, u64, Option<u64>, Option<u64>) {
        let begin = begin(from, log.len() as u64);
        let (at, most) = to_read(begin);
        let end = (at + most).min(log.len() as u64);
        let read = Window {
            from: at,
            bytes: log[at as usize..end as usize].to_vec(),
            total: log.len() as u64,
        };
        let shown = cut(&read, begin);
        assert_eq!(shown.bytes, &log[shown.from as usize..shown.until as usize]);
        (shown.from, shown.until, shown.earlier(), shown.later())
    }

    #[test]
    fn a_short_log_is_shown_whole() {
        assert_eq!(window(b"", None), (0, 0, None, None));
        assert_eq!(window(b"a\nb", None), (0, 3, None, None));
        assert_eq!(window(b"a\nb", Some(99)), (2, 3, Some(0), None));
    }

    #[test]
    fn pages_of_lines_follow_each_other_without_a_gap() {
        let log: Vec<u8> = (0..60_000)
            .flat_map(|n| format!("line {n} \u{e9}\n").into_bytes())
            .collect();
        let (mut from, mut shown) = (Some(0), 0);
        while let Some(at) = from {
            let (begin, until, _, later) = window(&log, Some(at));
            assert_eq!(begin, shown);
            assert!(log[..until as usize].ends_with(b"\n"));
            (shown, from) = (until, later);
        }
        assert_eq!(shown, log.len() as u64);
        let (mut from, mut shown) = (None, log.len() as u64);
        loop {
            let (begin, until, earlier, _) = window(&log, from);
            assert!(until >= shown && begin < shown, "{begin} {until} {shown}");
            shown = begin;
            match earlier {
                Some(at) => from = Some(at),
                None => break,
            }
        }
        assert_eq!(shown, 0);
    }

    #[test]
    fn the_line_that_holds_the_place_is_shown_whole() {
        let log: Vec<u8> = [b"x".repeat(9000), b"\n\x1b[31mred line\nmore\n".to_vec()].concat();
        assert_eq!(window(&log, Some(9008)).0, 9001);
    }

    #[test]
    fn endless_lines_are_not_torn_inside_characters() {
        let log = "\u{20ac}".repeat(400_000).into_bytes();
        let mut from = Some(100_000);
        while let Some(at) = from {
            let (at_read, most) = to_read(at);
            let end = ((at_read + most) as usize).min(log.len());
            let read = Window {
                from: at_read,
                bytes: log[at_read as usize..end].to_vec(),
                total: log.len() as u64,
            };
            let shown = cut(&read, at);
            assert!(std::str::from_utf8(shown.bytes).is_ok());
            assert!(shown.until > at);
            from = shown.later();
        }
        let binary = vec![0x80; 600_000];
        assert!(window(&binary, Some(300_000)).1 > 300_000);
        let escapes = b"\x1b[31m".repeat(200_000);
        let (begin, until, ..) = window(&escapes, Some(400_003));
        assert_eq!((begin % 5, until % 5), (0, 0));
    }
}
