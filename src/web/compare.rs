//! The page that compares two revisions.

use super::error::{Error, HandlerResult};
use super::forms::see_other;
use super::frame;
use super::response;
use super::route::{Query, Web};
use super::search;
use super::template::Template;
use super::wording::{self, Badge, row_name};
use crate::compare::{self, ComparedRevision};
use crate::verdict::ProjectComparison;
use anyhow::Result;
use serde::Serialize;

/// The most tests of a project that the page names.
const NAMED: usize = 20;
/// The number of newest revisions whose variants can be chosen for a branch.
const NEWEST: i64 = 3;

#[derive(Default, Serialize)]
pub struct ChoosePage {
    /// What the form asked for.
    pub base: String,
    pub now: String,
    /// The sides that were not found, with the revisions that they may stand for.
    pub unknown: Vec<UnknownSide>,
    pub rows: Vec<ChoiceRow>,
}

/// A side of a comparison that names no branch and no revision.
#[derive(Default, Serialize)]
pub struct UnknownSide {
    pub name: String,
    /// Revisions with the words of the name, as comparisons with the other side.
    pub found: Vec<ChoiceLink>,
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
    pub markdown: String,
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

/// `/compare`: responds with the branches and variants to choose from. `?base=` and `?now=` lead to their comparison, or
/// to the revisions for which they may stand.
pub async fn choose(web: Web, query: Query) -> HandlerResult {
    let side = |key: &str| query.get(key).map(|text| text.trim().to_owned()).unwrap_or_default();
    let (base, now) = (side("base"), side("now"));
    let unknown = match base.is_empty() || now.is_empty() {
        true => Vec::new(),
        false => unknown_sides(&web, &base, &now).await?,
    };
    if !base.is_empty() && !now.is_empty() && unknown.is_empty() {
        return see_other(&address(&base, &now));
    }
    let mut names = Vec::new();
    for branch in web.store.watched_branches().await? {
        let variants = web.store.variants_of(&branch.name, NEWEST).await?;
        names.extend(variants.iter().map(|variant| row_name(&branch.name, variant)));
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
    let page = ChoosePage {
        rows: rows.collect(),
        base,
        now,
        unknown,
    };
    frame::respond(&web, "Compare", page).await
}

/// Returns the sides of a comparison that name no branch and no revision.
async fn unknown_sides(web: &Web, base: &str, now: &str) -> Result<Vec<UnknownSide>> {
    let mut unknown = Vec::new();
    for (name, is_base) in [(base, true), (now, false)] {
        if compare::exists(&web.store, name).await? {
            continue;
        }
        let found = search::revisions(web, name, crate::clock::now()).await?;
        let link = |revision: search::FoundRevision| ChoiceLink {
            href: match is_base {
                true => form_address(&revision.sha, now),
                false => form_address(base, &revision.sha),
            },
            name: format!("{} {} ({})", revision.name, revision.subject, revision.branch),
        };
        unknown.push(UnknownSide {
            name: name.to_owned(),
            found: found.into_iter().map(link).collect(),
        });
    }
    Ok(unknown)
}

/// Returns the address of the form with both sides. It leads to the comparison, or on to what the other side may be.
fn form_address(base: &str, now: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::for_suffix("/compare?".to_owned(), "/compare?".len());
    query.append_pair("base", base).append_pair("now", now);
    query.finish()
}

/// Returns the address of a comparison.
fn address(base: &str, now: &str) -> String {
    // the separator of a variant stays as it is: paths are not decoded
    let encoded = |name: &str| {
        url::form_urlencoded::byte_serialize(name.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
            .replace("%3A", ":")
    };
    format!("/compare/{}/{}", encoded(base), encoded(now))
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
        markdown: format!("/compare/{base}/{now}/markdown"),
        groups: groups.map(group).collect(),
    };
    frame::respond(&web, format!("{now} compared with {base}"), page).await
}

/// `/compare/BASE[:VARIANT]/NOW[:VARIANT]/markdown`: responds with the comparison as Markdown, for a mail or an issue.
pub async fn markdown(base: String, now: String, web: Web) -> HandlerResult {
    let found = compare::of(&web.store, &web.objects, &base, &now).await?;
    let compared = found.map_err(|_| Error::not_found())?;
    Ok(response::plain(compared.markdown()))
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
