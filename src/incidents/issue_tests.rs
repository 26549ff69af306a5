use super::super::views::{ProbedView, RevisionView};
use super::*;
use crate::domain::time::Timestamp;

fn revision(name: &str, subject: &str) -> RevisionView {
    RevisionView {
        branch: "trunk".into(),
        revision: format!("{name}{name}"),
        name: format!("{name}{name}"),
        author: Some("Ada".into()),
        subject: subject.into(),
        committed_at: Timestamp::default(),
        link: (name == "bbbbbbbbbb").then(|| "https://example.org/commit/b".into()),
    }
}

fn regression(project: &str) -> RegressionView {
    let probed = |name: &str, passed, failed| ProbedView {
        revision: format!("{name}{name}"),
        name: name.into(),
        run: "1".into(),
        passed,
        failed,
    };
    RegressionView {
        branch: "trunk".into(),
        project: project.into(),
        variant: "default".into(),
        tests: vec!["tests.py::test_a[`x|@ada`]".into()],
        tests_count: 300,
        good: revision("aaaaaaaaaa", "before"),
        bad: revision("bbbbbbbbbb", "break `it` @ada"),
        exact: true,
        unconfirmed_by_others: false,
        reason: None,
        rate: None,
        error: Some("E ```\n".into()),
        difference: Vec::new(),
        conditions: Vec::new(),
        probed: vec![probed("aaaaaaaaaa", 3, 0), probed("bbbbbbbbbb", 0, 4)],
        good_attempt: None,
        bad_attempt: None,
        fixed_by: None,
        fixed_as: None,
        rounds: 1,
    }
}

fn incident() -> IncidentView {
    IncidentView {
        number: 7,
        state: "culprit_found",
        fixed_on: Vec::new(),
        title: "title".into(),
        unconfirmed_by_others: false,
        opened_at: Timestamp::default(),
        closed_at: None,
        culprits: Vec::new(),
        projects: vec!["one".into(), "two".into()],
        regressions: vec![regression("one"), regression("two")],
        assigned_to: None,
        reported_as: None,
        waiver: None,
        recurrence_of: None,
        history: Vec::new(),
    }
}

const LINE: Option<ReproduceLine<'_>> = Some(ReproduceLine {
    project: "one",
    revision: "bbbbbbbbbbbbbbbbbbbb",
    command: "docker run x",
});

#[test]
fn the_text_for_cpython_has_the_proof() {
    let text = IssueText::write(&incident(), Tracker::Cpython, LINE).unwrap();
    assert_eq!(text.title, "one, two: broken by bbbbbbbbbb");
    assert_eq!(
        text.body,
        "Since [bbbbbbbbbb](https://example.org/commit/b) (`break ?it? @ada`) on trunk, the following fails. It passes on \
         aaaaaaaaaa, the revision before it.\n\n\
         | Project | Branch | What fails |\n|---|---|---|\n\
         | one | trunk | `tests.py::test_a[?x?@ada?]` and 299 more |\n\
         | two | trunk | `tests.py::test_a[?x?@ada?]` and 299 more |\n\
         \nThe first error:\n\n````text\nE ```\n\n````\n\
         \nHow often it was run:\n\n\
         - one on trunk: 4 of 4 runs fail on bbbbbbbbbb, and 0 of 3 on aaaaaaaaaa.\n\
         - two on trunk: 4 of 4 runs fail on bbbbbbbbbb, and 0 of 3 on aaaaaaaaaa.\n\n\
         To reproduce it with Docker and the tests of one:\n\n```sh\ndocker run x\n```\n\n\
         Found by Pybots, incident 7.\n"
    );
}

#[test]
fn the_text_for_a_project_is_about_that_project() {
    let mut incident = incident();
    incident.regressions[1].unconfirmed_by_others = true;
    incident.regressions[1].exact = false;
    incident.regressions[1].reason = Some("a revision could not be built".into());
    let text = IssueText::write(&incident, Tracker::Project("two"), LINE).unwrap();
    // a range is never the culprit
    assert_eq!(
        text.title,
        "two on CPython trunk: broken after aaaaaaaaaa, up to bbbbbbbbbb"
    );
    for absent in ["| one |", "docker run"] {
        assert!(!text.body.contains(absent), "{}", text.body);
    }
    for present in [
        "Since a revision after aaaaaaaaaa and up to [bbbbbbbbbb]",
        "was not found: a revision could not be built.",
        "Only a project in probation",
    ] {
        assert!(text.body.contains(present), "{}", text.body);
    }
    assert_eq!(IssueText::write(&incident, Tracker::Project("three"), None), None);
    incident.regressions[1].fixed_as = Some("otherwise".into());
    assert_eq!(IssueText::write(&incident, Tracker::Project("two"), None), None);
}

#[test]
fn each_revision_is_blamed_for_its_own_regressions() {
    let mut incident = incident();
    incident.regressions[1].branch = "3.14".into();
    incident.regressions[1].bad = revision("cccccccccc", "backport");
    let text = IssueText::write(&incident, Tracker::Cpython, LINE).unwrap();
    assert_eq!(text.title, "one: broken by bbbbbbbbbb, and others");
    let (first, second) = text.body.split_once("Since cccccccccc (`backport`) on 3.14").unwrap();
    assert!(
        first.contains("| one | trunk |") && !first.contains("| two |"),
        "{first}"
    );
    assert!(
        second.contains("| two | 3.14 |") && !second.contains("| one |"),
        "{second}"
    );
}

#[test]
fn a_range_comes_after_a_culprit_and_is_no_other_range() {
    let mut incident = incident();
    for (part, good) in incident.regressions.iter_mut().zip(["aaaaaaaaaa", "dddddddddd"]) {
        part.exact = false;
        part.good = revision(good, "before");
    }
    let text = IssueText::write(&incident, Tracker::Cpython, None).unwrap();
    assert_eq!(text.body.matches("Since a revision after").count(), 2, "{}", text.body);
    incident.regressions[1].exact = true;
    incident.regressions[1].unconfirmed_by_others = true;
    let text = IssueText::write(&incident, Tracker::Cpython, LINE).unwrap();
    assert_eq!(text.title, "two: broken by bbbbbbbbbb, and others");
    assert_eq!(
        text.body.matches("Only a project in probation").count(),
        1,
        "{}",
        text.body
    );
    // the command is for a regression that is fixed
    incident.regressions[0].fixed_as = Some("otherwise".into());
    let text = IssueText::write(&incident, Tracker::Cpython, LINE).unwrap();
    assert!(!text.body.contains("docker run"), "{}", text.body);
}
