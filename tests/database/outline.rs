//! The outline of a matrix says the same as the whole matrix, as far as rows are judged and compared.

use crate::support::large::{self, Size};
use crate::support::stores;
use crate::support::web_sample::Sample;
use pybots::clock::now;
use pybots::domain::trust::Trust;
use pybots::store::Store;
use pybots::store::logs::Objects;
use pybots::store::views::{Matrix, Scope};
use pybots::verdict::Cell;

const SIZE: Size = Size {
    branches: 2,
    revisions: 20,
    projects: 15,
};

/// What a page asks of a matrix: for each row its health, whether anything changed, and for each cell its comparison.
fn judged(matrix: &Matrix) -> Vec<String> {
    let (trust, columns) = (Trust::all(), 0..matrix.columns.len());
    let of_row = |row: usize| {
        let cells = columns.clone().map(|at| {
            let state = matrix.rows[row].cells[at].as_ref().map(|cell| cell.state);
            (state, matrix.is_same(row, at), matrix.fewer_tests(row, at))
        });
        let cells: Vec<_> = cells.collect();
        format!("{:?} {} {cells:?}", matrix.meaning(row, &trust), matrix.has_change(row))
    };
    let in_state = |at: usize| Cell::ALL.iter().map(move |state| matrix.has_state(at, *state));
    let mut all: Vec<String> = (0..matrix.rows.len()).map(of_row).collect();
    all.extend(
        columns
            .clone()
            .map(|at| format!("{:?}", in_state(at).collect::<Vec<_>>())),
    );
    all
}

/// The cells as a page shows them at one time.
fn shown(matrix: &Matrix) -> String {
    format!("{:#?} {:#?}", matrix.columns, matrix.results(now()))
}

async fn check(store: &Store, name: &str, scope: &Scope) {
    let whole = store.matrix(scope, 30, None).await.unwrap();
    let mut outline = store.outline(scope, 30, None, None).await.unwrap();
    assert_eq!(judged(&outline), judged(&whole), "{name}");
    assert_eq!(outline.older, whole.older);

    let rows: Vec<usize> = (0..whole.rows.len()).collect();
    let most = whole.columns.len();
    store.complete(&mut outline, &rows[1..2], 1..2).await.unwrap();
    let run = |matrix: &Matrix| matrix.rows[1].cells[1].clone().unwrap().run;
    assert_eq!(run(&outline), run(&whole), "{name}");
    assert_eq!(judged(&outline), judged(&whole), "{name}: one cell is complete");
    store.complete(&mut outline, &rows, 0..most).await.unwrap();
    assert_eq!(shown(&outline), shown(&whole), "{name}");
    assert_eq!(judged(&outline), judged(&whole), "{name}: all cells are complete");
}

#[tokio::test]
async fn it_judges_rows_as_the_whole_matrix_does() {
    for database in stores().await {
        let store = &database.store;
        large::fill(database.name, store, SIZE).await;
        let recipes = "INSERT INTO recipe (digest, project, text, seen_at) VALUES ('e', '', '', 1), ('0000', '', '', 1), ('z', '', '', 1)";
        sqlx::query(recipes).execute(store.pool()).await.unwrap();
        // some cells differ from those below them in each part that is compared
        for (part, seq) in [
            ("cell_tests = 400", 15),
            ("cell_tests = 390, recipe = 'e'", 16),
            ("cell_first_error = 'unit: other: TypeError\u{1e}\u{1f}: 1'", 17),
            ("cell_failing = NULL", 18),
            ("cell_failed_tests = 2", 19),
        ] {
            let sql = format!("UPDATE run SET {part} WHERE id IN ($1, $2)");
            let update = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(large::run_id(1, seq, 3));
            update
                .bind(large::run_id(1, seq, 4))
                .execute(store.pool())
                .await
                .unwrap();
        }
        // a run by an earlier recipe, and one that is withdrawn, do not count
        for (id, withdrawn) in [("0000", "NULL"), ("z", "'planned'")] {
            let sql = format!(
                "INSERT INTO run (id, revision_id, project, variant, platform, recipe, created_at, ended, cell_ended,
                                  cell_attempts, cell_state, withdrawn)
                 SELECT '{id}', revision_id, project, variant, platform, '{id}', created_at, 1, 1, 1, 'flaky', {withdrawn}
                 FROM run WHERE id = $1"
            );
            let copy = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(large::run_id(1, 12, 5));
            copy.execute(store.pool()).await.unwrap();
        }
        for scope in [Scope::All, Scope::Branch("line1".into())] {
            check(store, database.name, &scope).await;
        }
    }
}

#[tokio::test]
async fn runs_that_wait_and_images_that_failed_are_in_it() {
    for database in stores().await {
        let data = tempfile::tempdir().unwrap();
        let sample = Sample {
            store: database.store.clone(),
            objects: Objects::open(data.path()).unwrap(),
            now: now(),
        };
        sample.everything().await;
        for scope in [Scope::All, Scope::Branch("trunk".into()), Scope::Branch("2.5".into())] {
            check(&sample.store, database.name, &scope).await;
        }
    }
}
