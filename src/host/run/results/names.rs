//! Names of tests: of limited length, the same from run to run, and different for different tests. A name depends on
//! its test alone, so that it stays the same whatever other tests a report has.

use crate::domain::digest::digest;
use crate::domain::text::is_odd;

/// The most characters of a name.
const NAME_MOST: usize = 400;
/// The hexadecimal digits that replace the part of a name that is cut off.
const DIGEST_SHOWN: usize = 12;
/// The suite that pytest puts around all tests. It names no class for a module that it can't import.
const PYTEST: &str = "pytest";

/// The suites around a test, outermost first, as the beginnings of names.
#[derive(Clone, Debug, Default)]
pub struct Suites {
    depth: usize,
    /// All suites, such as `all/fast`.
    whole: String,
    /// The suites without the outermost one.
    inner: String,
}

impl Suites {
    /// Returns these suites with one more inside.
    pub fn with(&self, name: &str) -> Self {
        let joined = |outer: &str| match outer {
            "" => short(name),
            outer => short(&format!("{outer}/{name}")),
        };
        Self {
            depth: self.depth + 1,
            whole: joined(&self.whole),
            inner: if self.depth == 0 {
                String::new()
            } else {
                joined(&self.inner)
            },
        }
    }

    /// Returns the name of a test. Without a class, all suites are part of the name. With a class, only the suites
    /// below the outermost one are. Addresses are left out, because they differ from run to run. So tests that differ
    /// only in addresses share a name.
    pub fn name(&self, class: &str, name: &str) -> String {
        let (prefix, own) = match class {
            "" if self.whole == PYTEST => ("", name.to_owned()),
            "" => (self.whole.as_str(), name.to_owned()),
            class => (self.inner.as_str(), format!("{class}.{name}")),
        };
        match prefix {
            "" => short(&own),
            prefix => short(&format!("{prefix}/{own}")),
        }
    }
}

/// Returns a name without addresses, on one line. If it is too long, a digest replaces its end.
pub fn short(name: &str) -> String {
    let mut line = String::with_capacity(name.len());
    for c in without_addresses(name).chars() {
        match c {
            // the coordinator shows one mark for all of these characters, so that different names would look the same
            c if is_odd(c) => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    if line.chars().count() <= NAME_MOST {
        return line;
    }
    let kept: String = line.chars().take(NAME_MOST - DIGEST_SHOWN - 1).collect();
    format!("{kept}…{}", &digest(&[line.as_bytes()])[..DIGEST_SHOWN])
}

/// Removes the addresses that Python writes for objects: `<object at 0x7f3a..>` differs from run to run. Other numbers
/// stay.
pub fn without_addresses(text: &str) -> String {
    const BEFORE: &str = " at 0x";
    let mut parts = text.split(BEFORE);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        plain.push_str(BEFORE);
        plain.push_str(if digits >= 6 { "…" } else { &part[..digits] });
        plain.push_str(&part[digits..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::plain;

    fn name(suites: &[&str], class: &str, name: &str) -> String {
        let suites = suites.iter().fold(Suites::default(), |outer, suite| outer.with(suite));
        suites.name(class, name)
    }

    #[test]
    fn names_that_differ_stay_apart() {
        let long = "x".repeat(500);
        let (one, other) = (format!("{long}1"), format!("{long}2"));
        let own = [
            "a[b c]",
            "a[b\nc]",
            "a[b\tc]",
            "a[bc]",
            "a[b\u{202e}c]",
            "a[b\u{202d}c]",
            "a[b\u{200f}c]",
            "a[b?c]",
            "id[0xdeadbeef]",
            "id[0xcafebabe]",
            &one,
            &other,
        ];
        let names: std::collections::BTreeSet<String> = own.iter().map(|own| name(&[], "t", own)).collect();
        assert_eq!(names.len(), own.len(), "{names:#?}");
        assert!(names.contains("t.a[b\\nc]"), "{names:#?}");
        let shown: std::collections::BTreeSet<String> = names.iter().map(|name| plain(name)).collect();
        assert_eq!(shown, names);
        assert!(names.iter().all(|name| name.chars().count() <= NAME_MOST), "{names:#?}");
    }

    #[test]
    fn a_name_is_the_same_in_each_run() {
        let run = |address: &str| name(&[], "t", &format!("a[<object at {address}>]"));
        assert_eq!(run("0x7f0011223344"), run("0x7f5566778899"));
        assert_eq!(run("0x7f0011223344"), "t.a[<object at 0x…>]");
    }

    #[test]
    fn suites_are_named_by_what_the_test_itself_says() {
        assert_eq!(name(&["unit", "fast"], "", "a"), "unit/fast/a");
        assert_eq!(name(&["unit"], "", "a"), "unit/a");
        assert_eq!(name(&["unit"], "t.C", "a"), "t.C.a");
        assert_eq!(name(&["unit", "fast"], "t.C", "a"), "fast/t.C.a");
        assert_eq!(name(&["pytest"], "", "tests.test_b"), "tests.test_b");
        assert_eq!(name(&[], "", "a"), "a");
    }
}
