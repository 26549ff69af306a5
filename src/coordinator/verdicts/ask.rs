//! Asks for the runs that inquiries want, and takes their answers.

use super::super::Coordinator;
use super::broken::Broken;
use super::hosts::{THERE_MS, hosts};
use super::named;
use super::round::{Next, Round};
use super::settle;
use crate::domain::host::only;
use crate::domain::outcome::{Blame, Outcome};
use crate::recipe::Registered;
use crate::store::inquiries::{InquiryRow, ProbeRow};
use crate::store::judge::Step;
use crate::verdict::{Answer, Change, Inquiry, Lock, NotCpython, Ran, Subject, differ};
use anyhow::Result;

/// A run waits so long for a host that is away before another one is asked.
const PATIENCE_MS: i64 = 300_000;
/// Runs of an inquiry that the machinery may fail, or a person end, before it is given up.
const VOID_MOST: usize = 20;

/// An inquiry that no host can work on for so long is given up.
const NOBODY_MS: i64 = 24 * 3_600_000;
/// What the machinery kept from being answered is looked at again after so long.
const REST_MS: i64 = 24 * 3_600_000;

/// Returns how many jobs it added.
pub async fn tick(coordinator: &Coordinator, projects: &[Registered], now: i64) -> Result<usize> {
    let (mut added, mut places) = (0, coordinator.settings.verdicts.at_once);
    let open = coordinator.store.open_inquiries().await?;
    let ready = open
        .iter()
        .filter(|inquiry| !open.iter().any(|elder| is_ahead(elder, inquiry)));
    for inquiry in ready {
        if places == 0 {
            break;
        }
        match ask(coordinator, projects, inquiry, now).await {
            Ok(Some(more)) => {
                added += more;
                places -= 1;
            }
            Ok(None) => {}
            // the others are not to wait for one that can't go on
            Err(error) => tracing::error!(inquiry = inquiry.id, error = format!("{error:#}"), "failed to ask"),
        }
    }
    Ok(added)
}

/// Whether another project that fails in the same way is looked into first: what that finds is a hint.
fn is_ahead(elder: &InquiryRow, inquiry: &InquiryRow) -> bool {
    let place = |row: &InquiryRow| (row.branch_id.clone(), row.variant.clone(), row.platform.clone());
    elder.id < inquiry.id
        && elder.by_hand == 0
        && place(elder) == place(inquiry)
        && elder.project != inquiry.project
        && elder.change == inquiry.change
        && elder.signature.is_some()
        && elder.signature == inquiry.signature
        && elder.base_seq < inquiry.now_seq
        && inquiry.base_seq < elder.now_seq
}

/// The check-in that was proved to do the same to another project.
async fn hint(coordinator: &Coordinator, inquiry: &InquiryRow, steps: &[Step]) -> Result<Option<String>> {
    if inquiry.signature.is_none() {
        return Ok(None);
    }
    let store = &coordinator.store;
    let known = store.open_breakages(store.pool()).await?;
    let alike = known.into_iter().filter(|breakage| {
        (&breakage.variant, &breakage.platform) == (&inquiry.variant, &inquiry.platform)
            && breakage.project != inquiry.project
            && breakage.signature == inquiry.signature
    });
    let mut here = alike.filter_map(|breakage| {
        let culprit = match inquiry.change() {
            Change::Broke => Some(&breakage.bad_id).filter(|_| breakage.exact == 1),
            Change::Fixed => breakage.fixed_id.as_ref(),
        }?;
        // where a merge brought it, on the branch it is the merge
        let is_merge = |step: &&Step| {
            inquiry.change() == Change::Broke && breakage.branch_id == inquiry.branch_id && step.seq == breakage.bad_seq
        };
        let by_id = steps.iter().find(|step| step.revision_id == *culprit);
        by_id
            .or_else(|| steps.iter().find(is_merge))
            .map(|step| step.revision_id.clone())
    });
    Ok(here.next_back())
}

