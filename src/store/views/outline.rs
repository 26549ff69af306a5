//! Outlines of matrices. A page judges its rows by all projects, but shows some of them. So it reads what every project
//! says on a row as one text, and the rest of the cells that it shows afterwards.

use super::Store;
use super::assemble::{self, RevisionRow, RunRow};
use super::matrix::Matrix;
use super::window::{Scope, Window};
use crate::domain::id::RevisionId;
use crate::domain::outcome::Outcome;
use crate::domain::state::JobState;
use crate::store::cells::RunSummary;
use crate::store::claims::parameters;
use crate::store::rows::{BadRow, from_row};
use crate::verdict::Cell;
use anyhow::Result;
use std::ops::Range;

/// What is between two fields of a record, and between two records. Names, numbers and JSON have neither; an error
/// comes last in its record, and has no end of a record.
const FIELDS_END: &str = "\u{1f}";
const RECORDS_END: &str = "\u{1e}";

/// The most projects that a statement names. If a page shows more, it reads those of all projects.
const NAMED_MOST: usize = 100;

/// All runs of one row: a record for each, the one that counts last.
struct RowRuns {
    revision_id: RevisionId,
    variant: String,
    platform: String,
    runs: String,
}

from_row!(RowRuns, "run" by "revision_id": revision_id, variant, platform, runs);

impl Store {
    /// Returns the same as [`Store::matrix`], of the revisions that have all the words of `about`, with cells that have
    /// only what rows are judged and compared by. [`Store::complete`] reads the rest of those that a page shows. As in a
    /// search, only the newest revisions of all branches with the longest word are looked at.
    pub async fn outline(
        &self,
        scope: &Scope,
        rows: i64,
        before: Option<&RevisionId>,
        about: Option<&str>,
    ) -> Result<Matrix> {
        // one revision more than is shown is read, to find out whether there is another page
        let window = Window::of(scope, rows + 1, before).about(about);
        let mut revisions = self.window(&window).await?;
        let older = assemble::cut(&mut revisions, rows);
        let mut matrix = self.outline_of(revisions).await?;
        matrix.older = older;
        matrix.has_gaps = about.is_some();
        Ok(matrix)
    }

    /// Returns an outline of these revisions, which does not say why builds wait.
    pub(super) async fn outline_of(&self, revisions: Vec<RevisionRow>) -> Result<Matrix> {
        let mut runs = Vec::new();
        let ids = assemble::ids(&revisions);
        if !ids.is_empty() {
            for row in self.row_runs(&ids).await? {
                runs.extend(row.read()?);
            }
        }
        Ok(assemble::matrix(
            revisions,
            &assemble::single_runs(&runs),
            self.columns(None).await?,
        ))
    }

    /// Reads the rest of some cells of an outline, of the rows and the columns at these indexes, and why builds wait.
    pub async fn complete(&self, matrix: &mut Matrix, rows: &[usize], columns: Range<usize>) -> Result<()> {
        let of_rows = rows.iter().filter_map(|index| matrix.rows.get(*index));
        let mut texts: Vec<String> = of_rows.map(|row| row.revision_id.to_string()).collect();
        texts.dedup();
        let names = matrix.columns.get(columns.clone()).unwrap_or_default();
        if texts.is_empty() || names.is_empty() {
            return self.explain(matrix.waiting().collect()).await;
        }
        let mut condition = format!("run.trial = 0 AND run.revision_id IN ({})", parameters(1, texts.len()));
        if names.len() <= NAMED_MOST {
            condition += &format!(" AND run.project IN ({})", parameters(texts.len() + 1, names.len()));
            texts.extend(names.iter().map(|column| column.name.clone()));
        }
        let runs = self.runs_where(&condition, &texts).await?;
        assemble::complete(matrix, &assemble::newest_runs(&runs), rows, columns);
        self.explain(matrix.waiting().collect()).await
    }

