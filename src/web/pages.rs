//! The pages, one function each; None where there is no such thing to show.

use super::answer::{self, Answer, SCRIPT_TAG, STYLE_TAG};
use super::attempts::{self, AttemptsView};
use super::grid::{self, ImageView, RevisionView};
use super::words::{self, Badge, Time};
use super::{Query, Web, standing};
use crate::clock;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::job::Facts;
use crate::store::branches::Branch;
use crate::store::views::{SHARED, Scope, Status};
use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use warp::http::StatusCode;

/// Check-ins on a page of the matrix.
const ROWS: i64 = 40;

/// Check-ins whose cells a script gets at once, unless it asks for another number.
const RESULTS: i64 = 100;

/// What every page has around its own.
#[derive(Serialize)]
pub(super) struct Frame<T> {
    title: String,
    style: &'static str,
    tabs: Vec<Tab>,
    status: Option<StatusView>,
    /// Seconds until the browser loads the page again.
    refresh: Option<u32>,
    /// Names the script of a page with a log that grows; with it the page need not be loaded again.
    script: Option<&'static str>,
    page: T,
}

#[derive(Serialize)]
struct Tab {
    name: String,
    href: String,
    here: bool,
}

#[derive(Serialize)]
struct StatusView {
    waiting: i64,
    working: i64,
    refused: i64,
    problems: Vec<ProblemView>,
}

#[derive(Serialize)]
struct ProblemView {
    branch: String,
    problem: String,
    checked: Option<Time>,
}

/// All, then the two lines that Pybots always had, then the others as the settings name them.
fn tabs(branches: &[Branch], here: Option<&str>) -> Vec<Tab> {
    let first = ["trunk", "2.5"];
    let known = |name: &&str| branches.iter().any(|branch| branch.name == **name);
    let others = branches
        .iter()
        .map(|branch| branch.name.as_str())
        .filter(|name| !first.contains(name));
    let all = Tab {
        name: "All".to_owned(),
        href: "/".to_owned(),
        here: here == Some(""),
    };
    let of = |name: &str| Tab {
        name: name.to_owned(),
        href: format!("/branch/{name}"),
        here: here == Some(name),
    };
    std::iter::once(all)
        .chain(first.into_iter().filter(known).chain(others).map(of))
        .collect()
}

pub(super) fn frame<T>(status: Option<&Status>, title: impl Into<String>, here: Option<&str>, page: T) -> Frame<T> {
    let now = clock::now_ms();
    let view = |status: &Status| StatusView {
        waiting: status.waiting,
        working: status.working,
        refused: status.refused,
        problems: status
            .branches
            .iter()
            .filter(|branch| concerns(here, &branch.name))
            .filter_map(|branch| problem(branch, now))
            .collect(),
    };
    Frame {
        title: title.into(),
        style: &STYLE_TAG,
        tabs: tabs(status.map_or(&[], |status| &status.branches), here),
        status: status.map(view),
        refresh: None,
        script: None,
        page,
    }
}

/// Whether a branch's trouble belongs on a page: its own, and that of all branches.
fn concerns(here: Option<&str>, branch: &str) -> bool {
    here.is_some_and(|tab| tab.is_empty() || tab == branch)
}

fn problem(branch: &Branch, now: i64) -> Option<ProblemView> {
    let problem = branch.problem.clone()?;
    Some(ProblemView {
        branch: branch.name.clone(),
        problem,
        checked: branch.checked_at.map(|at| words::time(at, now)),
    })
}

/// The matrix of all branches, or of one.
pub async fn matrix(web: &Web, branch: Option<&str>, query: &Query) -> Result<Option<Answer>> {
    let scope = match branch {
        None => Scope::All,
        Some(name) if web.store.knows_branch(name).await? => Scope::Branch(name.to_owned()),
        Some(_) => return Ok(None),
    };
    let before = query.get("before").map(String::as_str);
    let mut matrix = web.store.matrix(&scope, ROWS, before).await?;
    let known = web.store.variants_at_tips(branch).await?;
    let variants = grid::variants(&mut matrix, known, grid::asked(query));
    let status = web.store.status().await?;
    let page = json!({
        "grid": grid::grid(&matrix, branch.is_none(), clock::now_ms()),
        "branch": branch,
        "variants": variants,
        "older": matrix.older,
        "paged": before.is_some(),
        "projects": matrix.columns.iter().filter(|column| column.registered).count(),
        "legend": words::legend(),
    });
    let title = branch.map_or_else(|| "All check-ins".to_owned(), |name| format!("Check-ins on {name}"));
    let mut frame = frame(Some(&status), title, Some(branch.unwrap_or_default()), page);
    let moving = status.waiting + status.working > 0 || matrix.rows.is_empty();
    frame.refresh = (moving && before.is_none()).then_some(30);
    answer::page("matrix", &frame).map(Some)
}