/// Returns how many jobs it added; None: it is ended, or nobody can go on with it now.
async fn ask(
    coordinator: &Coordinator,
    projects: &[Registered],
    inquiry: &InquiryRow,
    now: i64,
) -> Result<Option<usize>> {
    let Coordinator { store, queue, .. } = coordinator;
    let probes = store.probes(&inquiry.id).await?;
    let waits: Vec<&ProbeRow> = probes.iter().filter(|probe| probe.state != "finished").collect();
    let Some(project) = projects.iter().find(|project| project.digest == inquiry.recipe) else {
        for probe in waits {
            queue.cancel_queued(&probe.job_id, now).await?;
        }
        match named(projects, &inquiry.project).filter(|_| inquiry.by_hand == 0) {
            Some(known) => settle::anew(coordinator, inquiry, &known.digest, now).await?,
            None => settle::give_up(coordinator, inquiry, "its recipe has changed since", now, now).await?,
        }
        return Ok(None);
    };
    let stretch = (inquiry.base_seq, inquiry.now_seq);
    let steps = store.steps(&inquiry.column(), stretch).await?;
    let round = Round {
        coordinator,
        project,
        inquiry,
        now,
    };
    if !waits.is_empty() {
        let goes_on = free(&round, &steps, &waits).await?;
        return Ok(goes_on.then_some(0));
    }
    let ends = [&inquiry.base_id, &inquiry.now_id];
    if ends
        .iter()
        .any(|end| !steps.iter().any(|step| step.revision_id == **end))
    {
        settle::give_up(coordinator, inquiry, "a check-in of it has left the branch", now, now).await?;
        return Ok(None);
    }
    let Some((ran, void)) = ran(coordinator, &probes, now).await? else {
        return Ok(Some(0)); // the report of its tests comes
    };
    let failed = "the machinery failed too often";
    if void > VOID_MOST {
        settle::give_up(coordinator, inquiry, failed, now + REST_MS, now).await?;
        return Ok(None);
    }
    let there = hosts(&round, &steps, THERE_MS).await?;
    if there.is_empty() {
        let is_old = now - inquiry.opened_at > NOBODY_MS;
        if is_old && hosts(&round, &steps, NOBODY_MS).await?.is_empty() {
            let nobody = "there was no host that can run it";
            settle::give_up(coordinator, inquiry, nobody, now + REST_MS, now).await?;
        }
        return Ok(None); // somebody comes
    }
    let question = Inquiry {
        change: inquiry.change(),
        revisions: steps.iter().map(|step| step.revision_id.clone()).collect(),
        subjects: inquiry.subjects()?,
        differ: differ(inquiry.base_lock.as_deref(), inquiry.now_lock.as_deref()),
        hosts: there,
        rate: rate(coordinator, inquiry).await?,
        noisy: noisy(coordinator, inquiry).await?,
        hint: hint(coordinator, inquiry, &steps).await?,
    };
    match round.next(&question, &steps, ran).await? {
        Next::Ask(progress, runs) => round.add(&progress, runs).await.map(Some),
        Next::Wait(builds) => Ok(Some(builds)),
        Next::Stuck => {
            settle::give_up(coordinator, inquiry, failed, now + REST_MS, now).await?;
            Ok(None)
        }
        Next::Answered(findings) => {
            settle::settle(coordinator, inquiry, &probes, &steps, findings, now).await?;
            Ok(None)
        }
    }
}

/// How often it failed what is looked for the repair of, where that was not always.
async fn rate(coordinator: &Coordinator, inquiry: &InquiryRow) -> Result<Option<f64>> {
    if inquiry.change() == Change::Broke {
        return Ok(None);
    }
    let broken = Broken::read(coordinator, &inquiry.column(), i64::MAX).await?;
    let subjects = inquiry.subjects()?;
    let rates = subjects.iter().filter_map(|subject| broken.rate(subject));
    Ok(rates.filter(|rate| *rate < 1.0).reduce(f64::min))
}

/// Ends what waits for a host that is not there any more; it is asked for again elsewhere. False: there is none.
async fn free(round: &Round<'_>, steps: &[Step], waits: &[&ProbeRow]) -> Result<bool> {
    let late = |probe: &&&ProbeRow| probe.state == "queued" && round.now - probe.created_at > PATIENCE_MS;
    if !waits.iter().any(|probe| late(&probe)) {
        return Ok(true);
    }
    let hosts = hosts(round, steps, THERE_MS).await?;
    let label = |host: &String| format!("|{}|", only(host));
    let there = |probe: &ProbeRow| {
        (!probe.labels.contains("|only:") && !hosts.is_empty())
            || hosts.iter().any(|host| probe.labels.contains(&label(host)))
    };
    for probe in waits.iter().filter(late).filter(|probe| !there(probe)) {
        round.coordinator.queue.cancel_queued(&probe.job_id, round.now).await?;
    }
    Ok(!hosts.is_empty())
}

/// The runs that have ended, and how many of them say nothing. None: what some said of their tests is not there yet.
async fn ran(coordinator: &Coordinator, probes: &[ProbeRow], now: i64) -> Result<Option<(Vec<Ran>, usize)>> {
    let (mut ran, mut void) = (Vec::new(), 0);
    for probe in probes {
        let (Some(report), Some(attempt)) = (probe.report(), &probe.attempt_id) else {
            void += 1;
            continue;
        };
        if report.outcome == Outcome::Cancelled && probe.host.as_deref().is_none_or(str::is_empty) {
            continue; // no host had it: it is asked of another one
        }
        if report.outcome.blame() == Blame::Operator || report.outcome == Outcome::Cancelled {
            void += 1;
            continue;
        }
        let Some(end) = coordinator
            .results()
            .end_of(attempt, &report, probe.finished_at, now)
            .await
        else {
            return Ok(None);
        };
        ran.push(Ran {
            revision: probe.revision_id.clone(),
            lock: if probe.lock_of == "now" { Lock::Now } else { Lock::Base },
            host: probe.host.clone().unwrap_or_default(),
            end,
        });
    }
    Ok(Some((ran, void)))
}

/// What earlier inquiries saw to fail and pass on one image.
async fn noisy(coordinator: &Coordinator, inquiry: &InquiryRow) -> Result<Vec<Subject>> {
    let mut noisy = Vec::new();
    for earlier in coordinator.store.inquiries_about(&inquiry.column()).await? {
        let findings = earlier.findings()?.into_iter();
        noisy.extend(
            findings
                .filter(|finding| {
                    matches!(
                        finding.answer,
                        Answer::NotCpython(NotCpython::Flaky { .. } | NotCpython::NotSeenAgain)
                    )
                })
                .flat_map(|finding| finding.subjects),
        );
    }
    Ok(noisy)
}
