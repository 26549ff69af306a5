//! The history of a project's tests on a branch: which tests fail since when, and what came of one test on each revision.

use super::choices::is_name;
use super::error::{Error, HandlerResult};
use super::frame;
use super::plot::{PlotView, plots};
use super::route::{Query, Web};
use super::template::Template;
use super::wording::{self, Badge, Time, badge, time};
use crate::clock::now;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::failing::{FailingTests, TestResult, streak};
use crate::domain::id::{RevisionId, RunId};
use crate::domain::time::Timestamp;
use crate::store::views::{TestSeries, TestedRevision};
use crate::verdict::Cell;
use anyhow::Result;
use serde::Serialize;

/// The most results on the page, and the most that are searched for the first failure of a test.
const RESULTS: i64 = 60;

/// The most failing tests that a page links. A cell keeps the names of a hundred.
const FAILING: usize = 50;

/// The most characters of a name in the query. Stored names of tests have as many at most.
const CHARACTERS_MOST: usize = 400;

#[derive(Default, Serialize)]
pub struct TestHistoryPage {
    pub project: String,
    pub branch: String,
    pub variant: Option<String>,
    /// The same page for each watched branch.
    pub branches: Vec<BranchLink>,
    /// The test whose history the page shows. `None` if it shows the tests that fail.
    pub test: Option<String>,
    pub sentence: String,
    /// The tests that fail in the newest result.
    pub failing: Vec<FailureLine>,
    /// How many more fail.
    pub more: usize,
    /// The address of the page of the tests that fail.
    pub all: String,
    /// How long the runs took, and how many tests failed.
    pub plots: Vec<PlotView>,
    /// The results of the test, newest first.
    pub results: Vec<TestLine>,
    /// The address of older results, if there are any.
    pub older: Option<String>,
}

impl Template for TestHistoryPage {
    const NAME: &'static str = "test_history";
}

#[derive(Default, Serialize)]
pub struct BranchLink {
    pub name: String,
    pub href: String,
    pub here: bool,
}

/// A test that failed.
#[derive(Debug, Default, Serialize)]
pub struct FailureLine {
    pub test: String,
    pub message: String,
    /// The address of its history.
    pub href: Option<String>,
    pub since: Option<SinceView>,
}

/// The first of consecutive failures of a test. It is what was seen, not a culprit: results before it may be missing, and
/// the test may be flaky.
#[derive(Debug, Default, Serialize)]
pub struct SinceView {
    /// `first seen failing at`, `seen failing since`, or `seen failing at least since`.
    pub words: &'static str,
    pub sha: String,
    pub name: String,
    pub committed: Time,
}

#[derive(Default, Serialize)]
pub struct TestLine {
    pub run: String,
    pub sha: String,
    pub name: String,
    pub subject: String,
    pub committed: Time,
    pub badge: Badge,
    /// The first line of the error, if this is the first test that failed there.
    pub error: Option<String>,
}

