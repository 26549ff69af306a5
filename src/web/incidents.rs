//! The pages of incidents: what is broken and what is looked into; and one with its proof.

use super::Web;
use super::answer::{self, Answer};
use super::pages::frame;
use super::words::{self, Badge};
use crate::clock::now_ms;
use crate::incidents::{CheckIn, Inquired, Part, Reader, Told};
use crate::reproduce;
use anyhow::Result;
use serde_json::{Value, json};
use warp::http::StatusCode;

/// Closed incidents, and inquiries, on the page.
const CLOSED: i64 = 30;
const INQUIRIES: i64 = 50;
/// Tests that a line names.
const NAMED: usize = 12;

/// What is broken, what is looked into, and what was.
pub async fn all(web: &Web) -> Result<Option<Answer>> {
    let now = now_ms();
    let reader = Reader { store: &web.store };
    let (open, closed): (Vec<Told>, Vec<Told>) = reader
        .all(CLOSED, now)
        .await?
        .into_iter()
        .partition(|told| told.closed_at.is_none());
    let (under_way, answered): (Vec<Inquired>, Vec<Inquired>) = reader
        .inquiries(INQUIRIES)
        .await?
        .into_iter()
        .partition(|inquired| inquired.ended_at.is_none());
    let lines = |told: &[Told]| told.iter().map(|told| line(told, now)).collect::<Vec<_>>();
    let inquired = |all: &[Inquired]| all.iter().map(|inquired| inquiry(inquired, now)).collect::<Vec<_>>();
    let page = json!({
        "open": lines(&open),
        "closed": lines(&closed),
        "under_way": inquired(&under_way),
        "answered": inquired(&answered),
    });
    let frame = frame(Some(&web.store.status().await?), "Incidents", None, page);
    answer::page("incidents", &frame).map(Some)
}

/// What is open of a project, for its own page.
pub async fn open_of(web: &Web, project: &str) -> Result<Vec<Value>> {
    let now = now_ms();
    let open = Reader { store: &web.store }.all(0, now).await?;
    let its = open
        .iter()
        .filter(|told| told.projects.iter().any(|name| name == project));
    Ok(its.map(|told| line(told, now)).collect())
}

/// One, by its number.
pub async fn one(web: &Web, number: &str) -> Result<Option<Answer>> {
    let now = now_ms();
    let Some(told) = told(web, number).await? else {
        return Ok(None);
    };
    let reproduction = reproduce::of(&web.store, &web.objects, told.number).await?;
    let reproduction = reproduction.as_ref().ok();
    let page = json!({
        "incident": line(&told, now),
        "parts": told.breakages.iter().map(|told| part(told, now)).collect::<Vec<_>>(),
        "put_to": told.put_to.map(|put_to| match put_to {
            "projects" => "The change is intended; the projects adapt.",
            _ => "CPython repairs it.",
        }),
        "reported_as": told.reported_as,
        "reported_link": told.reported_as.as_deref().is_some_and(|at| at.starts_with("https://") || at.starts_with("http://")),
        "waiver": told.waiver.as_ref().map(|waiver| json!({
            "who": waiver.who, "why": waiver.why, "until": words::time(waiver.until, now),
        })),
        "again_of": told.again_of,
        "script": reproduction.map(|reproduction| json!({ "is_build": reproduction.is_build() })),
        "reproduce": reproduction.and_then(|reproduction| reproduction.line()),
        "history": told.history.iter().map(|noted| json!({
            "at": words::time(noted.at, now), "who": noted.who, "what": noted.what,
        })).collect::<Vec<_>>(),
    });
    let title = format!("Incident {}", told.number);
    answer::page("incident", &frame(Some(&web.store.status().await?), title, None, page)).map(Some)
}

/// `/api/incidents`
pub async fn all_json(web: &Web) -> Result<Option<Answer>> {
    let all = Reader { store: &web.store }.all(CLOSED, now_ms()).await?;
    Ok(Some(answer::json(&all, StatusCode::OK)))
}

