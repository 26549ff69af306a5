//! Finds the hosts that can make the runs of an investigation.

use super::run_requests::Requests;
use crate::domain::host::{HostState, stored_mib};
use crate::domain::id::HostId;
use crate::domain::job::{JobSpec, RunSpec};
use crate::domain::state::JobKind;
use crate::queue::fits;
use crate::store::claims::{Group, Taker};
use crate::store::results::{Candidate, CandidateImage};
use anyhow::Result;

/// Slots that an investigation uses at most at a time.
const SLOTS_MOST: usize = 16;

/// Returns the hosts that may make the runs and called within `seen_within_ms`. A host is listed once per slot: first each
/// host once, then the second slots.
pub async fn eligible_hosts(
    requests: &Requests<'_>,
    candidates: &[Candidate],
    seen_within_ms: i64,
) -> Result<Vec<HostId>> {
    let context = requests.context;
    // a host that may not build can work only with images of a registry
    let is_pullable =
        |candidate: &Candidate| !matches!(candidate.image, CandidateImage::Ready { is_pushed: false, .. });
    let pulls = context.has_registry && candidates.iter().all(is_pullable);
    let Some(typical) = typical_run(requests).await? else {
        return Ok(Vec::new());
    };
    let series = &requests.investigated.row.series;
    let group = Group {
        kind: JobKind::Run,
        platform: series.platform.clone(),
        project: series.project.clone(),
        branch: requests.investigated.watched().branch.clone(),
        labels: typical.labels.clone(),
        memory_mib: stored_mib(typical.limits.memory.0.div_ceil(1 << 20)),
        ..Group::default()
    };
    let mut slots = Vec::new();
    for host in &context.store.hosts().await? {
        let is_online = host.seen_at.is_some_and(|seen| context.now - seen < seen_within_ms);
        let backs_off = host.backoff_until.is_some_and(|until| context.now < until);
        let Some(capabilities) = host
            .capabilities
            .as_ref()
            .filter(|capabilities| capabilities.pause.is_none())
        else {
            continue;
        };
        let taker = Taker {
            host: &host.id,
            builds: host.builds,
            pulls,
            most: None,
            capabilities,
        };
        let has_images = taker.builds || pulls;
        if is_online && !backs_off && host.state == HostState::Active && has_images && fits(&group, &taker) {
            slots.push((host.id.clone(), capabilities.slots.max(1)));
        }
    }
    let mut hosts = Vec::new();
    for slot in 0..slots.iter().map(|(_, slots)| *slots).max().unwrap_or(0) {
        let with_slot = slots.iter().filter(|(_, slots)| slot < *slots);
        hosts.extend(with_slot.map(|(host, _)| host.clone()));
    }
    hosts.truncate(SLOTS_MOST);
    Ok(hosts)
}

/// Returns a run that shows what all runs require of a host: the one in which the change was seen. If the recipe has
/// changed since, it is a run by the recipe in force on the newest revision that has an image.
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
