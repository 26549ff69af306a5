//! Who can run what an inquiry asks for.

use super::round::Round;
use crate::domain::host::HostState;
use crate::domain::job::{JobSpec, RunSpec};
use crate::queue::fits;
use crate::store::claims::{Group, Taker, mib};
use crate::store::inquiries::InquiryRow;
use crate::store::judge::Step;
use anyhow::Result;

/// A host that made a call since so long is there.
pub const THERE_MS: i64 = 120_000;
/// Places that are looked at at a time.
const HOSTS_MOST: usize = 16;

/// The hosts that may run it and have been there of late, each as often as it has slots.
pub async fn hosts(round: &Round<'_>, steps: &[Step], of_late_ms: i64) -> Result<Vec<String>> {
    let Round {
        coordinator,
        inquiry,
        now,
        ..
    } = *round;
    // who may not build works on what a registry has
    let mut ready = steps.iter().filter(|step| step.image_state.as_deref() == Some("ready"));
    let pulls = coordinator.settings.registry.repository().is_some() && ready.all(|step| step.pushed == 1);
    let Some(usual) = usual_run(round).await? else {
        return Ok(Vec::new());
    };
    let group = Group {
        kind: "run".to_owned(),
        platform: inquiry.platform.clone(),
        project: inquiry.project.clone(),
        branch: coordinator.watched(inquiry).await?.branch,
        labels: usual.labels.iter().map(|label| format!("|{label}|")).collect(),
        memory_mib: mib(usual.limits.memory.0.div_ceil(1 << 20)),
        ..Group::default()
    };
    let mut hosts = Vec::new();
    let known = coordinator.store.hosts().await?;
    let mut slots = Vec::new();
    for host in &known {
        let there = host.seen_at.is_some_and(|seen| now - seen < of_late_ms);
        let rests = host.rests_until.is_some_and(|until| now < until);
        let Some(offer) = host.offer().filter(|offer| offer.pause.is_none()) else {
            continue;
        };
        let taker = Taker {
            host: &host.id,
            builds: host.builds == 1,
            pulls,
            most: None,
            offer: &offer,
        };
        if there && !rests && host.state() == HostState::Active && (taker.builds || pulls) && fits(&group, &taker) {
            slots.push((host.id.clone(), offer.slots.max(1)));
        }
    }
    // one of each first, then the second slots
    for slot in 0..slots.iter().map(|(_, slots)| *slots).max().unwrap_or(0) {
        hosts.extend(
            slots
                .iter()
                .filter(|(_, slots)| slot < *slots)
                .map(|(host, _)| host.clone()),
        );
    }
    hosts.truncate(HOSTS_MOST);
    Ok(hosts)
}

/// The run in which the change was seen: what it needs of a host, others need too. Else one by the recipe that is in
/// force, on the newest check-in that has an image.
async fn usual_run(round: &Round<'_>) -> Result<Option<Box<RunSpec>>> {
    let store = &round.coordinator.store;
    let watched = round.coordinator.watched(round.inquiry).await?;
    let InquiryRow {
        project,
        variant,
        recipe,
        ..
    } = round.inquiry;
    if let Some(JobSpec::Run(run)) = store.spec_on(&watched.now_id, project, variant, recipe).await? {
        return Ok(Some(run));
    }
    let stretch = (watched.base_seq, watched.now_seq);
    let steps = store.steps(&watched.column(), stretch).await?;
    for step in steps.iter().rev() {
        if let Some(run) = round.run_on(step).await? {
            return Ok(Some(run));
        }
    }
    Ok(None)
}
