//! The page that compares two revisions.

use super::error::{Error, HandlerResult};
use super::frame;
use super::route::Web;
use super::template::Template;
use super::wording::{self, Badge, row_name};
use crate::compare::{self, ComparedRevision};
use crate::store::views::Scope;
use crate::verdict::ProjectComparison;
use serde::Serialize;
use std::collections::BTreeSet;

/// The most tests of a project that the page names.
const NAMED: usize = 20;
/// The number of newest revisions whose variants can be chosen for a branch.
const NEWEST: i64 = 3;

#[derive(Default, Serialize)]
pub struct ChoosePage {
    pub rows: Vec<ChoiceRow>,
}

impl Template for ChoosePage {
    const NAME: &'static str = "compare_choose";
}

/// A branch as one variant, with the choices to compare it with.
#[derive(Default, Serialize)]
pub struct ChoiceRow {
    pub name: String,
    pub against: Vec<ChoiceLink>,
}

#[derive(Default, Serialize)]
pub struct ChoiceLink {
    pub name: String,
    pub href: String,
}

#[derive(Default, Serialize)]
pub struct ComparePage {
    pub base: SideView,
    pub now: SideView,
    /// The address of the same comparison with the sides exchanged.
    pub swap: String,
    pub json: String,
    pub groups: Vec<ComparedGroup>,
}

impl Template for ComparePage {
    const NAME: &'static str = "compare";
}

#[derive(Default, Serialize)]
pub struct SideView {
    pub on: String,
    pub href: String,
    pub name: String,
    pub subject: String,
    pub version: Option<String>,
}

/// Projects that differ in the same way.
#[derive(Default, Serialize)]
pub struct ComparedGroup {
    pub title: &'static str,
    pub count: usize,
    pub projects: Vec<ComparedProject>,
}

#[derive(Default, Serialize)]
pub struct ComparedProject {
    pub project: String,
    pub base: Badge,
    pub now: Badge,
    pub tests: Vec<TestsLine>,
}

#[derive(Default, Serialize)]
pub struct TestsLine {
    pub what: &'static str,
    pub named: Vec<String>,
    /// The number of tests that are not named.
    pub more: usize,
}

/// `/compare`: responds with the branches and variants to choose from.
pub async fn choose(web: Web) -> HandlerResult {
    let mut names = Vec::new();
    for branch in web.store.watched_branches().await? {
        let newest = web
            .store
            .matrix(&Scope::Branch(branch.name.clone()), NEWEST, None)
            .await?;
        let variants: BTreeSet<&String> = newest.rows.iter().map(|row| &row.variant).collect();
        names.extend(variants.into_iter().map(|variant| row_name(&branch.name, variant)));
    }
    let against = |now: &String| {
        let bases = names.iter().filter(|base| *base != now);
        let links = bases.map(|base| ChoiceLink {
            name: base.clone(),
            href: format!("/compare/{base}/{now}"),
        });
        links.collect()
    };
    let rows = names.iter().map(|now| ChoiceRow {
        name: now.clone(),
        against: against(now),
    });
    let page = ChoosePage { rows: rows.collect() };
    frame::respond(&web, "Compare", page).await
}

/// `/compare/BASE[:VARIANT]/NOW[:VARIANT]`: responds with the comparison.
pub async fn page(base: String, now: String, web: Web) -> HandlerResult {
    let found = compare::of(&web.store, &web.objects, &base, &now).await?;
    let compared = found.map_err(|_| Error::not_found())?;
    let groups = compared.projects.chunk_by(|a, b| a.difference == b.difference);
    let page = ComparePage {
        base: side(&compared.base),
        now: side(&compared.now),
        swap: format!("/compare/{now}/{base}"),
        json: format!("/api/compare/{base}/{now}"),
        groups: groups.map(group).collect(),
    };
    frame::respond(&web, format!("{now} compared with {base}"), page).await
}

fn side(place: &ComparedRevision) -> SideView {
    SideView {
        on: row_name(&place.branch, &place.variant),
        href: format!("/revision/{}", place.revision),
        name: wording::short(&place.name).to_owned(),
        subject: place.subject.clone(),
        version: place.version.clone(),
    }
}

fn group(projects: &[ProjectComparison]) -> ComparedGroup {
    ComparedGroup {
        title: projects.first().map_or("", |project| project.difference.title()),
        count: projects.len(),
        projects: projects.iter().map(line).collect(),
    }
}

fn line(project: &ProjectComparison) -> ComparedProject {
    ComparedProject {
        project: project.project.clone(),
        base: wording::state_badge(project.base),
        now: wording::state_badge(project.now),
        tests: vec![
            tests("newly failing", &project.newly_failing),
            tests("newly passing", &project.newly_passing),
            tests("still failing", &project.still_failing),
        ],
    }
}

fn tests(what: &'static str, tests: &[String]) -> TestsLine {
    TestsLine {
        what,
        named: tests.iter().take(NAMED).cloned().collect(),
        more: tests.len().saturating_sub(NAMED),
    }
}
