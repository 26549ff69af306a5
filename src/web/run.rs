//! One run: its verdict, its attempts, and the log of one of them.

use super::attempts::{self, AttemptsView};
use super::error::{Error, Outcome};
use super::frame::{Frame, Here};
use super::grid::{self, ImageView, RevisionView};
use super::route::{Query, Web};
use super::run_verdict::{self, RunVerdict};
use super::template::Template;
use super::wording::{self, Badge, Time};
use crate::clock::now;
use crate::domain::id::RunId;
use crate::verdict::Cell;
use serde::Serialize;

#[derive(Default, Serialize)]
pub struct RunPage {
    pub project: String,
    pub platform: String,
    pub planned: Time,
    pub revision: RevisionView,
    pub image: ImageView,
    pub badge: Badge,
    pub sentence: String,
    pub run_verdict: Option<RunVerdict>,
    pub attempts: AttemptsView,
    /// The recipe by which the run was made.
    pub recipe: Option<String>,
    pub recipe_digest: String,
}

impl Template for RunPage {
    const NAME: &'static str = "run";
}

pub async fn page(id: RunId, web: Web, query: Query) -> Outcome {
    let found = web.store.run_page(&id).await?.ok_or_else(Error::not_found)?;
    let now = now();
    let attempts = attempts::view(&web, &found.attempts, &query, now).await?;
    let refresh = attempts.refresh(found.cell.state == Cell::Pending, &query);
    let live = attempts.is_live();
    let title = wording::place(&found.run.project, &found.row);
    let page = RunPage {
        platform: found.run.platform.clone(),
        planned: wording::time(found.run.created_at, now),
        revision: grid::revision(&found.row, now),
        image: grid::image(&found.row),
        badge: wording::cell_badge(&found.cell),
        sentence: wording::sentence(&found.cell, &found.row.image),
        run_verdict: run_verdict::of(&web, &found.run, found.cell.state).await?,
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
