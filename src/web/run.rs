//! The page of a run: its verdict, its attempts, and the log of one of them.

use super::attempts::{self, AttemptsView};
use super::error::{Error, HandlerResult};
use super::frame::{Frame, Here};
use super::grid::{self, ImageView, RevisionHead};
use super::route::{Query, Web};
use super::run_verdict::{self, RunVerdict};
use super::template::Template;
use super::test_history;
use super::vanished_lock::{self, VanishedLock};
use super::wording::{self, Badge, Time};
use crate::clock::now;
use crate::domain::id::RunId;
use crate::domain::time::Timestamp;
use crate::recipe::Recipe;
use crate::store::attempts::Attempt;
use crate::store::views::TestSeries;
use crate::verdict::Cell;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Default, Serialize)]
pub struct RunPage {
    pub project: String,
    pub platform: String,
    pub planned: Time,
    pub revision: RevisionHead,
    pub image: ImageView,
    pub badge: Badge,
    pub sentence: String,
    pub run_verdict: Option<RunVerdict>,
    /// What became of its dependencies, if its pinned lock named something that is gone.
    pub vanished_lock: Option<VanishedLock>,
    /// The failing tests that the recipe declares as known failures.
    pub known_failures: Vec<KnownFailureView>,
    pub attempts: AttemptsView,
    /// The recipe of the run.
    pub recipe: Option<String>,
    pub recipe_digest: String,
    /// The number of the version, if the recipe was submitted.
    pub version: Option<i64>,
    /// Whether the run is the trial of that version.
    pub trial: bool,
}

#[derive(Default, Serialize)]
pub struct KnownFailureView {
    pub test: String,
    pub reason: String,
    /// The last day on which the known failure applies.
    pub expires: String,
    /// Whether that day is over.
    pub expired: bool,
}

impl Template for RunPage {
    const NAME: &'static str = "run";
}

pub async fn page(id: RunId, web: Web, query: Query) -> HandlerResult {
    let found = web.store.run_page(&id).await?.ok_or_else(Error::not_found)?;
    let now = now();
    let mut attempts = attempts::view(&web, &found.attempts, &query, now).await?;
    if let (false, Some(tests)) = (found.run.trial, &mut attempts.tests) {
        let series = TestSeries {
            project: &found.run.project,
            branch: &found.row.branch,
            variant: &found.run.variant,
            platform: Some(&found.run.platform),
        };
        test_history::add_since(
            &web,
            series,
            (&found.run.revision_id, &found.run.id),
            &mut tests.failures,
            now,
        )
        .await?;
    }
    let refresh = attempts.refresh(found.cell.state == Cell::Pending, &query);
    let live = attempts.is_live();
    let title = wording::place(&found.run.project, &found.row);
    let page = RunPage {
        platform: found.run.platform.clone(),
        planned: wording::time(found.run.created_at, now),
        revision: grid::revision(&found.row, now),
        image: grid::image(&found.row, now),
        badge: wording::cell_badge(&found.cell),
        sentence: wording::sentence(&found.cell, &found.row, now),
        // a trial belongs to no series, so there is nothing to compare it with
        run_verdict: match found.run.trial {
            true => None,
            false => run_verdict::of(&web, &found.run, found.cell.state).await?,
        },
        vanished_lock: vanished_lock::of(&web, &found.run, &found.attempts).await?,
        version: web.store.number_of(&found.run.project, &found.run.recipe).await?,
        trial: found.run.trial,
        known_failures: known_failures(found.recipe.as_deref(), &found.attempts, now),
        attempts,
        recipe: found.recipe,
        recipe_digest: wording::short_digest(&found.run.recipe),
        project: found.run.project,
    };
    let status = web.store.status().await?;
    Frame::new(Some(&status), title, Here::None, page)
        .refreshed(refresh)
        .live(live)
        .respond()
}

/// Returns the known failures of a recipe whose tests failed in one of these attempts.
fn known_failures(recipe: Option<&str>, attempts: &[Attempt], now: Timestamp) -> Vec<KnownFailureView> {
    let recipe: Option<Recipe> = recipe.and_then(|text| toml::from_str(text).ok());
    let summaries = attempts.iter().filter_map(|attempt| attempt.report()?.summary.as_ref());
    let failed: BTreeSet<&str> = summaries
        .flat_map(|summary| &summary.failures)
        .map(|failure| failure.test.as_str())
        .collect();
    let declared = recipe.iter().flat_map(|recipe| &recipe.known_failure);
    declared
        .map(|declared| declared.get_ref())
        .filter(|declared| failed.contains(declared.test.as_str()))
        .map(|declared| KnownFailureView {
            test: declared.test.clone(),
            reason: declared.reason.clone(),
            expires: declared.expires.to_string(),
            expired: !declared.holds(now),
        })
        .collect()
}
