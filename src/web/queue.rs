//! The page of the queue: what runs, what waits, why, and when it will be done.

use super::error::HandlerResult;
use super::frame::{Frame, Here};
use super::hosts::{self, AttemptLine};
use super::route::Web;
use super::template::Template;
use super::wording::{self, Time};
use crate::clock::now;
use crate::domain::state::JobKind;
use crate::domain::time::Timestamp;
use crate::domain::waiting::count_text;
use crate::store::views::{GroupForecast, QueueForecast, RunningJob};
use serde::Serialize;

/// The most jobs in progress, and the most groups, that the page lists.
const LISTED: usize = 100;

/// Seconds after which the page is read again.
const REFRESH: u32 = 30;

#[derive(Default, Serialize)]
pub struct QueuePage {
    /// The fleet, and when the queue will be done.
    pub sentence: String,
    pub running: Vec<RunningLine>,
    /// How many jobs in progress are not listed.
    pub more_running: usize,
    pub groups: Vec<GroupLine>,
    /// How many groups are not listed.
    pub more_groups: usize,
}

impl Template for QueuePage {
    const NAME: &'static str = "queue";
}

#[derive(Default, Serialize)]
pub struct RunningLine {
    pub attempt: AttemptLine,
    /// The host's name, or its id if it is not registered.
    pub host: String,
    pub registered: bool,
    pub ends: Option<Time>,
}

/// Jobs of one project, or builds, on one branch.
#[derive(Default, Serialize)]
pub struct GroupLine {
    /// The project. `None` for image builds.
    pub project: Option<String>,
    pub branch: String,
    pub variant: Option<String>,
    /// Whether investigations or people asked for these jobs.
    pub reruns: bool,
    /// `17`, or `more than 1000`.
    pub jobs: String,
    /// How long one job takes. `None` if none has ended yet.
    pub takes: Option<String>,
    pub reason: String,
    pub ends: Option<Time>,
}

pub async fn page(web: Web) -> HandlerResult {
    let now = now();
    let queue = web.store.queue_forecast(now).await?;
    let status = web.store.status().await?;
    let page = QueuePage {
        sentence: sentence(&queue, now),
        running: queue.running.iter().take(LISTED).map(|job| running(job, now)).collect(),
        more_running: queue.running.len().saturating_sub(LISTED),
        groups: queue.groups.iter().take(LISTED).map(|line| group(line, now)).collect(),
        more_groups: queue.groups.len().saturating_sub(LISTED),
    };
    let is_busy = !(queue.running.is_empty() && queue.groups.is_empty());
    Frame::new(Some(&status), "Queue", Here::None, page)
        .refreshed(is_busy.then_some(REFRESH))
        .respond()
}

fn sentence(queue: &QueueForecast, now: Timestamp) -> String {
    let mut sentences = vec![wording::fleet(&queue.fleet)];
    if let Some(end) = queue.ends_at() {
        let about = if queue.may_end_later() { "at least" } else { "about" };
        let left = wording::brief_duration((end - now) as f64 / 1000.0);
        sentences.push(format!("If nothing new comes, the queue is done in {about} {left}."));
    }
    let least = if queue.may_have_more_stuck() { "At least " } else { "" };
    match queue.stuck() {
        0 => {}
        1 => sentences.push("1 job waits for something that no host gives it at present.".to_owned()),
        jobs => sentences.push(format!(
            "{least}{jobs} jobs wait for something that no host gives them at present."
        )),
    }
    sentences.join(" ")
}

fn running(job: &RunningJob, now: Timestamp) -> RunningLine {
    RunningLine {
        attempt: hosts::line(&job.attempt, now),
        host: job.host_name.clone().unwrap_or_else(|| job.host.to_string()),
        registered: job.host_name.is_some(),
        ends: job.ends_at().map(|end| wording::time(end.max(now), now)),
    }
}

fn group(line: &GroupForecast, now: Timestamp) -> GroupLine {
    let group = &line.group;
    GroupLine {
        project: (group.kind == JobKind::Run).then(|| group.project.clone()),
        branch: group.branch.clone(),
        variant: wording::unusual_variant(&group.variant),
        reruns: group.reruns,
        jobs: count_text(line.jobs),
        takes: (group.expected_ms > 0).then(|| wording::duration(group.expected_ms as f64 / 1000.0)),
        reason: line.reason.to_string(),
        ends: line.ends_at.map(|end| wording::time(end, now)),
    }
}