/// `/api/incidents/NUMBER`
pub async fn one_json(web: &Web, number: &str) -> Result<Option<Answer>> {
    Ok(told(web, number).await?.map(|told| answer::json(&told, StatusCode::OK)))
}

/// `/incident/NUMBER/reproduce.sh`
pub async fn script(web: &Web, number: &str) -> Result<Option<Answer>> {
    let Ok(number) = number.parse() else { return Ok(None) };
    let found = reproduce::of(&web.store, &web.objects, number).await?;
    Ok(found.ok().map(|reproduction| answer::text(reproduction.script())))
}

async fn told(web: &Web, number: &str) -> Result<Option<Told>> {
    match number.parse() {
        Ok(number) => Reader { store: &web.store }.one(number, now_ms()).await,
        Err(_) => Ok(None),
    }
}

fn line(told: &Told, now: i64) -> Value {
    let culprit = told.culprits.first();
    json!({
        "number": told.number,
        "title": told.title,
        "badge": badge(told),
        "culprit": culprit.map(check_in),
        "projects": told.projects.join(", "),
        "branches": branches(told),
        "opened": words::time(told.opened_at, now),
        "closed": told.closed_at.map(|at| words::time(at, now)),
    })
}

fn branches(told: &Told) -> String {
    let mut names: Vec<&str> = told.breakages.iter().map(|part| part.branch.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Never the colour alone.
fn badge(told: &Told) -> Badge {
    let (class, sign, word) = match told.state {
        "confirmed" => ("fail", "✗", "confirmed".to_owned()),
        "culprit_found" => ("fail", "✗", "culprit found".to_owned()),
        "reported" => ("flaky", "!", "reported".to_owned()),
        "fixed_on" => ("running", "✓", format!("fixed on {}", told.fixed_on.join(", "))),
        "waived" => ("skipped", "–", "waived".to_owned()),
        _ => ("pass", "✓", "closed".to_owned()),
    };
    Badge { class, sign, word }
}

fn check_in(check_in: &CheckIn) -> Value {
    json!({
        "name": words::short(&check_in.name),
        "href": format!("/revision/{}", check_in.revision),
        "subject": check_in.subject,
        "author": check_in.author.split(" <").next(),
        "link": check_in.link,
    })
}

fn part(told: &Part, now: i64) -> Value {
    json!({
        "project": told.project,
        "branch": told.branch,
        "variant": (told.variant != crate::domain::DEFAULT_VARIANT).then_some(&told.variant),
        "tests": told.tests.iter().take(NAMED).collect::<Vec<_>>(),
        "more": told.tests.len().saturating_sub(NAMED),
        "good": check_in(&told.good),
        "bad": check_in(&told.bad),
        "when": words::time(told.bad.committed_at, now),
        "exact": told.exact,
        "reason": told.reason,
        "rate": told.rate.map(|rate| format!("{:.0} %", rate * 100.0)),
        "error": told.error,
        "difference": told.difference.join("\n"),
        "good_log": told.good_attempt.as_ref().map(|id| format!("/attempt/{id}/log")),
        "bad_log": told.bad_attempt.as_ref().map(|id| format!("/attempt/{id}/log")),
        "fixed_by": told.fixed_by.as_ref().map(check_in),
        "fixed_as": told.fixed_as,
        "rounds": told.rounds,
    })
}

fn inquiry(inquired: &Inquired, now: i64) -> Value {
    let tests = match inquired.tests.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    };
    json!({
        "project": inquired.project,
        "branch": inquired.branch,
        "tests": tests,
        "what": match inquired.change.as_str() { "fixed" => "what mended it", _ => "what broke it" },
        "answer": inquired.answers.join("; "),
        "rounds": inquired.rounds,
        "at": words::time(inquired.ended_at.unwrap_or(inquired.opened_at), now),
    })
}
