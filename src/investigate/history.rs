//! Reads the history of a series from the store and from the stored test results.

use super::known_regressions::FailingSubjects;
use crate::domain::id::AttemptId;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::domain::results::Tests;
use crate::domain::series::Series;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::logs::Objects;
use crate::store::results::ResultRow;
use crate::verdict::{HistoryEntry, RunEnd, Subject, is_fall, needs_older_entries};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// How long after its report the test results of an attempt may arrive, in milliseconds.
const TESTS_LATE_MS: i64 = 60_000;
/// The number of entries that are searched for a baseline at first.
pub const BACK: i64 = 30;
/// The most entries that are read.
pub const BACK_MOST: i64 = 480;

/// Something that depends on test results, which a host delivers after its report.
#[derive(Debug)]
pub enum Delivered<T> {
    Complete(T),
    /// Some test results, or results of other runs, have not arrived yet. The next pass tries again.
    Awaited,
}

impl<T> Delivered<T> {
    /// Returns the value, or `None` while test results are awaited.
    pub fn complete(self) -> Option<T> {
        match self {
            Delivered::Complete(value) => Some(value),
            Delivered::Awaited => None,
        }
    }
}

/// Reads the results of a series.
#[derive(Clone, Copy)]
pub struct HistoryReader<'a> {
    pub store: &'a Store,
    pub objects: &'a Objects,
}

impl HistoryReader<'_> {
    /// Returns the report that counts for a project's run on the revision at `seq`, or `None` if no attempt is valid.
    pub async fn report(&self, series: &Series, seq: i64) -> Result<Option<Report>> {
        let results = self.store.results_up_to(series, seq, 1).await?;
        let counts = typical(&results).filter(|(result, _)| result.seq == seq);
        Ok(counts.map(|(_, report)| report.clone()))
    }

    /// Returns whether the number of tests of a passed run may have fallen: it fell by at least half since the result
    /// before, or that result was no pass. Returns `false` if there is no result before.
    pub async fn may_run_fewer_tests(&self, series: &Series, seq: i64, report: &Report) -> Result<bool> {
        let results = self.store.results_up_to(series, seq - 1, 1).await?;
        let count = |report: &Report| {
            report
                .summary
                .as_ref()
                .map_or(0, |summary| summary.passed + summary.failed)
        };
        Ok(typical(&results)
            .is_some_and(|(_, before)| before.outcome != Outcome::Passed || is_fall(count(before), count(report))))
    }

    /// Returns the last `back` entries of a history up to `seq`, oldest first. There may be hundreds of entries with
    /// 40,000 tests each. So all but the last entry leave out passed tests that are neither `about` nor fail in the
    /// last entry.
    pub async fn entries(
        &self,
        series: &Series,
        seq: i64,
        back: i64,
        about: &[&Subject],
        now: Timestamp,
    ) -> Result<Delivered<Vec<HistoryEntry>>> {
        let results = self.store.results_up_to(series, seq, back).await?;
        let mut names: BTreeSet<String> = about.iter().filter_map(|one| one.test().map(str::to_owned)).collect();
        let mut entries: Vec<HistoryEntry> = Vec::new();
        for same_revision in results.chunk_by(|a, b| a.seq == b.seq).rev() {
            let Some((result, report)) = typical(same_revision) else {
                continue;
            };
            let finished_at = result.finished_at;
            let Delivered::Complete(mut end) = self.end_of(&result.attempt_id, report, finished_at, now).await else {
                return Ok(Delivered::Awaited);
            };
            if entries.is_empty() {
                names.extend(end.failing().iter().filter_map(|one| one.test().map(str::to_owned)));
            } else if let RunEnd::Run(_, Some(tests)) = &mut end {
                tests.keep_only(&names);
            }
            entries.push(HistoryEntry {
                revision: result.revision_id.clone(),
                seq: result.seq,
                recipe: result.recipe.clone(),
                end,
                lock: report.lock.clone(),
            });
        }
        entries.reverse();
        Ok(Delivered::Complete(entries))
    }

    /// Returns the newest entries up to `seq`, oldest first. Reads up to `BACK_MOST` entries if [`needs_older_entries`]
    /// finds that the first ones do not show every baseline. `failing` has subjects of known regressions, and `to_pass`
    /// the subjects whose last pass the caller needs.
    pub async fn entries_to_baseline(
        &self,
        series: &Series,
        seq: i64,
        failing: &FailingSubjects,
        to_pass: &[Subject],
        now: Timestamp,
    ) -> Result<Delivered<Vec<HistoryEntry>>> {
        // an intermittent failure counts as fixed only after many passes
        let mut back = (failing.passes_for_fix() + BACK).clamp(BACK, BACK_MOST);
        let about: Vec<&Subject> = failing.subjects().chain(to_pass).collect();
        loop {
            let Delivered::Complete(entries) = self.entries(series, seq, back, &about, now).await? else {
                return Ok(Delivered::Awaited);
            };
            let is_all = (entries.len() as i64) < back || back >= BACK_MOST;
            if is_all || !needs_older_entries(&entries, failing.subjects(), to_pass) {
                return Ok(Delivered::Complete(entries));
            }
            back = BACK_MOST;
        }
    }

    /// Returns how an attempt ended, with its test results. Returns `Awaited` if its report announces results that have
    /// not arrived, for a minute after `finished_at`.
    pub async fn end_of(
        &self,
        attempt: &AttemptId,
        report: &Report,
        finished_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Delivered<RunEnd> {
        let tests = self.tests_of(attempt).await;
        let is_recent = finished_at.is_some_and(|at| now - at < TESTS_LATE_MS);
        match tests.is_none() && report.summary.is_some() && is_recent {
            true => Delivered::Awaited,
            false => Delivered::Complete(run_end(report, tests)),
        }
    }

    /// Returns how an attempt ended, with the test results that have arrived by now.
    pub async fn end_by_now(&self, attempt: &AttemptId, report: &Report) -> RunEnd {
        run_end(report, self.tests_of(attempt).await)
    }

    async fn tests_of(&self, attempt: &AttemptId) -> Option<Tests> {
        match self.objects.tests(attempt).await {
            Ok(tests) => tests,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(attempt = attempt.as_str(), error, "test results can't be read");
                None
            }
        }
    }
}