pub async fn page(project: String, web: Web, query: Query) -> HandlerResult {
    if !web.store.has_project(&project).await? {
        return Err(Error::not_found());
    }
    let watched: Vec<String> = web
        .store
        .watched_branches()
        .await?
        .into_iter()
        .map(|branch| branch.name)
        .collect();
    let text = |key: &str| {
        let text = query.get(key).map(String::as_str)?;
        let end = text
            .char_indices()
            .nth(CHARACTERS_MOST)
            .map_or(text.len(), |(end, _)| end);
        text.get(..end).filter(|text| !text.is_empty())
    };
    let series = TestSeries {
        project: &project,
        branch: text("branch")
            .or(watched.first().map(String::as_str))
            .unwrap_or_default(),
        variant: text("variant").filter(|name| is_name(name)).unwrap_or(DEFAULT_VARIANT),
        platform: text("platform").filter(|name| is_name(name)),
    };
    if !web.store.has_branch(series.branch).await? {
        return Err(Error::not_found());
    }
    let from = text("from").map(RevisionId::from);
    let test = text("test");
    let mut history = web.store.test_history(series, from.as_ref(), RESULTS + 1).await?;
    let most = usize::try_from(RESULTS).unwrap_or(0);
    let next = history.get(most).map(|result| result.result.revision_id.clone());
    history.truncate(most);
    let now = now();
    let link = |branch: String| BranchLink {
        href: address(
            TestSeries {
                branch: &branch,
                ..series
            },
            test,
            None,
        ),
        here: branch == series.branch,
        name: branch,
    };
    let failing = match test {
        Some(_) => Vec::new(),
        None => failing_now(series, &history, now),
    };
    let plots = match test {
        Some(_) => Vec::new(),
        None => plots(&history.iter().rev().map(|result| &result.result).collect::<Vec<_>>()),
    };
    let shown_platform = history.first().map(|newest| newest.result.platform.as_str());
    let page = TestHistoryPage {
        sentence: match test {
            Some(test) => sentence(&history, test),
            None => of_newest(&history),
        },
        more: more(&failing, &history),
        failing,
        plots,
        all: address(series, None, None),
        results: test.map_or_else(Vec::new, |test| {
            history.iter().map(|result| line(result, test, now)).collect()
        }),
        older: next.filter(|_| test.is_some()).map(|next| {
            address(
                TestSeries {
                    platform: shown_platform,
                    ..series
                },
                test,
                Some(&next),
            )
        }),
        branch: series.branch.to_owned(),
        variant: wording::unusual_variant(series.variant),
        branches: watched.iter().cloned().map(link).collect(),
        test: test.map(str::to_owned),
        project: project.clone(),
    };
    frame::respond(&web, format!("Tests of {project}"), page).await
}

/// Returns the address of the history of a test, or of the tests that fail, from a revision on.
fn address(series: TestSeries<'_>, test: Option<&str>, from: Option<&RevisionId>) -> String {
    let pairs = [
        ("branch", Some(series.branch)),
        ("variant", Some(series.variant).filter(|name| *name != DEFAULT_VARIANT)),
        ("platform", series.platform),
        ("test", test),
        ("from", from.map(RevisionId::as_str)),
    ];
    let start = format!("/project/{}/tests?", series.project);
    let given = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let after = start.len();
    url::form_urlencoded::Serializer::for_suffix(start, after)
        .extend_pairs(given)
        .finish()
}

/// Returns the newest result that says which tests failed.
fn newest(history: &[TestedRevision]) -> Option<&TestedRevision> {
    history.iter().find(|result| result.failing != FailingTests::Unknown)
}

/// Says since when a test fails. Returns `None` if it does not fail in the newest result that says something about it.
fn since(history: &[TestedRevision], test: &str, now: Timestamp) -> Option<SinceView> {
    let streak = streak(history.iter().map(|result| &result.failing), test)?;
    let first = &history.get(streak.first)?.result;
    let is_newest = newest(history).is_some_and(|newest| newest.result.run_id == first.run_id);
    Some(SinceView {
        words: match (streak.before, is_newest) {
            (Some(_), true) => "first seen failing at",
            (Some(_), false) => "seen failing since",
            (None, _) => "seen failing at least since",
        },
        sha: first.sha.clone(),
        name: wording::short(first.name()).to_owned(),
        committed: time(first.committed_at, now),
    })
}

/// Returns the tests that fail in the newest result that says so.
fn failing_now(series: TestSeries<'_>, history: &[TestedRevision], now: Timestamp) -> Vec<FailureLine> {
    let Some(FailingTests::Listed { names, .. }) = newest(history).map(|newest| &newest.failing) else {
        return Vec::new();
    };
    let line = |test: &String| FailureLine {
        href: Some(address(series, Some(test), None)),
        since: since(history, test, now),
        test: test.clone(),
        message: String::new(),
    };
    names.iter().take(FAILING).map(line).collect()
}

/// Returns how many tests fail in the newest result that says so, besides those in a list.
fn more(listed: &[FailureLine], history: &[TestedRevision]) -> usize {
    let failed = newest(history).and_then(|newest| usize::try_from(newest.result.cell_failed_tests?).ok());
    match listed.is_empty() {
        true => 0,
        false => failed.unwrap_or_default().saturating_sub(listed.len()),
    }
}

