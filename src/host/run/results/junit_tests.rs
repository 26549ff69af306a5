use super::*;
use crate::domain::results::Failure;

/// Reads a single report.
fn read(suite: &str, xml: &[u8]) -> Result<Tests, String> {
    super::read(suite, &[xml.to_vec()])
}

fn tests(xml: &str) -> Tests {
    read("unit", xml.as_bytes()).unwrap()
}

#[test]
fn what_pytest_writes() {
    let found = tests(
        r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1"
        failures="1" skipped="2" tests="6" time="0.1"><testcase classname="test_a.TestA" name="test_ok" time="0.001" />
        <testcase classname="test_a" name="test_bad[&lt;x&gt;]" time="0.001"><failure message="assert 1 == 2&#10;more">def
        test_bad():</failure></testcase><testcase classname="test_a" name="test_skip"><skipped type="pytest.skip"
        message="no">x.py:1: no</skipped></testcase><testcase classname="test_a" name="test_later"><skipped
        type="pytest.xfail" message=""/></testcase><testcase classname="" name="test_b"><error message="collection failure">
        ImportError</error></testcase><testcase classname="test_a" name="test_down"/><testcase classname="test_a"
        name="test_down"><error message="at &lt;T object at 0x7f00aa11bb22&gt;"/></testcase></testsuite></testsuites>"#,
    );
    assert_eq!(found.passed, ["unit: test_a.TestA.test_ok"]);
    assert_eq!(found.skipped, ["unit: test_a.test_later", "unit: test_a.test_skip"]);
    let failed = [
        Failure::of("unit: test_a.test_bad[<x>]", "assert 1 == 2"),
        Failure::of("unit: test_a.test_down", "at <T object at 0x…>"),
        Failure::of("unit: test_b", "collection failure"),
    ];
    assert_eq!(found.failed, failed);
    assert_eq!((found.total(), found.cut), (6, false));
}

#[test]
fn a_failure_without_a_message_says_its_first_line() {
    let found = tests(
        "<testsuite><testcase name='a'><failure><![CDATA[\n  Traceback <1>\n more]]></failure></testcase></testsuite>",
    );
    assert_eq!(found.failed, [Failure::of("unit: a", "Traceback <1>")]);
    let found = tests("<testsuite><testcase name='a'><error>x &lt; y\nmore</error></testcase></testsuite>");
    assert_eq!(found.failed, [Failure::of("unit: a", "x < y")]);
}

#[test]
fn a_message_is_the_attribute_or_the_text_and_never_both() {
    let message = |failure: &str| {
        let found = tests(&format!(
            "<testsuite><testcase name='a'>{failure}</testcase></testsuite>"
        ));
        found.failed[0].message.clone()
    };
    for (failure, expected) in [
        (
            "<failure message='assert False'>def test_b():\n    assert False</failure>",
            "assert False",
        ),
        (
            "<failure message='  '>\n\n  E  boom &amp; more\nlater</failure>",
            "E  boom & more",
        ),
        (
            "<failure>&#x41;&#66; &lt;c&gt; &quot;d&quot; &unknown;</failure>",
            "AB <c> \"d\" &unknown;",
        ),
        ("<failure message='a &lt; b'/>", "a < b"),
        (
            "<failure message='RuntimeError: Traceback (most recent call last):&#10;  File x&#10;KeyError: 1'/>",
            "RuntimeError: KeyError: 1",
        ),
        (
            "<failure message='Traceback (most recent call last):'/>",
            "Traceback (most recent call last):",
        ),
        ("<failure message='first'/><failure message='second'/>", "first"),
        ("<error message='first'>text</error><failure>second</failure>", "first"),
        ("<failure/><failure message='second'/>", ""),
    ] {
        assert_eq!(message(failure), expected, "{failure}");
    }
}

