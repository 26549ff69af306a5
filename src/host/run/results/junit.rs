//! Reads JUnit XML as pytest and similar runners write it. The file comes from project code, so its size, its depth
//! and its number of tests are limited, and only the five entities of XML and characters by their number are resolved.

use super::encoding;
use super::names::Suites;
use super::{Collector, FILE_MOST, MESSAGE_MOST, TestResult};
use crate::domain::results::Tests;
use crate::domain::text::plain;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use std::rc::Rc;

/// The most elements within each other.
const DEPTH_MOST: usize = 32;

/// The test that is being read.
struct OpenTest {
    name: String,
    result: TestResult,
    /// Whether text belongs to the message of its failure.
    wants_text: bool,
}

impl OpenTest {
    fn new(name: String) -> Self {
        Self {
            name,
            result: TestResult::Passed,
            wants_text: false,
        }
    }

    /// Begins a failure. Of several failures, the first counts. Its text is read if its attribute has no message.
    fn fails(&mut self, message: String, has_text: bool) {
        if !matches!(self.result, TestResult::Failed(_)) {
            self.wants_text = has_text && message.trim().is_empty();
            self.result = TestResult::Failed(message);
        }
    }

    /// Adds a piece of text to the message. Only the first line is needed, so a long message takes no more.
    fn says(&mut self, text: &str) {
        if let (true, TestResult::Failed(message)) = (self.wants_text, &mut self.result)
            && message.len() < 4 * MESSAGE_MOST
        {
            message.push_str(text);
        }
    }
}

/// Returns the tests of all reports of a suite, each named `suite: class.name`. The error says why the first file that
/// can't be read is no report.
pub fn read(suite: &str, reports: &[Vec<u8>]) -> Result<Tests, String> {
    let mut tests = Collector::default();
    for xml in reports {
        if xml.len() > FILE_MOST {
            return Err(format!("it is larger than {} MiB", FILE_MOST >> 20));
        }
        let text = encoding::text(xml)?;
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        each_test(&text, |name, result| tests.add(name, result))?;
    }
    Ok(tests.of_suite(suite))
}

/// Calls `take` with each test of a report, in the order in which they end.
fn each_test(text: &str, mut take: impl FnMut(String, TestResult)) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    // for each element around the current one, the suites up to it
    let mut open: Vec<Rc<Suites>> = Vec::new();
    let mut test: Option<OpenTest> = None;
    let mut has_root = false;
    loop {
        let event = reader.read_event();
        // an error repeats names of elements, which the project chose
        let event = event
            .map_err(|error| plain(&error.to_string()))
            .map_err(|error| match has_root {
                true => format!("it is not well-formed: byte {}: {error}", reader.error_position()),
                false => format!("it is no XML: {error}"),
            })?;
        match &event {
            Event::Start(element) | Event::Empty(element) => {
                let is_empty = matches!(event, Event::Empty(_));
                if !has_root {
                    is_report(element)?;
                    has_root = true;
                }
                if open.len() >= DEPTH_MOST {
                    return Err(format!("its elements are nested more than {DEPTH_MOST} deep"));
                }
                let around = open.last().cloned().unwrap_or_default();
                begin(element, is_empty, &around, &mut test);
                match is_empty {
                    false => open.push(match suite_name(element) {
                        Some(name) => Rc::new(around.with(&name)),
                        None => around,
                    }),
                    true => end(element.local_name().as_ref(), &mut test, &mut take),
                }
            }
            Event::End(element) => {
                open.pop();
                end(element.local_name().as_ref(), &mut test, &mut take);
            }
            Event::Text(part) => says(&mut test, &part.xml10_content()),
            Event::CData(part) => says(&mut test, &part.xml10_content()),
            Event::GeneralRef(reference) => says(&mut test, &resolved(reference)),
            Event::Eof => break,
            _ => {}
        }
    }
    match (has_root, open.is_empty()) {
        (false, _) => Err("it is no XML: it has no element".to_owned()),
        (true, false) => Err("it ends early".to_owned()),
        (true, true) => Ok(()),
    }
}

fn is_report(root: &BytesStart<'_>) -> Result<(), String> {
    match root.local_name().as_ref() {
        "testsuites" | "testsuite" => Ok(()),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(format!("it is XML, but no JUnit report: its root is {other:?}"))
        }
    }
}

/// Returns the name of a suite, or `None` for other elements and for the root that holds all suites.
fn suite_name(element: &BytesStart<'_>) -> Option<String> {
    let name = || attribute(element, "name").filter(|name| !name.is_empty());
    (element.local_name().as_ref() == "testsuite").then(name).flatten()
}

fn begin(element: &BytesStart<'_>, is_empty: bool, around: &Suites, test: &mut Option<OpenTest>) {
    match (element.local_name().as_ref(), test) {
        ("testcase", test) => {
            let part = |key| attribute(element, key).unwrap_or_default();
            *test = Some(OpenTest::new(around.name(&part("classname"), &part("name"))));
        }
        ("failure" | "error", Some(test)) => {
            test.fails(attribute(element, "message").unwrap_or_default(), !is_empty);
        }
        ("skipped", Some(test)) if test.result == TestResult::Passed => test.result = TestResult::Skipped,
        _ => {}
    }
}

fn end(element: &str, test: &mut Option<OpenTest>, take: &mut impl FnMut(String, TestResult)) {
    match element {
        "failure" | "error" => {
            if let Some(test) = test {
                test.wants_text = false;
            }
        }
        "testcase" => {
            if let Some(OpenTest { name, result, .. }) = test.take() {
                take(name, result);
            }
        }
        _ => {}
    }
}

fn says(test: &mut Option<OpenTest>, text: &str) {
    if let Some(test) = test {
        test.says(text);
    }
}

/// Returns the text for which a reference stands. A reference that XML does not define stays as it is.
fn resolved(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    let name = reference.xml10_content();
    resolve_xml_entity(&name).map_or_else(|| format!("&{name};"), str::to_owned)
}

fn attribute(element: &BytesStart<'_>, key: &str) -> Option<String> {
    let mut all = element.attributes();
    let found = all
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.as_ref() == key)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0);
    // an entity that is not defined
    Some(value.map_or_else(|_| found.value.clone().into_owned(), |value| value.into_owned()))
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