/// Returns how an attempt ended. If it reported results that have not arrived, they are unknown, which differs from a
/// run without tests.
fn run_end(report: &Report, tests: Option<Tests>) -> RunEnd {
    let unknown = || Tests {
        cut: true,
        ..Tests::default()
    };
    let tests = tests.or_else(|| report.summary.is_some().then(unknown));
    RunEnd::Run(report.outcome.clone(), tests)
}

/// Returns the attempt that counts at a revision, with its report. It belongs to the newest run with a valid attempt,
/// and ended as most attempts at that run did. If two ends are equally frequent, the failure counts.
fn typical(results: &[ResultRow]) -> Option<(&ResultRow, &Report)> {
    let runs = results.chunk_by(|a, b| a.run_id == b.run_id).rev();
    let newest = runs
        .map(|run| {
            let reported = run.iter().filter_map(|result| Some((result, result.report.as_ref()?)));
            reported
                .filter(|(_, report)| report.outcome.is_valid())
                .collect::<Vec<_>>()
        })
        .find(|run| !run.is_empty())?;
    let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (result, report) in newest {
        alike.entry(kind(report)).or_default().push((result, report));
    }
    let most = alike
        .into_iter()
        .max_by_key(|((outcome, _), same)| (same.len(), *outcome != Outcome::Passed.name()))?;
    most.1.into_iter().next()
}

/// Returns the kind of outcome, and the tests that failed.
fn kind(report: &Report) -> (&'static str, Vec<String>) {
    let failures = report.summary.iter().flat_map(|summary| &summary.failures);
    let tests = failures.map(|failure| failure.test.clone()).collect();
    (report.outcome.name(), tests)
}

/// Returns whether two attempts ended alike: with the same kind of outcome and the same failed tests.
pub fn is_same(one: &Report, other: &Report) -> bool {
    kind(one) == kind(other)
}
