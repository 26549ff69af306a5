//! The pages of hosts: all of them, and one with what it does and has done.

use super::Web;
use super::answer::{self, Answer};
use super::pages::frame;
use super::words::{self, Badge};
use crate::clock::now_ms;
use crate::domain::host::{HostState, Offer, STRIKES};
use crate::store::hosts::HostRow;
use crate::store::views::HostAttempt;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Attempts on the page of a host.
const HISTORY: i64 = 100;

/// A host that made no call for so long has fallen silent: it asks for work every 25 seconds.
const SILENT_MS: i64 = 2 * 60_000;

/// All hosts.
pub async fn all(web: &Web) -> Result<Option<Answer>> {
    let loads = web.store.host_loads().await?;
    let now = now_ms();
    let hosts: Vec<Value> = web
        .store
        .hosts()
        .await?
        .iter()
        .map(|host| one(host, loads.get(&host.id).copied().unwrap_or(0), now))
        .collect();
    let page = json!({ "hosts": hosts });
    answer::page("hosts", &frame(Some(&web.store.status().await?), "Hosts", None, page)).map(Some)
}

/// One host, by its name.
pub async fn host(web: &Web, name: &str) -> Result<Option<Answer>> {
    let Some(host) = web.store.host(name).await? else {
        return Ok(None);
    };
    let now = now_ms();
    let history = web.store.host_history(&host.id, HISTORY).await?;
    let (done, working): (Vec<&HostAttempt>, Vec<&HostAttempt>) =
        history.iter().partition(|attempt| attempt.finished_at.is_some());
    let page = json!({
        "host": one(&host, working.len() as i64, now),
        "added": words::time(host.added_at, now),
        "working": working.iter().map(|attempt| entry(attempt, now)).collect::<Vec<_>>(),
        "done": done.iter().map(|attempt| entry(attempt, now)).collect::<Vec<_>>(),
    });
    let title = format!("Host {}", host.name);
    answer::page("host", &frame(Some(&web.store.status().await?), title, None, page)).map(Some)
}

/// A host as the templates have it. The owner's address is for maintainers, not for a page.
fn one(host: &HostRow, working: i64, now: i64) -> Value {
    let offer = host.offer();
    json!({
        "name": host.name,
        "badge": badge(host, now),
        "builds": host.builds == 1,
        "working": working,
        "slots": offer.as_ref().map(|offer| offer.slots),
        "platform": offer.as_ref().map(|offer| offer.platform.clone()),
        "version": offer.as_ref().map(|offer| offer.version.clone()),
        "says": offer.as_ref().map(says),
        "pause": offer.as_ref().and_then(|offer| offer.pause.clone()),
        "seen": host.seen_at.map(|at| words::time(at, now)),
        "strikes": (host.strikes > 0).then_some(host.strikes),
        "rests_until": host.rests_until.filter(|until| now < *until).map(|until| words::time(until, now)),
        "told": host.flagged_at.map(|at| words::time(at, now)),
    })
}

/// What its owner gives, and to whom.
fn says(offer: &Offer) -> String {
    let all = |names: &Option<BTreeSet<String>>, what: &str| match names {
        Some(names) => format!("{what} {}", list(names)),
        None => format!("all {what}"),
    };
    let mut says = format!(
        "Takes {} and {}",
        all(&offer.projects, "projects"),
        all(&offer.branches, "branches")
    );
    if !offer.labels.is_empty() {
        says += &format!(". Has {}", list(&offer.labels));
    }
    let gives = [
        offer.cpus.map(|cpus| format!("{cpus} processors")),
        offer.memory_mib.map(|mib| format!("{mib} MiB of memory")),
    ];
    let gives: Vec<String> = gives.into_iter().flatten().collect();
    if !gives.is_empty() {
        says += &format!(". Gives a run up to {}", gives.join(" and "));
    }
    says + &offer
        .hours
        .as_ref()
        .map_or(".".to_owned(), |hours| format!(". Works {hours}."))
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn badge(host: &HostRow, now: i64) -> Badge {
    let (class, sign, word) = match (host.state(), &host.token, host.seen_at) {
        (HostState::Removed, ..) => ("skipped", "↷", "removed"),
        (HostState::Quarantined, ..) => ("fail", "✗", "quarantined"),
        (_, None, _) => ("unknown", "?", "no token"),
        (_, _, None) => ("running", "▸", "never seen"),
        (_, _, Some(at)) if now - at > SILENT_MS => ("unknown", "?", "silent"),
        (HostState::Active, ..) if host.rests_until.is_some_and(|until| now < until) => ("unknown", "?", "resting"),
        (HostState::Active, ..) if host.strikes >= STRIKES => ("running", "▸", "on trial"),
        (HostState::Draining, ..) => ("running", "▸", "draining"),
        (HostState::Active, ..) => ("pass", "✓", "active"),
    };
    Badge {
        class,
        sign,
        word: word.to_owned(),
    }
}

fn entry(attempt: &HostAttempt, now: i64) -> Value {
    let (what, href) = match (&attempt.run_id, &attempt.image_id) {
        (Some(run), _) => (attempt.project.clone().unwrap_or_default(), format!("/run/{run}")),
        (None, image) => (
            "image".to_owned(),
            format!("/image/{}", image.as_deref().unwrap_or_default()),
        ),
    };
    let seconds = (attempt.finished_at.unwrap_or(now) - attempt.started_at) as f64 / 1000.0;
    let revision = attempt.label.as_deref().unwrap_or(words::short(&attempt.sha));
    let variant = (attempt.variant != crate::domain::DEFAULT_VARIANT).then_some(&attempt.variant);
    json!({
        "what": what,
        "href": href,
        "revision": revision,
        "branch": attempt.branch,
        "variant": variant,
        "badge": words::named_badge(attempt.outcome.as_deref()),
        "began": words::time(attempt.started_at, now),
        "took": words::duration(seconds),
    })
}
