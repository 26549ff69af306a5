//! The pages with the matrix of revisions and projects: for all branches, and for one.

use super::choices::Choices;
use super::error::{Error, HandlerResult};
use super::forms::see_other;
use super::frame::{Frame, Here};
use super::grid::{self, ColumnsView, Grid, VariantsView};
use super::home::{self, HomeView};
use super::route::{Query, Web};
use super::template::Template;
use super::wording::{self, Badge};
use crate::clock::now;
use crate::domain::day::Day;
use crate::store::views::Scope;
use serde::Serialize;

/// The number of revisions on a page.
const REVISIONS: i64 = 30;

/// The number of revisions on a page with `?changes=only`, before folding.
const FOLDED_REVISIONS: i64 = 60;

/// Seconds after which a page with open jobs is read again.
const REFRESH: u32 = 30;

#[derive(Default, Serialize)]
pub struct MatrixPage {
    /// What is broken, and the branches. Only the first page of all branches has it.
    pub home: Option<HomeView>,
    pub grid: Grid,
    pub projects: ColumnsView,
    pub branch: Option<String>,
    pub variants: VariantsView,
    /// The query of the page with older revisions, if there are any.
    pub older: Option<String>,
    /// The query of the page with the newest revisions, if this is not the first page.
    pub newest: Option<String>,
    /// The text in the names of all projects that the page shows.
    pub named: Option<String>,
    /// Whether the page leaves out revisions at which nothing changed.
    pub only_changes: bool,
    pub has_projects: bool,
    pub legend: Vec<Badge>,
}

impl Template for MatrixPage {
    const NAME: &'static str = "matrix";
}

pub async fn of_all(web: Web, query: Query) -> HandlerResult {
    page(&web, None, &query).await
}

pub async fn of_branch(name: String, web: Web, query: Query) -> HandlerResult {
    if !web.store.has_branch(&name).await? {
        return Err(Error::not_found());
    }
    page(&web, Some(name), &query).await
}

async fn page(web: &Web, branch: Option<String>, query: &Query) -> HandlerResult {
    let scope = branch.clone().map_or(Scope::All, Scope::Branch);
    let choices = Choices::read(query);
    if let Some(end) = choices.until.and_then(Day::end) {
        // the address of a part of the history stays the same when the history grows
        let next = web.store.first_since(&scope, end).await?;
        let path = branch.map_or("/".to_owned(), |name| format!("/branch/{name}"));
        return see_other(&format!("{path}{}", choices.with_before(next.as_ref()).address()));
    }
    let most = if choices.only_changes {
        FOLDED_REVISIONS
    } else {
        REVISIONS
    };
    let mut matrix = web.store.matrix(&scope, most, choices.before.as_ref()).await?;
    let at_tips = web.store.variants_at_tips(branch.as_deref()).await?;
    let variants = grid::restrict(&mut matrix, at_tips, &choices);
    let has_projects = matrix.columns.iter().any(|column| column.registered);
    if let Some(named) = &choices.named {
        matrix.keep_projects(named);
    }
    let status = web.store.status().await?;
    let has_open_jobs = status.waiting + status.working > 0 || matrix.rows.is_empty();
    let (title, here) = match &branch {
        None => ("All revisions".to_owned(), Here::AllBranches),
        Some(name) => (format!("Revisions on {name}"), Here::Branch(name)),
    };
    let now = now();
    let is_first = choices.before.is_none();
    let home = match branch.is_none() && is_first {
        true => Some(home::home(web, now).await?),
        false => None,
    };
    let rows = grid::rows(&matrix, choices.only_changes);
    let (shown, projects) = grid::columns(&matrix, rows.len(), &choices);
    let older = matrix.older.as_ref();
    let mut grid = grid::grid(&matrix, (&rows, shown), branch.is_none(), &web.trust, now);
    if choices.named.is_some() {
        // what most projects say does not follow from some of them
        grid.rows.iter_mut().for_each(|row| row.meaning = None);
    }
    let page = MatrixPage {
        home,
        grid,
        projects,
        branch: branch.clone(),
        variants,
        older: older.map(|older| choices.with_before(Some(older)).address()),
        newest: (!is_first).then(|| choices.with_before(None).address()),
        has_projects,
        legend: wording::legend(),
        only_changes: choices.only_changes,
        named: choices.named,
    };
    Frame::new(Some(&status), title, here, page)
        .refreshed((has_open_jobs && is_first).then_some(REFRESH))
        .respond()
}
