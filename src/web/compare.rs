//! Two check-ins side by side: a page, and the same for programs.

use super::Web;
use super::answer::{self, Answer};
use super::pages::frame;
use super::words;
use crate::compare::{self, Place};
use crate::domain::DEFAULT_VARIANT;
use crate::store::views::Scope;
use crate::verdict::Compared;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use warp::http::StatusCode;

/// Tests that a project's line names.
const NAMED: usize = 20;
/// Newest check-ins of a branch among which its variants are looked for.
const NEWEST: i64 = 3;

/// `/compare`: the branches and variants that can be chosen.
pub async fn choose(web: &Web) -> Result<Option<Answer>> {
    let mut names = Vec::new();
    for branch in web.store.watched_branches().await? {
        let newest = web
            .store
            .matrix(&Scope::Branch(branch.name.clone()), NEWEST, None)
            .await?;
        let variants: BTreeSet<&String> = newest.rows.iter().map(|row| &row.variant).collect();
        names.extend(variants.into_iter().map(|variant| named(&branch.name, variant)));
    }
    let against = |now: &String| {
        let bases = names.iter().filter(|base| *base != now);
        bases
            .map(|base| json!({ "name": base, "href": format!("/compare/{base}/{now}") }))
            .collect::<Vec<_>>()
    };
    let page = json!({
        "rows": names.iter().map(|now| json!({ "name": now, "against": against(now) })).collect::<Vec<_>>(),
    });
    answer::page(
        "compare_choose",
        &frame(Some(&web.store.status().await?), "Compare", None, page),
    )
    .map(Some)
}

/// `/compare/BASE[:VARIANT]/NOW[:VARIANT]`
pub async fn page(web: &Web, base: &str, now: &str) -> Result<Option<Answer>> {
    let Ok(compared) = compare::of(&web.store, &web.objects, base, now).await? else {
        return Ok(None);
    };
    let groups = compared.projects.chunk_by(|a, b| a.difference == b.difference);
    let page = json!({
        "base": place(&compared.base),
        "now": place(&compared.now),
        "swap": format!("/compare/{now}/{base}"),
        "json": format!("/api/compare/{base}/{now}"),
        "groups": groups.map(group).collect::<Vec<_>>(),
    });
    let title = format!("{now} against {base}");
    answer::page("compare", &frame(Some(&web.store.status().await?), title, None, page)).map(Some)
}

/// `/api/compare/BASE[:VARIANT]/NOW[:VARIANT]`
pub async fn json(web: &Web, base: &str, now: &str) -> Result<Option<Answer>> {
    let compared = compare::of(&web.store, &web.objects, base, now).await?;
    Ok(compared.ok().map(|compared| answer::json(&compared, StatusCode::OK)))
}

/// A row, as commands and addresses name it: `NAME` or `NAME:VARIANT`.
pub fn named(branch: &str, variant: &str) -> String {
    match variant {
        DEFAULT_VARIANT => branch.to_owned(),
        _ => format!("{branch}:{variant}"),
    }
}

fn place(place: &Place) -> Value {
    json!({
        "on": named(&place.branch, &place.variant),
        "href": format!("/revision/{}", place.revision),
        "name": words::short(&place.name),
        "subject": place.subject,
        "version": place.version,
    })
}

fn group(projects: &[Compared]) -> Value {
    let line = |project: &Compared| {
        json!({
            "project": project.project,
            "base": words::state_badge(project.base),
            "now": words::state_badge(project.now),
            "tests": [
                tests("newly failing", &project.newly_failing),
                tests("newly passing", &project.newly_passing),
                tests("still failing", &project.still_failing),
            ],
        })
    };
    json!({
        "title": projects.first().map(|project| project.difference.title()),
        "count": projects.len(),
        "projects": projects.iter().map(line).collect::<Vec<_>>(),
    })
}

fn tests(what: &str, tests: &[String]) -> Value {
    json!({
        "what": what,
        "named": tests.iter().take(NAMED).collect::<Vec<_>>(),
        "more": tests.len().saturating_sub(NAMED),
    })
}