#[derive(Serialize)]
struct RevisionPage {
    revision: RevisionView,
    rows: Vec<RevisionRow>,
}

#[derive(Serialize)]
struct RevisionRow {
    revision: RevisionView,
    image: ImageView,
    platform: String,
    cells: Vec<NamedCell>,
}

#[derive(Serialize)]
struct NamedCell {
    project: String,
    badge: Badge,
    sentence: String,
    href: Option<String>,
}

pub async fn revision(web: &Web, sha: &str) -> Result<Option<Answer>> {
    let Some(matrix) = web.store.revision_page(sha).await? else {
        return Ok(None);
    };
    let now = clock::now_ms();
    let rows = matrix.rows.iter().map(|row| RevisionRow {
        revision: grid::revision(row, now),
        image: grid::image(row),
        platform: row.platform.clone(),
        cells: matrix
            .columns
            .iter()
            .zip(&row.cells)
            .filter_map(|(column, cell)| Some((column, cell.as_ref()?)))
            .map(|(column, cell)| NamedCell {
                project: column.name.clone(),
                badge: words::cell_badge(cell),
                sentence: words::sentence(cell, &row.image),
                href: cell.run.as_ref().map(|run| format!("/run/{run}")),
            })
            .collect(),
    });
    let Some(first) = matrix.rows.first() else {
        return Ok(None);
    };
    let page = RevisionPage {
        revision: grid::revision(first, now),
        rows: rows.collect(),
    };
    let title = format!("{} {}", page.revision.short, page.revision.subject);
    answer::page("revision", &frame(Some(&web.store.status().await?), title, None, page)).map(Some)
}

pub async fn run(web: &Web, id: &str, query: &Query) -> Result<Option<Answer>> {
    let Some(found) = web.store.run_page(id).await? else {
        return Ok(None);
    };
    let now = clock::now_ms();
    let attempts = attempts::view(web, &found.attempts, query, now).await?;
    let refresh = refresh(&attempts, found.cell.state == crate::verdict::Cell::Pending, query);
    let live = attempts.is_live();
    let title = words::place(&found.run.project, &found.row);
    let page = json!({
        "project": found.run.project,
        "platform": found.run.platform,
        "planned": words::time(found.run.created_at, now),
        "revision": grid::revision(&found.row, now),
        "image": grid::image(&found.row),
        "badge": words::cell_badge(&found.cell),
        "sentence": words::sentence(&found.cell, &found.row.image),
        "standing": standing::of(web, &found.run, found.cell.state).await?,
        "attempts": attempts,
        "recipe": found.recipe,
        "recipe_digest": words::short_digest(&found.run.recipe),
    });
    let frame = frame(Some(&web.store.status().await?), title, None, page);
    with_log(frame, "run", refresh, live)
}

/// Three seconds while there is news to come, unless somebody reads a place of the log.
fn refresh(attempts: &AttemptsView, waits: bool, query: &Query) -> Option<u32> {
    let reading = query.contains_key("from") || query.contains_key("attempt");
    ((attempts.running || waits) && !reading).then_some(3)
}

/// A page with attempts; live where its log grows before the reader's eyes.
fn with_log<T: Serialize>(frame: Frame<T>, template: &str, refresh: Option<u32>, live: bool) -> Result<Option<Answer>> {
    let frame = Frame {
        refresh,
        script: live.then_some(SCRIPT_TAG.as_str()),
        ..frame
    };
    if live {
        answer::live_page(template, &frame).map(Some)
    } else {
        answer::page(template, &frame).map(Some)
    }
}