/// Adds to the failures of a run of a revision the addresses of their histories, and since when they fail. Leaves the
/// latter out if the result of the run does not say which tests failed.
pub async fn add_since(
    web: &Web,
    series: TestSeries<'_>,
    (revision, run): (&RevisionId, &RunId),
    failures: &mut [FailureLine],
    now: Timestamp,
) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    let history = web.store.test_history(series, Some(revision), RESULTS).await?;
    let is_result = newest(&history).is_some_and(|newest| newest.result.run_id == *run);
    for failure in failures.iter_mut().take(FAILING) {
        failure.href = Some(address(series, Some(&failure.test), None));
        failure.since = match is_result {
            true => since(&history, &failure.test, now),
            false => None,
        };
    }
    Ok(())
}

/// Says what came of the newest results.
fn of_newest(history: &[TestedRevision]) -> String {
    let Some(newest) = newest(history) else {
        return match history.is_empty() {
            true => "no recent revision has a result.".to_owned(),
            false => "no recent result says which tests failed.".to_owned(),
        };
    };
    let result = &newest.result;
    let least = if result.broke_off() { "at least " } else { "" };
    let tests = match (result.cell_state, result.cell_failed_tests.unwrap_or_default()) {
        (Some(Cell::Pass), _) => "no test failed".to_owned(),
        (_, 1) => format!("{least}1 test failed"),
        (_, failed) => format!("{least}{failed} tests failed"),
    };
    let at = wording::short(result.name());
    format!("{tests} at {at}, the newest result that says which tests failed.")
}

fn sentence(history: &[TestedRevision], test: &str) -> String {
    let results: Vec<TestResult> = history.iter().map(|result| result.failing.of(test)).collect();
    let count = |wanted| results.iter().filter(|result| **result == wanted).count();
    let (failed, others) = (count(TestResult::Failed), count(TestResult::DidNotFail));
    match failed + others {
        0 => "no result here says anything about this test.".to_owned(),
        all => format!("it failed in {failed} of the {all} results below that say something about it."),
    }
}

fn line(result: &TestedRevision, test: &str, now: Timestamp) -> TestLine {
    let shown = &result.result;
    let state = result.failing.of(test);
    let error = shown
        .cell_first_error
        .as_deref()
        .filter(|_| state == TestResult::Failed);
    let error = error.and_then(|error| error.strip_prefix(test)?.strip_prefix(": "));
    TestLine {
        run: shown.run_id.to_string(),
        sha: shown.sha.clone(),
        name: wording::short(shown.name()).to_owned(),
        subject: shown.subject.clone(),
        committed: time(shown.committed_at, now),
        badge: match state {
            TestResult::Failed => badge("fail", "✗", "failed"),
            TestResult::DidNotFail => badge("pass", "✓", "did not fail"),
            TestResult::Unknown => badge("unknown", "?", "unclear"),
        },
        error: error.map(str::to_owned),
    }
}

/// Returns the tests that fail in the newest results of a project, one entry for each branch on which some do.
pub async fn failing_on_branches(web: &Web, project: &str, now: Timestamp) -> Result<Vec<FailingOnBranch>> {
    let mut found = Vec::new();
    for branch in web.store.watched_branches().await? {
        let series = TestSeries {
            project,
            branch: &branch.name,
            variant: DEFAULT_VARIANT,
            platform: None,
        };
        let history = web.store.test_history(series, None, RESULTS).await?;
        let mut failing = failing_now(series, &history, now);
        if !failing.is_empty() {
            failing.truncate(NAMED);
            let more = more(&failing, &history);
            found.push(FailingOnBranch {
                all: address(series, None, None),
                branch: branch.name,
                failing,
                more,
            });
        }
    }
    Ok(found)
}

/// The most failing tests of each branch on the page of a project.
const NAMED: usize = 10;

/// The tests that fail on a branch.
#[derive(Default, Serialize)]
pub struct FailingOnBranch {
    pub branch: String,
    pub failing: Vec<FailureLine>,
    /// How many more fail.
    pub more: usize,
    /// The address of the page that lists more of them.
    pub all: String,
}
