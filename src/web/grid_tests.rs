use super::*;
use crate::verdict::Cell;

#[test]
fn a_page_shows_as_many_projects_as_fit() {
    let column = |number: usize| Column {
        name: format!("p{number:02}"),
        registered: true,
    };
    let matrix = |rows: usize| Matrix {
        columns: (0..50).map(column).collect(),
        rows: vec![Row::default(); rows],
        older: None,
        has_gaps: false,
    };
    let shown = |rows, from: Option<&str>| {
        let choices = Choices {
            projects: from.map(str::to_owned),
            ..Choices::default()
        };
        let (range, view) = columns(&matrix(rows), rows, &choices);
        assert_eq!((range.start + 1, range.end), (view.first, view.last));
        (range, view.before, view.after)
    };
    let name = |text: &str| Some(format!("?projects={text}"));
    assert_eq!(shown(1, None), (0..50, None, None));
    assert_eq!(shown(30, None), (0..20, None, name("p20")));
    assert_eq!(shown(30, Some("p20")), (20..40, name("p00"), name("p40")));
    // a name that is no project's stands for the next one, or for the last ones
    assert_eq!(shown(30, Some("p39x")), (40..50, name("p20"), None));
    assert_eq!(shown(30, Some("z")), (30..50, name("p10"), None));
    assert_eq!(shown(600, None), (0..8, None, name("p08")));
    let empty = Matrix {
        columns: Vec::new(),
        ..matrix(3)
    };
    assert_eq!(columns(&empty, 3, &Choices::default()).0, 0..0);
}

#[test]
fn rows_without_a_change_are_folded() {
    let cell = |state| Some(RunCell::without_attempt(state));
    let row = |state: Option<RunCell>| Row {
        cells: vec![state],
        image: ImageProgress::Ready,
        ..Row::default()
    };
    let mut matrix = Matrix {
        columns: vec![Column {
            name: "p".to_owned(),
            registered: true,
        }],
        // newest first: still failing twice, then the break, a run that is waiting, and two passes
        rows: [
            Cell::Fail,
            Cell::Fail,
            Cell::Fail,
            Cell::Pending,
            Cell::Pass,
            Cell::Pass,
        ]
        .map(|state| row(cell(state)))
        .into(),
        older: None,
        has_gaps: false,
    };
    let same: Vec<Option<bool>> = (0..6).map(|index| matrix.is_same(index, 0)).collect();
    assert_eq!(same, [Some(true), Some(true), Some(false), None, Some(true), None]);
    let shown = |matrix: &Matrix, only_changes| {
        let rows = rows(matrix, only_changes);
        rows.iter().map(|row| (row.index, row.folded)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&matrix, true), [(0, 1), (2, 3)]);
    assert_eq!(shown(&matrix, false), [0, 1, 2, 3, 4, 5].map(|index| (index, 0)));
    // an image that can't be built is a change, too
    matrix.rows[4].image = ImageProgress::Failed;
    assert_eq!(shown(&matrix, true), [(0, 1), (2, 0), (3, 0), (4, 1)]);
    // older revisions may show that the oldest result of a page is a change
    matrix.older = Some("1".into());
    assert_eq!(shown(&matrix, true).last(), Some(&(5, 0)));
    matrix.older = None;
    // another error is a change of a failure
    matrix.rows[0].cells[0].as_mut().unwrap().first_error = Some("test_a: ValueError: <X at 0x7f12>".to_owned());
    assert_eq!(matrix.is_same(0, 0), Some(false));
    matrix.rows[1].cells[0].as_mut().unwrap().first_error = Some("test_a: KeyError: 'x'".to_owned());
    assert_eq!(matrix.is_same(0, 0), Some(false));
    matrix.rows[1].cells[0].as_mut().unwrap().first_error = Some("test_a: ValueError: <X at 0x8f99>".to_owned());
    assert_eq!(matrix.is_same(0, 0), Some(true));
    matrix.keep_projects(|_, name| name.contains('p'));
    assert_eq!((matrix.columns.len(), matrix.rows[0].cells.len()), (1, 1));
    matrix.keep_projects(|at, _| at > 0);
    assert_eq!((matrix.columns.len(), matrix.rows[0].cells.len()), (0, 0));
}
