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
use crate::store::views::{Matrix, Scope};
use crate::verdict::Cell;
use serde::Serialize;
use std::collections::BTreeSet;

/// The number of revisions on a page.
const REVISIONS: i64 = 30;

/// The number of revisions on a page with `?changes=only`, before folding.
const FOLDED_REVISIONS: i64 = 45;

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
    /// What the form of the page shows as chosen.
    pub filters: FiltersView,
    /// Whether the page leaves out revisions at which nothing changed.
    pub only_changes: bool,
    pub has_projects: bool,
    pub legend: Vec<Badge>,
}

/// The choices that the form of the page shows.
#[derive(Default, Serialize)]
pub struct FiltersView {
    pub named: String,
    pub about: String,
    pub owner: String,
    pub label: String,
    pub tiers: Vec<OptionView>,
    pub states: Vec<OptionView>,
    /// Whether one of the choices that the form folds is made.
    pub are_unfolded: bool,
    /// Whether the page leaves out projects.
    pub leaves_projects_out: bool,
}

/// One value of a choice.
#[derive(Default, Serialize)]
pub struct OptionView {
    pub value: String,
    pub words: String,
    pub chosen: bool,
}

fn filters(choices: &Choices) -> FiltersView {
    let text = |choice: &Option<String>| choice.clone().unwrap_or_default();
    let tiers = (1..=3).map(|tier: u8| OptionView {
        value: tier.to_string(),
        words: format!("tier {tier}"),
        chosen: choices.tier == Some(tier),
    });
    let states = Cell::ALL.iter().map(|state| OptionView {
        value: state.name().to_owned(),
        words: wording::state_badge(Some(*state)).word,
        chosen: choices.state == Some(*state),
    });
    FiltersView {
        named: text(&choices.named),
        about: text(&choices.about),
        owner: text(&choices.owner),
        label: text(&choices.label),
        tiers: tiers.collect(),
        states: states.collect(),
        are_unfolded: choices.needs_tags() || choices.state.is_some() || choices.about.is_some(),
        leaves_projects_out: choices.leaves_projects_out(),
    }
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

/// Drops the columns of the projects that the reader did not choose.
async fn keep_projects(web: &Web, matrix: &mut Matrix, choices: &Choices) -> anyhow::Result<()> {
    if !choices.leaves_projects_out() {
        return Ok(());
    }
    let tagged: Option<BTreeSet<String>> = match choices.needs_tags() {
        true => {
            let projects = web.store.projects().await?.into_iter();
            let taken = projects.filter(|project| choices.takes(&project.tags));
            Some(taken.map(|project| project.name).collect())
        }
        false => None,
    };
    let named = choices.named.as_deref().unwrap_or_default().to_lowercase();
    let in_state: Vec<bool> = (0..matrix.columns.len())
        .map(|at| choices.state.is_none_or(|state| matrix.has_state(at, state)))
        .collect();
    matrix.keep_projects(|at, name| {
        name.to_lowercase().contains(&named)
            && tagged.as_ref().is_none_or(|tagged| tagged.contains(name))
            && in_state.get(at) == Some(&true)
    });
    Ok(())
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
    let mut matrix = web
        .store
        .outline(&scope, most, choices.before.as_ref(), choices.about.as_deref())
        .await?;
    let at_tips = web.store.variants_at_tips(branch.as_deref()).await?;
    let variants = grid::restrict(&mut matrix, at_tips, &choices);
    let has_projects = matrix.columns.iter().any(|column| column.registered);
    keep_projects(web, &mut matrix, &choices).await?;
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
    let indexes: Vec<usize> = rows.iter().map(|row| row.index).collect();
    web.store.complete(&mut matrix, &indexes, shown.clone()).await?;
    let older = matrix.older.as_ref();
    let mut grid = grid::grid(&matrix, (&rows, shown), branch.is_none(), &web.trust, now);
    if choices.leaves_projects_out() {
        // what most projects say does not follow from some of them
        grid.rows.iter_mut().for_each(|row| row.meaning = None);
    }
    let has_rows = !grid.rows.is_empty();
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
        filters: filters(&choices),
    };
    Frame::new(Some(&status), title, here, page)
        .refreshed((has_open_jobs && is_first).then_some(REFRESH))
        .scripted(has_rows)
        .respond()
}
