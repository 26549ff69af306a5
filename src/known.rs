//! What is known of a project along a branch, as the rules of verdicts read it.

use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::domain::results::Tests;
use crate::store::Store;
use crate::store::judge::{Column, ResultRow};
use crate::store::logs::Objects;
use crate::verdict::{End, Row, Subject};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// For so long, in milliseconds, the report of tests may come after the end of their attempt.
const TESTS_LATE_MS: i64 = 60_000;

/// A check-in as a row, and where that is from.
pub struct Known {
    pub row: Row,
    pub seq: i64,
    pub lock: Option<String>,
    /// Digest of the recipe by which it was run.
    pub recipe: String,
}

/// Where results are read.
pub struct Results<'a> {
    pub store: &'a Store,
    pub objects: &'a Objects,
}

impl Results<'_> {
    /// What a project's run on a check-in said, and when, as far as it says anything.
    pub async fn report(&self, column: &Column<'_>, seq: i64) -> Result<Option<(Report, i64)>> {
        let there = self.store.results_up_to(column, seq, 1).await?;
        Ok(typical(&there)
            .filter(|(result, _)| result.seq == seq)
            .map(|(result, report)| (report, result.finished_at.unwrap_or_default())))
    }

    /// What is known on so many check-ins up to a place, oldest first. Of those before the last, what passed is kept only where
    /// it is `about` something or fails in the last: there may be hundreds, of 40,000 tests each. None: some tests are not there
    /// yet.
    pub async fn rows(
        &self,
        column: &Column<'_>,
        seq: i64,
        back: i64,
        about: &[&Subject],
        now: i64,
    ) -> Result<Option<Vec<Known>>> {
        let results = self.store.results_up_to(column, seq, back).await?;
        let mut names: BTreeSet<String> = about.iter().filter_map(|one| one.test().map(str::to_owned)).collect();
        let mut rows: Vec<Known> = Vec::new();
        for there in results.chunk_by(|a, b| a.seq == b.seq).rev() {
            let Some((result, report)) = typical(there) else {
                continue;
            };
            let finished_at = result.finished_at;
            let Some(mut end) = self.end_of(&result.attempt_id, &report, finished_at, now).await else {
                return Ok(None);
            };
            if rows.is_empty() {
                names.extend(end.failing().iter().filter_map(|one| one.test().map(str::to_owned)));
            } else if let End::Run(_, Some(tests)) = &mut end {
                tests.passed.retain(|test| names.contains(test));
                tests.skipped = Vec::new();
            }
            rows.push(Known {
                row: Row {
                    revision: result.revision_id.clone(),
                    end,
                    lock: report.lock.clone().unwrap_or_default(),
                },
                seq: result.seq,
                lock: report.lock,
                recipe: result.recipe.clone(),
            });
        }
        rows.reverse();
        Ok(Some(rows))
    }

    /// How an attempt ended. None: what it said of its tests is yet to come.
    pub async fn end_of(&self, attempt: &str, report: &Report, finished_at: Option<i64>, now: i64) -> Option<End> {
        let tests = self.tests_of(attempt).await;
        let is_fresh = finished_at.is_some_and(|at| now - at < TESTS_LATE_MS);
        let is_late = tests.is_none() && report.summary.is_some() && is_fresh;
        (!is_late).then(|| End::Run(report.outcome.clone(), tests))
    }

    /// What an attempt said of its tests. What can't be read says nothing.
    pub async fn tests_of(&self, attempt: &str) -> Option<Tests> {
        match self.objects.tests(attempt).await {
            Ok(tests) => tests,
            Err(error) => {
                tracing::warn!(attempt, error = format!("{error:#}"), "its tests can't be read");
                None
            }
        }
    }
}

/// Of all attempts of the newest run that says anything, one of those that most agree with; of two that are as
/// frequent, what failed.
fn typical(there: &[ResultRow]) -> Option<(&ResultRow, Report)> {
    let read = |result: &ResultRow| -> Option<Report> { serde_json::from_str(result.report.as_deref()?).ok() };
    let runs = there.chunk_by(|a, b| a.run_id == b.run_id).rev();
    let newest = runs
        .map(|run| {
            let read = run.iter().filter_map(|result| Some((result, read(result)?)));
            read.filter(|(_, report)| report.outcome.is_valid()).collect::<Vec<_>>()
        })
        .find(|run| !run.is_empty())?;
    let said = |report: &Report| {
        let failures = report.summary.iter().flat_map(|summary| &summary.failures);
        let tests: Vec<String> = failures.map(|failure| failure.test.clone()).collect();
        (report.outcome.name(), tests)
    };
    let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (result, report) in newest {
        alike.entry(said(&report)).or_default().push((result, report));
    }
    let most = alike
        .into_iter()
        .max_by_key(|((outcome, _), same)| (same.len(), *outcome != Outcome::Passed.name()))?;
    most.1.into_iter().next()
}
