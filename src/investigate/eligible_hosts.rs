//! Finds the hosts that can make the runs of an investigation.

use super::context::Context;
use super::run_requests::Requests;
use crate::domain::host::{HostState, stored_mib};
use crate::domain::id::HostId;
use crate::domain::job::{JobSpec, RunSpec};
use crate::domain::state::JobKind;
use crate::domain::waiting::ONLINE_MS;
use crate::queue::fits;
use crate::store::claims::{JobGroup, Taker};
use crate::store::hosts::HostRow;
use crate::store::results::{Candidate, CandidateImage};
use anyhow::Result;

/// The most slots that an investigation uses at a time.
const SLOTS_MOST: usize = 16;

/// A host that called within this many milliseconds may come back.
pub const NO_HOST_MS: i64 = 24 * 3_600_000;

/// The hosts that can make the runs of an investigation.
pub struct EligibleHosts {
    /// The hosts, each as often as it has slots: first each host once, then the second slots.
    pub slots: Vec<HostId>,
    /// Whether new hosts are left out, because others can make the runs.
    pub are_proven: bool,
}

/// Returns the hosts that may make the runs and called within `seen_within_ms`, except hosts that back off or pause.
/// New hosts are among them only if no other host can make the runs: the results of a new host prove nothing until
/// others have repeated some.
pub async fn eligible_hosts(
    requests: &Requests<'_>,
    candidates: &[Candidate],
    seen_within_ms: i64,
) -> Result<EligibleHosts> {
    let context = requests.context;
    // a host that may not build can work only with images of a registry
    let is_pullable =
        |candidate: &Candidate| !matches!(candidate.image, CandidateImage::Ready { is_pushed: false, .. });
    let pulls = context.has_registry && candidates.iter().all(is_pullable);
    let Some(typical) = typical_run(requests).await? else {
        return Ok(EligibleHosts {
            slots: Vec::new(),
            are_proven: false,
        });
    };
    let branch = &requests.investigated.watched().branch;
    let group = group_of(&typical, branch, &requests.investigated.row.series.platform);
    let mut hosts = fitting_hosts(context, &group, pulls).await?;
    let are_proven = context.settings.first_results > 0 && hosts.iter().any(|host| is_proven_lately(context, host));
    if are_proven {
        hosts.retain(|host| !host.is_new());
    }
    let is_ready = |host: &&HostRow| was_seen(context, host, seen_within_ms) && takes_jobs(context, host);
    let slots_of = |host: &HostRow| {
        host.capabilities
            .as_ref()
            .map_or(1, |capabilities| capabilities.slots.max(1))
    };
    let ready: Vec<(&HostRow, u32)> = hosts
        .iter()
        .filter(is_ready)
        .map(|host| (host, slots_of(host)))
        .collect();
    let mut slots = Vec::new();
    for slot in 0..ready.iter().map(|(_, slots)| *slots).max().unwrap_or(0) {
        let with_slot = ready.iter().filter(|(_, slots)| slot < *slots);
        slots.extend(with_slot.map(|(host, _)| host.id.clone()));
    }
    slots.truncate(SLOTS_MOST);
    Ok(EligibleHosts { slots, are_proven })
}

/// Returns whether a host that is not new can make a run, now or when it comes back.
pub async fn has_proven_host(context: &Context<'_>, run: &RunSpec, platform: &str) -> Result<bool> {
    let group = group_of(run, &run.image.build.branch, platform);
    let hosts = fitting_hosts(context, &group, context.has_registry).await?;
    Ok(hosts.iter().any(|host| is_proven_lately(context, host)))
}

/// Returns an online host that may build, neither backs off nor pauses, and can make a run, or `None` if there is none. The
/// coordinator trusts the lock that such a host reports.
pub async fn trusted_host(context: &Context<'_>, run: &RunSpec, platform: &str) -> Result<Option<HostId>> {
    let group = group_of(run, &run.image.build.branch, platform);
    let mut hosts = fitting_hosts(context, &group, context.has_registry).await?;
    hosts.retain(|host| host.builds && takes_jobs(context, host) && was_seen(context, host, ONLINE_MS));
    Ok(hosts.pop().map(|host| host.id))
}

/// Returns whether a host neither backs off nor pauses.
fn takes_jobs(context: &Context<'_>, host: &HostRow) -> bool {
    let backs_off = host.backoff_until.is_some_and(|until| context.now < until);
    let pauses = host
        .capabilities
        .as_ref()
        .is_some_and(|capabilities| capabilities.pause.is_some());
    !backs_off && !pauses
}

fn is_proven_lately(context: &Context<'_>, host: &HostRow) -> bool {
    !host.is_new() && was_seen(context, host, NO_HOST_MS)
}

fn was_seen(context: &Context<'_>, host: &HostRow, within_ms: i64) -> bool {
    host.seen_at.is_some_and(|seen| context.now - seen < within_ms)
}

/// Returns the group of the jobs that make a run.
fn group_of(run: &RunSpec, branch: &str, platform: &str) -> JobGroup {
    JobGroup {
        kind: JobKind::Run,
        platform: platform.to_owned(),
        project: run.project.clone(),
        branch: branch.to_owned(),
        labels: run.labels.clone(),
        memory_mib: stored_mib(run.limits.memory.0.div_ceil(1 << 20)),
        ..JobGroup::default()
    }
}

/// Returns the active hosts, online or not, that accept the jobs of a group and can have their images. `pulls` says
/// whether images can be pulled.
async fn fitting_hosts(context: &Context<'_>, group: &JobGroup, pulls: bool) -> Result<Vec<HostRow>> {
    let mut hosts = context.store.hosts().await?;
    hosts.retain(|host| {
        let Some(capabilities) = &host.capabilities else {
            return false;
        };
        let taker = Taker {
            host: &host.id,
            builds: host.builds,
            pulls,
            most: None,
            capabilities,
        };
        host.state == HostState::Active && (host.builds || pulls) && fits(group, &taker)
    });
    Ok(hosts)
}

/// Returns a run that has the needs of all runs: the run in which the change was seen. If the recipe has changed since,
/// it is a run by the recipe in force on the newest revision that has an image. Returns `None` if there is no such
/// revision.
async fn typical_run(requests: &Requests<'_>) -> Result<Option<Box<RunSpec>>> {
    let store = requests.context.store;
    let (row, watched) = (&requests.investigated.row, requests.investigated.watched());
    let (now, series) = (&watched.now.revision, &row.series);
    let seen = store
        .spec_on(now, &series.project, &series.variant, &row.recipe)
        .await?;
    if let Some(JobSpec::Run(run)) = seen {
        return Ok(Some(run));
    }
    let range = (watched.base.seq, watched.now.seq);
    let candidates = store.candidates(&watched.series, range).await?;
    for candidate in candidates.iter().rev() {
        if let Some(run) = requests.run_on(candidate).await? {
            return Ok(Some(run));
        }
    }
    Ok(None)
}
