use super::*;

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
        message="no">x.py:1: no</skipped></testcase><testcase classname="test_a" name="test_known"><skipped
        type="pytest.xfail" message=""/></testcase><testcase classname="" name="test_b"><error message="collection failure">
        ImportError</error></testcase><testcase classname="test_a" name="test_down"/><testcase classname="test_a"
        name="test_down"><error message="at &lt;T object at 0x7f00aa11bb22&gt;"/></testcase></testsuite></testsuites>"#,
    );
    assert_eq!(found.passed, ["unit: test_a.TestA.test_ok"]);
    assert_eq!(found.skipped, ["unit: test_a.test_known", "unit: test_a.test_skip"]);
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
    assert_eq!(found.failed, [Failure::of("unit: a", "x ? y")]);
}

#[test]
fn strangers_files_are_limited() {
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    let entities =
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><testsuite><testcase name=\"&b;\"/></testsuite>";
    for (xml, expected) in [
        (deep.as_str(), "nested more than 32"),
        ("<testsuite><testcase name='a'>", "breaks off"),
        ("<testsuite></testcase>", "byte"),
        ("<testsuite", "byte"),
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
    assert_eq!(tests("").total(), 0);
    assert_eq!(
        tests("<testsuite><testcase name='\u{7}x'/></testsuite>").passed,
        ["unit: x"]
    );
}