pub async fn image(web: &Web, id: &str, query: &Query) -> Result<Option<Answer>> {
    let Some(found) = web.store.image_page(id).await? else {
        return Ok(None);
    };
    let now = clock::now_ms();
    let attempts = attempts::view(web, &found.attempts, query, now).await?;
    let refresh = refresh(&attempts, found.image.state == "wanted", query);
    let live = attempts.is_live();
    let facts: Option<Facts> = found
        .image
        .facts
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    let state = found.rows.first().map(|row| words::image_badge(&row.image));
    let source = found.built_from.as_ref();
    let variant = match found.image.variant.as_str() {
        DEFAULT_VARIANT => String::new(),
        variant => format!(", {variant}"),
    };
    let title = source.map_or_else(
        || format!("Image{variant}"),
        |built| format!("Image of {} {}{variant}", built.branch, words::short(built.name())),
    );
    let page = json!({
        "badge": state,
        "build_key": found.image.build_key,
        "variant": found.image.variant,
        "source": source.map(|built| json!({
            "sha": built.sha, "short": words::short(built.name()), "subject": built.subject,
        })),
        "platform": found.image.platform,
        "reference": found.image.reference,
        "digest": found.image.digest,
        "size": found.image.size.map(|bytes| words::size(bytes.unsigned_abs())),
        "facts": facts,
        "rows": found.rows.iter().map(|row| grid::revision(row, now)).collect::<Vec<_>>(),
        "more": found.rows.len() as i64 == SHARED,
        "attempts": attempts,
    });
    let frame = frame(Some(&web.store.status().await?), title, None, page);
    with_log(frame, "image", refresh, live)
}

/// The cells as JSON; `?branch=NAME`, `?variant=NAME`, `?revisions=N`.
pub async fn results(web: &Web, query: &Query) -> Result<Answer> {
    let branch = query.get("branch").map(String::as_str);
    if let Some(name) = branch
        && !web.store.knows_branch(name).await?
    {
        let error = format!("no branch is called {name:?}");
        return Ok(answer::json(&json!({ "error": error }), StatusCode::NOT_FOUND));
    }
    let revisions = query
        .get("revisions")
        .and_then(|text| text.parse().ok())
        .unwrap_or(RESULTS);
    let mut cells = web.store.results(branch, revisions.clamp(1, 1000)).await?;
    if let Some(variant) = query.get("variant") {
        cells.retain(|cell| cell.variant == *variant);
    }
    Ok(answer::json(&cells, StatusCode::OK))
}

/// The raw log of the newest attempt at a run or an image, or of `?attempt=N`.
pub async fn newest_log(web: &Web, id: &str, query: &Query) -> Result<Option<Answer>> {
    let attempts = web.store.attempts_of(id).await?;
    match attempts::chosen(&attempts, query)
        .checked_sub(1)
        .and_then(|at| attempts.get(at))
    {
        Some(attempt) => log(web, &attempt.id).await,
        None => Ok(None),
    }
}

/// The raw log of one attempt.
pub async fn log(web: &Web, attempt: &str) -> Result<Option<Answer>> {
    // by the store, so that only a log's own id is ever a file's name
    let Some(attempt) = web.store.attempt(attempt).await? else {
        return Ok(None);
    };
    let Some(reader) = web.objects.open_log(&attempt.id).await? else {
        return Ok(None);
    };
    let length = web.objects.read_log(&attempt.id, u64::MAX, 0).await?.total;
    answer::download(reader, length, &format!("pybots-{}.log", attempt.id)).map(Some)
}

pub async fn healthz(web: &Web) -> Result<Answer> {
    web.store.open_jobs().await?;
    Ok(answer::text("ok\n"))
}

pub async fn error(web: &Web, status: StatusCode, path: &str) -> Result<Answer> {
    // the store may be what failed
    let known = web.store.status().await.ok();
    let (title, advice) = match status {
        StatusCode::NOT_FOUND => (
            "There is no such page",
            "The address may be mistyped, or what it named is not known here. A check-in that was just made appears within a minute or so of its arrival in the repository.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => ("This page can only be read", "Ask for it with GET."),
        _ => (
            "This page could not be made",
            "Nothing is lost: try again in a moment. If it stays like this, the operator finds the reason in the log of Pybots.",
        ),
    };
    let page = json!({ "code": status.as_u16(), "path": path, "advice": advice });
    answer::page("error", &frame(known.as_ref(), title, None, page))
}
