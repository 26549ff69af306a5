//! JUnit XML, as pytest and the runners beside it write it. It comes from strangers' code: size, depth and number of
//! tests are limited, and no entity is resolved but the five of XML.

use crate::domain::results::{Failure, Tests};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::collections::BTreeMap;

/// Bytes of one file.
pub const FILE_MOST: usize = 32 << 20;
/// Elements within each other.
const DEPTH_MOST: usize = 32;
/// Bytes of all names together.
const NAMES_MOST: usize = 2 << 20;
/// Characters of a name, and of what a failure said.
const NAME_MOST: usize = 400;
const MESSAGE_MOST: usize = 300;

/// What became of a test, the worst last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Skipped,
    Passed,
    Failed(String),
}

/// The tests of a report, under the name of their suite: `suite: class.name`.
pub fn read(suite: &str, xml: &[u8]) -> Result<Tests, String> {
    if xml.len() > FILE_MOST {
        return Err(format!("it is larger than {} MiB", FILE_MOST >> 20));
    }
    let text = String::from_utf8_lossy(xml);
    let mut reader = Reader::from_str(&text);
    let mut found: BTreeMap<String, End> = BTreeMap::new();
    let (mut depth, mut names, mut cut) = (0_usize, 0, false);
    // the test that is being read, and whether what comes is what its failure said
    let mut test: Option<(String, End)> = None;
    let mut says = false;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| format!("byte {}: {error}", reader.error_position()))?;
        let (element, is_empty) = match &event {
            Event::Start(element) => (Some(element), false),
            Event::Empty(element) => (Some(element), true),
            _ => (None, false),
        };
        if let Some(element) = element {
            if !is_empty {
                depth += 1;
                if depth > DEPTH_MOST {
                    return Err(format!("its elements are nested more than {DEPTH_MOST} deep"));
                }
            }
            match (element.local_name().as_ref(), &mut test) {
                ("testcase", _) => test = Some((name(suite, element), End::Passed)),
                ("failure" | "error", Some((_, end))) => {
                    *end = End::Failed(attribute(element, "message").unwrap_or_default());
                    says = !is_empty;
                }
                ("skipped", Some((_, end))) if *end == End::Passed => *end = End::Skipped,
                _ => {}
            }
        }
        let ended = match &event {
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                match element.local_name().as_ref() {
                    "failure" | "error" => {
                        says = false;
                        false
                    }
                    name => name == "testcase",
                }
            }
            Event::Empty(element) => element.local_name().as_ref() == "testcase",
            Event::Eof => break,
            _ => false,
        };
        if let (true, Some((_, End::Failed(said)))) = (says && said_room(&test), &mut test) {
            match &event {
                Event::Text(text) => said.push_str(&text.xml10_content()),
                Event::CData(text) => said.push_str(&text.xml10_content()),
                Event::GeneralRef(_) => said.push('?'),
                _ => {}
            }
        }
        if ended && let Some((name, end)) = test.take() {
            names += name.len();
            if names > NAMES_MOST {
                cut = true;
                continue;
            }
            // one that is told twice, as it ran and as it was torn down: the worse counts
            let known = found.entry(name).or_insert_with(|| end.clone());
            if end > *known {
                *known = end;
            }
        }
    }
    if depth > 0 {
        return Err("it breaks off".to_owned());
    }
    let mut tests = Tests {
        cut,
        ..Tests::default()
    };
    for (name, end) in found {
        match end {
            End::Passed => tests.passed.push(name),
            End::Skipped => tests.skipped.push(name),
            End::Failed(said) => tests.failed.push(Failure {
                test: name,
                message: line(&said),
            }),
        }
    }
    Ok(tests)
}

/// Whether more of what a failure says is wanted: its first line is.
fn said_room(test: &Option<(String, End)>) -> bool {
    matches!(test, Some((_, End::Failed(said))) if said.len() < 4 * MESSAGE_MOST)
}

fn name(suite: &str, element: &BytesStart<'_>) -> String {
    let part = |key| attribute(element, key).unwrap_or_default();
    let (class, name) = (part("classname"), part("name"));
    let own = match class.as_str() {
        "" => name,
        class => format!("{class}.{name}"),
    };
    let own: String = own.chars().filter(|c| !c.is_control()).take(NAME_MOST).collect();
    without_addresses(&format!("{suite}: {own}"))
}

fn attribute(element: &BytesStart<'_>, key: &str) -> Option<String> {
    let mut all = element.attributes();
    let found = all
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.as_ref() == key)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0);
    // an entity that nobody knows
    Some(value.map_or_else(|_| found.value.clone().into_owned(), |value| value.into_owned()))
}

/// The first line that says something.
fn line(said: &str) -> String {
    let line = said
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(MESSAGE_MOST).collect();
    without_addresses(&line)
}

/// `<object at 0x7f3a..>` has another name each time.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        plain.push_str("0x");
        plain.push_str(if digits >= 6 { "…" } else { &part[..digits] });
        plain.push_str(&part[digits..]);
    }
    plain
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
