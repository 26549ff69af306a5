use super::*;
use crate::domain::job::Phase;

fn attempt(number: i64, outcome: Option<&Outcome>) -> RunRow {
    RunRow {
        id: "run".into(),
        revision_id: "r".into(),
        project: "attrs".into(),
        variant: "default".into(),
        job_state: Some(outcome.map_or(JobState::Leased, |_| JobState::Finished)),
        attempt_id: Some(AttemptId::from(format!("a{number}"))),
        attempt_state: Some(outcome.map_or(AttemptState::Leased, |_| AttemptState::Finished)),
        started_at: Some(Timestamp::from_millis(1_000)),
        finished_at: outcome.map(|_| Timestamp::from_millis(3_500)),
        report: outcome.map(|outcome| {
            let phase = |name: &str, code| Phase {
                name: name.into(),
                started_at: Timestamp::default(),
                seconds: 1.0,
                exit_code: code,
                log_from: 0,
            };
            Ok(Ending {
                outcome: outcome.clone(),
                phases: vec![phase("fetch", Some(0)), phase("test: unit", outcome.exit_code())],
                limit: None,
                summary: None,
            })
        }),
        ..RunRow::default()
    }
}

fn infra() -> Outcome {
    Outcome::Infra { reason: "lost".into() }
}

#[test]
fn the_attempt_that_explains_the_state_is_shown() {
    let failed = Outcome::Failed { exit_code: 7 };
    let cell = of_attempts(
        &[attempt(1, Some(&failed)), attempt(2, Some(&infra()))],
        &ImageProgress::Ready,
    );
    assert_eq!(
        (cell.state, cell.attempt.as_ref().map(AttemptId::as_str), cell.attempts),
        (Cell::Fail, Some("a1"), 2)
    );
    assert_eq!(cell.outcome, Some(failed));
    assert_eq!(cell.failed_in.as_deref(), Some("test: unit"));
    assert_eq!(cell.seconds, Some(2.5));

    let cell = of_attempts(&[attempt(1, Some(&infra())), attempt(2, None)], &ImageProgress::Ready);
    assert_eq!((cell.state, cell.running), (Cell::Pending, true));

    let cell = of_attempts(&[attempt(1, Some(&Outcome::Passed))], &ImageProgress::Failed);
    assert_eq!((cell.state, cell.failed_in), (Cell::Pass, None));
}

#[test]
fn a_report_that_cannot_be_read_blames_nobody_else() {
    let mut row = attempt(1, Some(&Outcome::Passed));
    row.report = Some(Err(BadRow {
        table: "run",
        id: "run".into(),
        column: "report".into(),
        problem: "EOF".into(),
    }));
    assert_eq!(of_attempts(&[row], &ImageProgress::Ready).state, Cell::Unknown);
}

#[test]
fn skipped_runs_say_why() {
    let row = RunRow {
        id: "run".into(),
        skip_reason: Some("needs 3.9".into()),
        ..RunRow::default()
    };
    let cell = of_attempts(&[row], &ImageProgress::Ready);
    assert_eq!(cell.state, Cell::Skipped);
    assert_eq!(
        cell.outcome,
        Some(Outcome::Skipped {
            reason: "needs 3.9".into()
        })
    );
}

#[test]
fn cells_without_a_run_follow_the_image() {
    let state = |image: ImageProgress, planned| without_run(&image, planned).map(|cell| cell.state);
    assert_eq!(state(ImageProgress::Unplanned, false), Some(Cell::Pending));
    assert_eq!(state(ImageProgress::Building, false), Some(Cell::Pending));
    assert_eq!(state(ImageProgress::Ready, false), Some(Cell::Pending));
    assert_eq!(state(ImageProgress::Ready, true), None);
    assert_eq!(state(ImageProgress::Failed, true), Some(Cell::NoImage));
    assert_eq!(
        state(ImageProgress::Impossible("old".into()), false),
        Some(Cell::NoImage)
    );
    assert_eq!(state(ImageProgress::GaveUp, false), Some(Cell::Unknown));
}

