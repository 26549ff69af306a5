use super::*;

/// A run whose only attempt ended so, or that waits.
fn run(id: &str, outcome: Option<Outcome>) -> RunRow {
    let state = outcome.as_ref().map(|outcome| match outcome {
        Outcome::Passed => Cell::Pass,
        Outcome::Infra { .. } => Cell::Unknown,
        _ => Cell::Fail,
    });
    RunRow {
        id: id.into(),
        revision_id: "r".into(),
        project: "attrs".into(),
        variant: "default".into(),
        job_state: outcome.is_none().then_some(JobState::Queued),
        summary: RunSummary {
            cell_attempts: i64::from(outcome.is_some()),
            cell_state: state,
            cell_attempt_id: outcome.as_ref().map(|_| "a1".into()),
            cell_outcome: outcome,
            ..RunSummary::default()
        },
        ..RunRow::default()
    }
}

fn infra() -> Outcome {
    Outcome::Infra { reason: "lost".into() }
}

fn shown(rows: &[RunRow], image: &ImageProgress) -> RunCell {
    of_run_rows(rows, image).unwrap()
}

#[test]
fn an_open_job_makes_a_cell_pending_unless_code_decided_it() {
    let mut leased = run("run", Some(infra()));
    leased.job_state = Some(JobState::Leased);
    leased.leased_id = Some("a2".into());
    let cell = shown(&[leased.clone()], &ImageProgress::Ready);
    assert_eq!((cell.state, cell.running), (Cell::Pending, true));
    assert_eq!(cell.attempt, Some("a1".into()));
    assert!(cell.waits.is_none());
    leased.summary.cell_state = Some(Cell::Pass);
    let cell = shown(&[leased], &ImageProgress::Ready);
    assert_eq!((cell.state, cell.running), (Cell::Pass, true));
    let cell = shown(&[run("run", None)], &ImageProgress::Ready);
    assert_eq!(
        (cell.state, cell.running, cell.waits.is_some()),
        (Cell::Pending, false, true)
    );
    assert_eq!(
        shown(&[run("run", Some(infra()))], &ImageProgress::Ready).state,
        Cell::Unknown
    );
}

#[test]
fn without_an_image_only_a_run_that_ended_has_a_state_of_its_own() {
    let state = |row: RunRow| shown(&[row], &ImageProgress::Failed).state;
    assert_eq!(state(run("run", Some(Outcome::Passed))), Cell::Pass);
    assert_eq!(state(run("run", Some(infra()))), Cell::Unknown);
    assert_eq!(state(run("run", None)), Cell::NoImage);
}

#[test]
fn skipped_runs_say_why() {
    let row = RunRow {
        id: "run".into(),
        skip_reason: Some("needs 3.9".into()),
        ..RunRow::default()
    };
    let cell = shown(&[row], &ImageProgress::Ready);
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
    let mut gone = run("run3", Some(Outcome::OutOfMemory));
    gone.project = "zope".into();
    let runs = [run("run", Some(infra())), run("run2", Some(Outcome::Passed)), gone];
    let revision = RevisionRow {
        id: "r".into(),
        variant: Some("default".into()),
        platform: Some(String::new()),
        planned_at: Some(Timestamp::from_millis(1)),
        ..RevisionRow::default()
    };
    let matrix = matrix(vec![revision], &newest_runs(&runs), vec!["attrs".into(), "idna".into()]);
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
    let mut debug = run("run2", Some(Outcome::Failed { exit_code: 3 }));
    debug.variant = "debug".into();
    let mut excluded = RunRow {
        skip_reason: Some("too slow".into()),
        ..RunRow::default()
    };
    (excluded.id, excluded.revision_id) = ("run3".into(), "r".into());
    (excluded.project, excluded.variant) = ("idna".into(), "debug".into());
    let runs = [run("run", Some(Outcome::Passed)), debug, excluded];
    let rows = vec![revision("default"), revision("debug")];
    let mut matrix = matrix(rows, &newest_runs(&runs), vec!["attrs".into(), "idna".into()]);
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
