//! The pages of hosts: all hosts, and one host with its running and finished jobs.

use super::error::{Error, HandlerResult};
use super::frame;
use super::route::Web;
use super::template::Template;
use super::wording::{self, Badge, Time};
use crate::clock::now;
use crate::domain::id::ImageId;
use crate::domain::skew::skew;
use crate::domain::state::Repetition;
use crate::domain::time::Timestamp;
use crate::store::hosts::HostRow;
use crate::store::repetitions::FirstResultRow;
use crate::store::views::HostAttempt;
use serde::Serialize;

/// The number of attempts on the page of a host.
const HISTORY: i64 = 100;
/// The most first results of a new host that its page counts.
const FIRST_RESULTS: i64 = 1_000;

#[derive(Default, Serialize)]
pub struct HostsPage {
    pub hosts: Vec<HostLine>,
}

impl Template for HostsPage {
    const NAME: &'static str = "hosts";
}

#[derive(Default, Serialize)]
pub struct HostPage {
    pub host: HostLine,
    pub added: Time,
    /// The repetitions of the first results. `None` if none had to be repeated and results do not count alone.
    pub first_results: Option<FirstResultsView>,
    pub running: Vec<AttemptLine>,
    pub finished: Vec<AttemptLine>,
}

impl Template for HostPage {
    const NAME: &'static str = "host";
}

/// A host on a page. Omits the owner's address, which only operators may see.
#[derive(Default, Serialize)]
pub struct HostLine {
    pub name: String,
    pub badge: Badge,
    pub builds: bool,
    /// The number of jobs in progress.
    pub running: i64,
    /// The number of slots. Like the next three fields, `None` until the host has reported its capabilities.
    pub slots: Option<u32>,
    pub platform: Option<String>,
    pub version: Option<String>,
    pub policy: Option<String>,
    /// Why the host takes no jobs at the moment.
    pub pause: Option<String>,
    /// The clock offset as text, such as `3 h 0 min ahead of the coordinator's`.
    pub clock: Option<String>,
    pub seen: Option<Time>,
    /// The number of consecutive infrastructure failures. `None` if the last job did not fail in this way.
    pub consecutive_failures: Option<i64>,
    pub backoff_until: Option<Time>,
    /// When the owner was notified that the host is silent.
    pub silence_reported: Option<Time>,
}

/// The repetitions of a new host's first results on other hosts.
#[derive(Default, Serialize)]
pub struct FirstResultsView {
    pub is_new: bool,
    pub agreed: usize,
    pub awaited: usize,
    /// Whether results count although no other host could repeat them.
    pub counts_alone: bool,
    /// The number of results that do not count, because their repetition failed or the host had too many.
    pub unrepeated: usize,
    /// The runs for which another host had another result.
    pub disagreed: Vec<RunLink>,
}

#[derive(Default, Serialize)]
pub struct RunLink {
    pub run: String,
    pub project: String,
}

#[derive(Default, Serialize)]
pub struct AttemptLine {
    pub what: String,
    pub href: String,
    pub revision: String,
    pub branch: String,
    pub variant: Option<String>,
    pub badge: Badge,
    pub started: Time,
    pub duration: String,
}

pub async fn all(web: Web) -> HandlerResult {
    let loads = web.store.host_loads().await?;
    let now = now();
    let hosts = web.store.hosts().await?;
    let views = hosts
        .iter()
        .map(|host| host_view(host, loads.get(&host.id).copied().unwrap_or(0), now));
    let page = HostsPage { hosts: views.collect() };
    frame::respond(&web, "Hosts", page).await
}

pub async fn page(name: String, web: Web) -> HandlerResult {
    let host = web.store.host(&name).await?.ok_or_else(Error::not_found)?;
    let now = now();
    let history = web.store.host_history(&host.id, HISTORY).await?;
    let (finished, running): (Vec<&HostAttempt>, Vec<&HostAttempt>) =
        history.iter().partition(|attempt| attempt.finished_at.is_some());
    let first_results = web
        .store
        .first_results(web.store.pool(), &host.id, FIRST_RESULTS)
        .await?;
    let lines = |attempts: &[&HostAttempt]| attempts.iter().map(|attempt| line(attempt, now)).collect();
    let page = HostPage {
        host: host_view(&host, running.len() as i64, now),
        added: wording::time(host.added_at, now),
        first_results: first_results_view(&host, &first_results, web.store.counts_alone(&host.id).await?),
        running: lines(&running),
        finished: lines(&finished),
    };
    frame::respond(&web, format!("Host {}", host.name), page).await
}

fn host_view(host: &HostRow, running: i64, now: Timestamp) -> HostLine {
    let capabilities = host.capabilities.clone();
    let time = |at: Timestamp| wording::time(at, now);
    HostLine {
        name: host.name.clone(),
        badge: wording::host_badge(host, now),
        builds: host.builds,
        running,
        policy: capabilities.as_ref().map(wording::policy),
        slots: capabilities.as_ref().map(|capabilities| capabilities.slots),
        pause: capabilities
            .as_ref()
            .and_then(|capabilities| capabilities.pause.clone()),
        clock: host.clock_offset_ms.and_then(skew),
        platform: capabilities.as_ref().map(|capabilities| capabilities.platform.clone()),
        version: capabilities.map(|capabilities| capabilities.version),
        seen: host.seen_at.map(time),
        consecutive_failures: Some(host.consecutive_failures).filter(|failures| *failures > 0),
        backoff_until: host.backoff_until.filter(|until| now < *until).map(time),
        silence_reported: host.silence_reported_at.map(time),
    }
}

fn first_results_view(host: &HostRow, results: &[FirstResultRow], counts_alone: bool) -> Option<FirstResultsView> {
    let with = |wanted| results.iter().filter(move |result| result.repetition == wanted);
    let link = |result: &FirstResultRow| RunLink {
        run: result.run_id.to_string(),
        project: result.project.clone(),
    };
    (counts_alone || !results.is_empty()).then(|| FirstResultsView {
        is_new: host.is_new(),
        agreed: with(Repetition::Agreed).count(),
        awaited: with(Repetition::Awaited).count(),
        counts_alone,
        unrepeated: with(Repetition::Unrepeated).count(),
        disagreed: with(Repetition::Disagreed).map(link).collect(),
    })
}

pub fn line(attempt: &HostAttempt, now: Timestamp) -> AttemptLine {
    let (what, href) = match (&attempt.run_id, &attempt.image_id) {
        (Some(run), _) => (attempt.project.clone().unwrap_or_default(), format!("/run/{run}")),
        (None, image) => (
            "image".to_owned(),
            format!("/image/{}", image.as_ref().map(ImageId::as_str).unwrap_or_default()),
        ),
    };
    let seconds = (attempt.finished_at.unwrap_or(now) - attempt.started_at) as f64 / 1000.0;
    let revision = attempt.label.as_deref().unwrap_or(wording::short(&attempt.sha));
    AttemptLine {
        what,
        href,
        revision: revision.to_owned(),
        branch: attempt.branch.clone(),
        variant: wording::unusual_variant(&attempt.variant),
        badge: wording::named_badge(attempt.outcome.as_deref()),
        started: wording::time(attempt.started_at, now),
        duration: wording::duration(seconds),
    }
}
