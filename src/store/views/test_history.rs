//! The history of tests: which of them failed in each result of a project on a branch.

use crate::domain::failing::FailingTests;
use crate::domain::id::{RevisionId, RunId};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::claims::parameters;
use crate::store::rows::from_row;
use crate::verdict::Cell;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Results of one project on one branch, as one variant.
#[derive(Clone, Copy, Debug)]
pub struct TestSeries<'a> {
    pub project: &'a str,
    pub branch: &'a str,
    pub variant: &'a str,
    /// The platform. With `None`, that of the newest result.
    pub platform: Option<&'a str>,
}

/// A result, with the tests that failed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestedRevision {
    pub result: ResultLine,
    pub failing: FailingTests,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultLine {
    pub revision_id: RevisionId,
    pub seq: i64,
    pub sha: String,
    pub label: Option<String>,
    pub subject: String,
    pub committed_at: Timestamp,
    pub run_id: RunId,
    pub platform: String,
    /// `None` if no attempt has ended.
    pub cell_state: Option<Cell>,
    /// How long the attempt that explains the state took, in milliseconds.
    pub cell_ms: Option<i64>,
    /// How many tests ran. `None` if the suite broke off, so that others may have failed too.
    cell_tests: Option<i64>,
    pub cell_failed_tests: Option<i64>,
    /// The first test that failed, and the first line of its error.
    pub cell_first_error: Option<String>,
    /// The digest of the names of the tests that failed.
    cell_failing: Option<String>,
}

from_row!(
    ResultLine, "run" by "run_id":
    revision_id, seq, sha, label, subject, committed_at, run_id, platform, cell_state, cell_ms, cell_tests, cell_failed_tests, cell_first_error,
    cell_failing,
);

impl ResultLine {
    /// Returns the label if there is one, otherwise the id in git.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }

    /// Returns whether a suite ended before it had reported all its tests, so that others may have failed too.
    pub fn broke_off(&self) -> bool {
        self.cell_tests.is_none()
    }

    fn failing(&self, sets: &FailingSets) -> FailingTests {
        match (self.cell_state, &self.cell_failing) {
            (Some(Cell::Pass), _) => FailingTests::Listed {
                names: Arc::default(),
                is_complete: true,
            },
            (Some(Cell::Fail | Cell::Flaky), Some(digest)) => {
                let failed = self.cell_failed_tests.filter(|_| !self.broke_off());
                sets.of(digest, failed)
            }
            _ => FailingTests::Unknown,
        }
    }
}

/// Sets of failing tests by their digests.
#[derive(Clone, Debug, Default)]
struct FailingSets(BTreeMap<String, Arc<BTreeSet<String>>>);

impl FailingSets {
    /// Returns the tests that failed in a result. `failed` says how many did; `None` stands for a suite that broke off.
    fn of(&self, digest: &str, failed: Option<i64>) -> FailingTests {
        let Some(names) = self.0.get(digest) else {
            return FailingTests::Unknown;
        };
        FailingTests::Listed {
            names: names.clone(),
            is_complete: i64::try_from(names.len()).ok() == failed,
        }
    }
}

/// How many revisions are searched for results. A project may have none on a long branch.
const SEARCHED: i64 = 300;

impl Store {
    /// Returns the `most` newest results of a series at the revision `from` or before it, newest first. With `None`, begins at
    /// the newest revision. Results further back than [`SEARCHED`] revisions are left out.
    pub async fn test_history(
        &self,
        series: TestSeries<'_>,
        from: Option<&RevisionId>,
        most: i64,
    ) -> Result<Vec<TestedRevision>> {
        let mut lines = self
            .result_lines(series, from, series.platform.unwrap_or_default(), most)
            .await?;
        let newest = lines.first().map(|line| line.platform.clone()).unwrap_or_default();
        if lines.iter().any(|line| line.platform != newest) {
            lines = self.result_lines(series, from, &newest, most).await?;
        }
        let digests = lines.iter().filter_map(|line| line.cell_failing.as_deref()).collect();
        let sets = self.failing_sets(digests).await?;
        let tested = lines.into_iter().map(|result| TestedRevision {
            failing: result.failing(&sets),
            result,
        });
        Ok(tested.collect())
    }

    /// Returns the results on one platform, or on all if `platform` is empty.
    async fn result_lines(
        &self,
        series: TestSeries<'_>,
        from: Option<&RevisionId>,
        platform: &str,
        most: i64,
    ) -> Result<Vec<ResultLine>> {
        // a further column in the order would make SQLite read all runs of the project for each revision
        let mut lines: Vec<ResultLine> = sqlx::query_as(
            "WITH edge AS (
                 SELECT branch.id AS branch_id, COALESCE(
                     (SELECT seq FROM revision WHERE revision.id = $4 AND revision.branch_id = branch.id),
                     (SELECT MAX(seq) FROM revision WHERE revision.branch_id = branch.id)) AS seq
                 FROM branch WHERE branch.name = $1)
             SELECT revision.id AS revision_id, revision.seq, revision.sha, revision.label, revision.subject,
                    revision.committed_at, run.id AS run_id, run.platform, run.cell_state, run.cell_ms, run.cell_tests,
                    run.cell_failed_tests, run.cell_first_error, run.cell_failing
             FROM edge JOIN revision ON revision.branch_id = edge.branch_id AND revision.seq <= edge.seq
                 AND revision.seq > edge.seq - $7
             JOIN run ON run.revision_id = revision.id AND run.project = $2 AND run.variant = $3 AND run.trial = 0
                 AND run.withdrawn IS NULL AND ($6 = '' OR run.platform = $6)
             WHERE revision.left_at IS NULL
             ORDER BY revision.seq DESC LIMIT $5",
        )
        .bind(series.branch)
        .bind(series.project)
        .bind(series.variant)
        .bind(from.map_or("", RevisionId::as_str))
        .bind(most)
        .bind(platform)
        .bind(SEARCHED)
        .fetch_all(self.pool())
        .await?;
        lines.sort_by(|a, b| (b.seq, &b.run_id).cmp(&(a.seq, &a.run_id)));
        Ok(lines)
    }

    /// Returns the sets of failing tests with these digests.
    async fn failing_sets(&self, digests: BTreeSet<&str>) -> Result<FailingSets> {
        let mut sets = FailingSets::default();
        if digests.is_empty() {
            return Ok(sets);
        }
        let among = parameters(1, digests.len());
        let sql = format!("SELECT digest, names FROM failing_tests WHERE digest IN ({among})");
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        for digest in digests {
            query = query.bind(digest.to_owned());
        }
        let rows: Vec<(String, String)> = query.fetch_all(self.pool()).await?;
        for (digest, names) in rows {
            let row = crate::store::decode::RowOf {
                table: "failing_tests",
                id: &digest,
            };
            let names = row.json("names", &names)?;
            sets.0.insert(digest, Arc::new(names));
        }
        Ok(sets)
    }
}