#[test]
fn the_newest_run_of_a_cell_wins_and_past_projects_keep_their_column() {
    let mut newer = attempt(1, Some(&Outcome::Passed));
    newer.id = "run2".into();
    let mut gone = attempt(1, Some(&Outcome::OutOfMemory));
    (gone.id, gone.project) = ("run3".into(), "zope".into());
    let runs = [attempt(1, Some(&infra())), newer, gone];
    let revision = RevisionRow {
        id: "r".into(),
        variant: Some("default".into()),
        platform: Some(String::new()),
        planned_at: Some(Timestamp::from_millis(1)),
        ..RevisionRow::default()
    };
    let matrix = matrix(vec![revision], &runs, vec!["attrs".into(), "idna".into()]);
    let names: Vec<_> = matrix
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.registered))
        .collect();
    assert_eq!(names, [("attrs", true), ("idna", true), ("zope", false)]);
    let states: Vec<_> = matrix.rows[0]
        .cells
        .iter()
        .map(|cell| cell.as_ref().map(|cell| cell.state))
        .collect();
    assert_eq!(states, [Some(Cell::Pass), None, Some(Cell::Fail)]);
    let results = matrix.results(Timestamp::default());
    assert_eq!(results.len(), 2);
    assert_eq!(
        (results[0].run.as_ref().map(RunId::as_str), results[0].exit_code),
        (Some("run2"), Some(0))
    );
    assert_eq!(
        (results[1].outcome, results[1].exit_code),
        (Some("out_of_memory"), None)
    );
}

#[test]
fn a_page_is_cut_between_revisions() {
    let row = |id: &str| RevisionRow {
        id: id.into(),
        ..RevisionRow::default()
    };
    let mut rows = vec![row("c"), row("b"), row("b"), row("a")];
    assert_eq!(cut(&mut rows, 2), Some("b".into()));
    assert_eq!(rows.len(), 3);
    assert_eq!(cut(&mut rows, 2), None);
    assert_eq!(rows.len(), 3);
}

#[test]
fn variants_of_a_revision_do_not_mix() {
    let revision = |variant: &str| RevisionRow {
        id: "r".into(),
        sha: "abc".into(),
        variant: Some(variant.into()),
        platform: Some(String::new()),
        image_state: Some(ImageState::Ready),
        built_sha: Some(if variant == "debug" { "earlier" } else { "abc" }.into()),
        planned_at: Some(Timestamp::from_millis(1)),
        ..RevisionRow::default()
    };
    let mut debug = attempt(1, Some(&Outcome::Failed { exit_code: 3 }));
    (debug.id, debug.variant) = ("run2".into(), "debug".into());
    let mut excluded = RunRow {
        skip_reason: Some("too slow".into()),
        ..RunRow::default()
    };
    (excluded.id, excluded.revision_id) = ("run3".into(), "r".into());
    (excluded.project, excluded.variant) = ("idna".into(), "debug".into());
    let runs = [attempt(1, Some(&Outcome::Passed)), debug, excluded];
    let rows = vec![revision("default"), revision("debug")];
    let mut matrix = matrix(rows, &runs, vec!["attrs".into(), "idna".into()]);
    let state = |row: &Row, at: usize| row.cells[at].as_ref().map(|cell| cell.state);
    assert_eq!(state(&matrix.rows[0], 0), Some(Cell::Pass));
    assert_eq!(state(&matrix.rows[1], 0), Some(Cell::Fail));
    assert_eq!(state(&matrix.rows[0], 1), None);
    assert_eq!(state(&matrix.rows[1], 1), Some(Cell::Skipped));
    let shown: Vec<_> = matrix.rows.iter().map(Row::shown_variant).collect();
    assert_eq!(shown, [Some("default"), Some("debug")]);
    let results = matrix.results(Timestamp::default());
    let built: Vec<_> = results.iter().map(|cell| cell.image_of.as_deref()).collect();
    assert_eq!(built, [None, Some("earlier"), Some("earlier")]);
    assert_eq!(results[2].reason.as_deref(), Some("too slow"));
    matrix.keep_variant("debug");
    assert_eq!(matrix.rows.len(), 1);
}

#[test]
fn a_variant_is_shown_unless_it_is_the_default() {
    let revision = |id: &str, variant: &str| RevisionRow {
        id: id.into(),
        variant: Some(variant.into()),
        reason: Some("the variant is for Python >=3.13".into()),
        ..RevisionRow::default()
    };
    let rows = rows(vec![revision("a", "default"), revision("b", "debug")]);
    let shown: Vec<_> = rows.iter().map(Row::shown_variant).collect();
    assert_eq!(shown, [None, Some("debug")]);
    let cell = without_run(&rows[1].image, false).unwrap();
    assert_eq!(
        cell.reason(&rows[1], Timestamp::default()).as_deref(),
        Some("the variant is for Python >=3.13")
    );
}