    /// Returns the runs of all rows of these revisions. One text for a row is read much faster than a row for each run.
    async fn row_runs(&self, revisions: &[String]) -> Result<Vec<RowRuns>> {
        let sql = format!(
            "SELECT run.revision_id, run.variant, run.platform,
                    string_agg(run.project || $1 || COALESCE(run.cell_state, '') || $1
                        || CASE WHEN run.cell_state = 'pass' THEN '' ELSE COALESCE(run.cell_outcome, '') END || $1
                        || CAST(COALESCE(run.cell_attempts, 0) AS TEXT) || $1
                        || CASE WHEN run.cell_state IN ('pass', 'fail', 'flaky') THEN ''
                                WHEN EXISTS (SELECT 1 FROM job WHERE job.run_id = run.id AND job.state <> 'finished'
                                                               AND job.crossed = 0) THEN 'open'
                                ELSE '' END || $1
                        || CASE WHEN run.skip_reason IS NULL THEN '' ELSE 'skipped' END || $1
                        || COALESCE(CAST(run.cell_tests AS TEXT) || $1 || run.recipe, $1) || $1
                        || COALESCE(CAST(run.cell_failed_tests AS TEXT), '') || $1
                        || COALESCE(run.cell_failing, '') || $1
                        || COALESCE(REPLACE(run.cell_first_error, $2, ' '), ''),
                        $2 ORDER BY CASE WHEN run.withdrawn IS NULL THEN 1 ELSE 0 END, run.id) AS runs
             FROM run WHERE run.trial = 0 AND run.revision_id IN ({})
             GROUP BY run.revision_id, run.variant, run.platform",
            parameters(3, revisions.len())
        );
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(FIELDS_END)
            .bind(RECORDS_END);
        for id in revisions {
            query = query.bind(id);
        }
        Ok(query.fetch_all(self.pool()).await?)
    }
}

impl RowRuns {
    fn read(&self) -> Result<Vec<RunRow>, BadRow> {
        let records = self.runs.split(RECORDS_END).map(|record| {
            self.run(record).map_err(|problem| BadRow {
                table: "run",
                id: self.revision_id.to_string(),
                column: "cell".to_owned(),
                problem,
            })
        });
        records.collect()
    }

    /// Reads the record of a run, or says what is wrong with it.
    fn run(&self, record: &str) -> Result<RunRow, String> {
        let fields: Vec<&str> = record.splitn(11, FIELDS_END).collect();
        let [
            project,
            state,
            outcome,
            attempts,
            open,
            skipped,
            tests,
            recipe,
            failed,
            failing,
            error,
        ] = <[&str; 11]>::try_from(fields).map_err(|fields| format!("{} fields", fields.len()))?;
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let number = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| format!("{text:?} is no number")),
        };
        let state: Option<Cell> = match state {
            "" => None,
            state => Some(state.parse().map_err(|error: String| error)?),
        };
        let outcome = match (state, outcome) {
            (Some(Cell::Pass), _) => Some(Outcome::Passed),
            (_, "") => None,
            (_, json) => Some(serde_json::from_str(json).map_err(|error| error.to_string())?),
        };
        Ok(RunRow {
            revision_id: self.revision_id.clone(),
            variant: self.variant.clone(),
            platform: self.platform.clone(),
            project: project.to_owned(),
            recipe: recipe.to_owned(),
            skip_reason: text(skipped),
            summary: RunSummary {
                cell_attempts: number(attempts)?.unwrap_or_default(),
                cell_state: state,
                cell_outcome: outcome,
                cell_tests: number(tests)?,
                cell_failed_tests: number(failed)?,
                cell_failing: text(failing),
                cell_first_error: text(error),
                ..RunSummary::default()
            },
            // leased or queued: its cell is pending either way, and an outline does not say which
            job_state: text(open).map(|_| JobState::Leased),
            ..RunRow::default()
        })
    }
}
