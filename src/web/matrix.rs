//! The pages with the matrix of revisions and projects: for all branches, and for one.

use super::error::{Error, HandlerResult};
use super::frame::{Frame, Here};
use super::grid::{self, ColumnsView, Grid, VariantsView};
use super::home::{self, HomeView};
use super::route::{Query, Web};
use super::template::Template;
use super::wording::{self, Badge};
use crate::clock::now;
use crate::domain::id::RevisionId;
use crate::store::views::Scope;
use serde::Serialize;

/// The number of revisions on a page.
const REVISIONS: i64 = 30;

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
    /// The value of `?before=` for the next page.
    pub older: Option<String>,
    /// The value of `?projects=` of this page, if its first project is not the first of all.
    pub from: Option<String>,
    /// The value of `?before=` of this page, if it is not the first one.
    pub here: Option<String>,
    /// Whether this is not the first page.
    pub paged: bool,
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
    let before = query.get("before").map(|id| RevisionId::from(id.as_str()));
    let mut matrix = web.store.matrix(&scope, REVISIONS, before.as_ref()).await?;
    let at_tips = web.store.variants_at_tips(branch.as_deref()).await?;
    let variants = grid::restrict(&mut matrix, at_tips, grid::asked(query));
    let status = web.store.status().await?;
    let has_open_jobs = status.waiting + status.working > 0 || matrix.rows.is_empty();
    let (title, here) = match &branch {
        None => ("All revisions".to_owned(), Here::AllBranches),
        Some(name) => (format!("Revisions on {name}"), Here::Branch(name)),
    };
    let now = now();
    let home = match branch.is_none() && before.is_none() {
        true => Some(home::home(web, now).await?),
        false => None,
    };
    let (shown, projects) = grid::columns(&matrix, query.get("projects").map(String::as_str));
    let from = (shown.start > 0).then(|| matrix.columns.get(shown.start).map(|column| column.name.clone()));
    let page = MatrixPage {
        from: from.flatten(),
        home,
        grid: grid::grid(&matrix, shown, branch.is_none(), &web.trust, now),
        projects,
        branch: branch.clone(),
        variants,
        paged: before.is_some(),
        here: before.as_ref().map(ToString::to_string),
        has_projects: matrix.columns.iter().any(|column| column.registered),
        older: matrix.older.map(RevisionId::into_string),
        legend: wording::legend(),
    };
    Frame::new(Some(&status), title, here, page)
        .refreshed((has_open_jobs && before.is_none()).then_some(REFRESH))
        .respond()
}