#[test]
fn text_outside_of_a_failure_is_no_message() {
    let found = tests(
        "<testsuite><testcase name='a'><failure/><system-out>printed</system-out></testcase><system-err>x</system-err>\
         </testsuite>",
    );
    assert_eq!(found.failed, [Failure::of("unit: a", "")]);
}

#[test]
fn a_file_that_is_no_report_says_why() {
    for (file, expected) in [
        (&b""[..], "it is empty"),
        (b" \n", "it is empty"),
        (b"no tests ran in 0.1 s", "it is no XML: it has no element"),
        (
            b"<html><body/></html>",
            "it is XML, but no JUnit report: its root is \"html\"",
        ),
        (b"<testsuites><testsuite>", "it ends early"),
        (
            b"<?xml version='1.0' encoding='x-none'?><testsuites/>",
            "its encoding \"x-none\" is unknown",
        ),
    ] {
        assert_eq!(read("unit", file).unwrap_err(), expected);
    }
}

#[test]
fn reports_of_other_encodings_are_read() {
    let latin = b"<?xml version='1.0' encoding='iso-8859-1'?><testsuite><testcase name='t\xe4st'/></testsuite>";
    assert_eq!(read("unit", latin).unwrap().passed, ["unit: t\u{e4}st"]);
    let xml = "<?xml version='1.0' encoding='UTF-16'?><testsuite><testcase name='t\u{e4}st'/></testsuite>";
    let mut wide = vec![0xfe, 0xff];
    wide.extend(xml.encode_utf16().flat_map(u16::to_be_bytes));
    assert_eq!(read("unit", &wide).unwrap().passed, ["unit: t\u{e4}st"]);
}

#[test]
fn nested_suites_keep_their_tests_apart() {
    let found = tests(
        "<testsuites><testsuite name='all'><testsuite name='fast'><testcase name='t'/></testsuite><testsuite name='slow'>\
         <testcase name='t'><failure message='m'/></testcase></testsuite></testsuite></testsuites>",
    );
    assert_eq!(found.passed, ["unit: all/fast/t"]);
    assert_eq!(found.failed, [Failure::of("unit: all/slow/t", "m")]);
}

#[test]
fn strangers_files_are_limited() {
    let deep = format!("{}{}", "<testsuite>".repeat(40), "</testsuite>".repeat(40));
    let entities =
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><testsuite><testcase name=\"&b;\"/></testsuite>";
    for (xml, expected) in [
        (deep.as_str(), "nested more than 32"),
        ("<testsuite><testcase name='a'>", "ends early"),
        ("<testsuite></testcase>", "byte"),
        ("<testsuite", "it is no XML"),
    ] {
        let error = read("unit", xml.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{xml}: {error}");
    }
    // not resolved
    assert_eq!(tests(entities).passed, ["unit: &b;"]);
    let many: String = (0..20_000)
        .map(|number| format!("<testcase classname='{}' name='t{number}'/>", "c".repeat(300)))
        .collect();
    let found = tests(&format!("<testsuite>{many}</testsuite>"));
    assert!(found.cut && found.total() < 8_000, "{}", found.total());
    assert_eq!(
        read("unit", &vec![b' '; FILE_MOST + 1]).unwrap_err(),
        "it is larger than 32 MiB"
    );
    assert_eq!(
        tests("<testsuite><testcase name='\u{7}x'/></testsuite>").passed,
        ["unit: \\u{7}x"]
    );
}

#[test]
fn an_error_does_not_repeat_all_that_a_project_wrote() {
    let name = format!("a\u{1b}]52;c;x\u{7}{}", "b".repeat(100_000));
    for xml in [
        format!("<testsuite><{name}></{name}c></testsuite>"),
        format!("<testsuite></{name}>"),
        format!("</{name}>"),
        format!("<{name}/>"),
    ] {
        let error = read("s", xml.as_bytes()).unwrap_err();
        assert!(error.len() < 1_000 && !error.contains('\u{1b}'), "{error}");
    }
}
