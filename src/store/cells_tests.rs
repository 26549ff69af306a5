use super::*;
use crate::domain::job::Phase;
use crate::domain::results::{Failure, Summary};

fn attempt(number: i64, outcome: Outcome) -> EndedAttempt {
    let phase = |name: &str, code| Phase {
        name: name.into(),
        started_at: Timestamp::default(),
        seconds: 1.0,
        exit_code: code,
        log_from: 0,
    };
    EndedAttempt {
        id: AttemptId::from(format!("a{number}")),
        started_at: Timestamp::from_millis(1_000),
        finished_at: Timestamp::from_millis(3_500),
        report: Some(Ok(Ending {
            phases: vec![phase("fetch", Some(0)), phase("test: unit", outcome.exit_code())],
            outcome,
            limit: None,
            summary: None,
        })),
    }
}

fn infra() -> Outcome {
    Outcome::Infra { reason: "lost".into() }
}

fn with_tests(mut attempt: EndedAttempt, summary: Summary) -> EndedAttempt {
    if let Some(Ok(ending)) = &mut attempt.report {
        ending.summary = Some(summary);
    }
    attempt
}

#[test]
fn the_attempt_that_explains_the_state_is_kept() {
    let failed = Outcome::Failed { exit_code: 7 };
    let cell = summary(&[attempt(1, failed.clone()), attempt(2, infra())]).0;
    let explaining = cell.cell_attempt_id.as_ref().map(AttemptId::as_str);
    assert_eq!(
        (cell.cell_state, explaining, cell.cell_attempts),
        (Some(Cell::Fail), Some("a1"), 2)
    );
    assert_eq!(cell.cell_outcome, Some(failed));
    assert_eq!(cell.cell_failed_in.as_deref(), Some("test: unit"));
    assert_eq!(cell.cell_ms, Some(2_500));

    let cell = summary(&[attempt(1, Outcome::Passed)]).0;
    assert_eq!((cell.cell_state, cell.cell_failed_in), (Some(Cell::Pass), None));
    assert_eq!(summary(&[]), Default::default());
}

#[test]
fn the_first_error_and_the_counts_are_those_of_a_failure() {
    let counts = Summary {
        passed: 5,
        failed: 2,
        failures: vec![
            Failure::of("unit: T.one", &"e".repeat(400)),
            Failure::of("unit: T.two", "no"),
        ],
        ..Summary::default()
    };
    let failed = with_tests(attempt(1, Outcome::Failed { exit_code: 1 }), counts.clone());
    let cell = summary(std::slice::from_ref(&failed)).0;
    assert_eq!((cell.cell_tests, cell.cell_failed_tests), (Some(7), Some(2)));
    let error = cell.cell_first_error.unwrap();
    assert!(
        error.starts_with("unit: T.one: eee") && error.chars().count() == CHARACTERS + 1,
        "{error}"
    );
    // a suite that broke off did not run all its tests
    let partial = Summary {
        partial: true,
        ..counts
    };
    let cell = summary(&[with_tests(failed, partial)]).0;
    assert_eq!((cell.cell_tests, cell.cell_failed_tests), (None, Some(2)));
    assert_eq!(summary(&[attempt(1, Outcome::Passed)]).0.cell_tests, Some(0));
}

#[test]
fn a_report_that_cannot_be_read_blames_nobody_else() {
    let mut unreadable = attempt(1, Outcome::Passed);
    unreadable.report = Some(Err(BadRow {
        table: "attempt",
        id: "a1".into(),
        column: "report".into(),
        problem: "EOF".into(),
    }));
    assert_eq!(summary(&[unreadable]).0.cell_state, Some(Cell::Unknown));
    let mut without = attempt(1, Outcome::Passed);
    without.report = None;
    assert_eq!(summary(&[without]).0.cell_state, Some(Cell::Unknown));
}

#[test]
fn a_long_reason_is_shortened() {
    let reason = "é".repeat(1_000);
    let cell = summary(&[attempt(1, Outcome::RecipeError { reason })]).0;
    let Some(Outcome::RecipeError { reason }) = cell.cell_outcome else {
        panic!("{:?}", cell.cell_outcome);
    };
    assert_eq!(reason.chars().count(), CHARACTERS + 1);
}
