//! What an inquiry has found becomes an incident, mends one, or opens the next inquiry.

use super::super::Coordinator;
use super::evidence::{Evidence, evidence};
use super::follow::{Next, further, inside};
use super::quiet::silence_ms;
use super::record::{self, Affected, Repair};
use crate::store::incidents::Mended;
use crate::store::inquiries::{InquiryRow, ProbeRow};
use crate::store::judge::Step;
use crate::store::revisions::Revision;
use crate::verdict::{Answer, Change, Finding, NotCpython, Subject};
use anyhow::{Context, Result};

/// A change that was found, and where it came from.
pub struct Found {
    pub subjects: Vec<Subject>,
    pub good: Revision,
    pub bad: Revision,
    /// Their places on the branch that people watch: of what a merge brought, those of the merge and the one before it.
    pub places: (i64, i64),
    pub exact: bool,
    pub reason: Option<String>,
    pub rate: Option<f64>,
}

/// What comes of an inquiry.
#[derive(Default)]
struct Conclusion {
    findings: Vec<Finding>,
    /// Inquiries that follow.
    follow: Vec<(Next, Vec<Subject>)>,
    founds: Vec<(Found, Evidence)>,
    /// What passes again without CPython's doing, and why.
    mended: Vec<(Vec<Subject>, String)>,
    /// Until when what it found to be nobody's raises no suspicion.
    quiet_until: Option<i64>,
}

/// Writes an answer down, with what follows from it, in one transaction.
pub async fn settle(
    coordinator: &Coordinator,
    inquiry: &InquiryRow,
    probes: &[ProbeRow],
    steps: &[Step],
    findings: Vec<Finding>,
    now: i64,
) -> Result<()> {
    let outer = outer(coordinator, inquiry).await?;
    let mut end = Conclusion::default();
    let mut founds = Vec::new();
    for finding in &findings {
        match &finding.answer {
            Answer::Culprit { place, rate } => {
                let mut found = found(coordinator, steps, finding, (place - 1, *place), *rate).await?;
                if inquiry.within.is_none()
                    && let Some(inner) = inside(coordinator, inquiry, &found, now).await?
                {
                    end.follow.push((inner, found.subjects));
                    continue;
                }
                if !is_parent(coordinator, &found).await {
                    found.exact = false;
                    found.reason = Some("lines of history cross there".to_owned());
                }
                founds.push(found);
            }
            Answer::Range { good, bad, why, rate } => {
                let mut found = found(coordinator, steps, finding, (*good, *bad), *rate).await?;
                found.exact = false;
                found.reason = Some(why.told(inquiry.change()));
                founds.push(found);
            }
            Answer::NotCpython(NotCpython::Flaky { .. }) if inquiry.change() == Change::Broke => {
                match further(coordinator, inquiry, &finding.subjects, now).await? {
                    Some(further) => end.follow.extend(further),
                    None => return Ok(()), // soon
                }
            }
            Answer::NotCpython(
                what @ (NotCpython::DependencyChanged | NotCpython::ProjectChanged | NotCpython::FailsOnBoth),
            ) if inquiry.change() == Change::Fixed => {
                let why = format!("mended, and not by CPython: {}", what.told(Change::Fixed));
                end.mended.push((finding.subjects.clone(), why));
            }
            Answer::NotCpython(_) | Answer::Inconclusive(_) => {}
        }
    }
    let mut probes = probes.to_vec();
    if let Some((outer, steps)) = &outer {
        let mut still_there = Vec::new();
        for mut found in founds {
            if let Some((place, _)) = merge_of(outer, steps, &found.subjects)? {
                found.places = places(steps, place);
                still_there.push(found);
            }
        }
        founds = still_there;
        founds.extend(the_merge(coordinator, outer, steps, &findings).await?);
        probes.splice(0..0, coordinator.store.probes(&outer.id).await?);
    }
    for found in founds {
        let evidence = evidence(coordinator, &probes, &found).await?;
        end.founds.push((found, evidence));
    }
    let silences = findings.iter().filter_map(|finding| silence_ms(&finding.answer));
    end.quiet_until = silences.max().map(|silence| now + silence);
    end.findings = findings;
    conclude(coordinator, inquiry, end, now).await
}

/// Ends an inquiry without an answer; it is looked at again at a time.
pub async fn give_up(
    coordinator: &Coordinator,
    inquiry: &InquiryRow,
    reason: &str,
    quiet_until: i64,
    now: i64,
) -> Result<()> {
    let mut end = Conclusion {
        findings: no_answer(inquiry, reason)?,
        quiet_until: Some(quiet_until),
        ..Conclusion::default()
    };
    // of a merge it is known that it was that
    if let Some((outer, steps)) = outer(coordinator, inquiry).await? {
        let probes = coordinator.store.probes(&outer.id).await?;
        for found in the_merge(coordinator, &outer, &steps, &end.findings).await? {
            let evidence = evidence(coordinator, &probes, &found).await?;
            end.founds.push((found, evidence));
        }
    }
    conclude(coordinator, inquiry, end, now).await
}

/// The same question with the recipe that is in force now.
pub async fn anew(coordinator: &Coordinator, inquiry: &InquiryRow, recipe: &str, now: i64) -> Result<()> {
    let next = Next {
        branch_id: inquiry.branch_id.clone(),
        recipe: recipe.to_owned(),
        base: (inquiry.base_id.clone(), inquiry.base_seq),
        now: (inquiry.now_id.clone(), inquiry.now_seq),
        // it may need others
        base_lock: None,
        now_lock: None,
        within: inquiry.within.clone(),
    };
    let end = Conclusion {
        findings: no_answer(inquiry, "its recipe has changed; it is asked anew")?,
        follow: vec![(next, inquiry.subjects()?)],
        ..Conclusion::default()
    };
    conclude(coordinator, inquiry, end, now).await
}

fn no_answer(inquiry: &InquiryRow, reason: &str) -> Result<Vec<Finding>> {
    Ok(vec![Finding {
        subjects: inquiry.subjects()?,
        answer: Answer::Inconclusive(reason.to_owned()),
    }])
}

async fn conclude(coordinator: &Coordinator, inquiry: &InquiryRow, end: Conclusion, now: i64) -> Result<()> {
    let store = &coordinator.store;
    let watched = coordinator.watched(inquiry).await?;
    let affected = Affected::of(inquiry, &watched);
    let by_hand = inquiry.by_hand == 1;
    let mut tx = store.begin().await?;
    let findings = serde_json::to_string(&end.findings)?;
    // within a merge nothing is left open: it is the merge
    let quiet_until = end.quiet_until.filter(|_| !by_hand && inquiry.within.is_none());
    if !store
        .answer_inquiry(&mut tx, &inquiry.id, &findings, quiet_until, now)
        .await?
    {
        tx.rollback().await?;
        return Ok(());
    }
    for (new, subjects) in &end.follow {
        new.open(coordinator, &mut tx, inquiry, subjects, now).await?;
    }
    for (found, evidence) in end.founds.iter().filter(|_| !by_hand) {
        match inquiry.change() {
            Change::Broke => record::broke(store, &mut tx, &affected, found, evidence, now).await?,
            Change::Fixed => record::fixed(store, &mut tx, &affected, found, now).await?,
        }
    }
    for (subjects, did) in end.mended.iter().filter(|_| !by_hand) {
        let repair = Repair {
            subjects,
            before: Some(watched.now_seq),
            by: Mended::Otherwise(did),
            did,
        };
        record::mend(store, &mut tx, &affected, &repair, now).await?;
    }
    let is_nobodys = |finding: &Finding| {
        matches!(
            finding.answer,
            Answer::NotCpython(NotCpython::FailsOnBoth | NotCpython::DependencyChanged | NotCpython::ProjectChanged)
        )
    };
    let is_known_now = !end.founds.is_empty() || end.findings.iter().any(is_nobodys);
    if !by_hand {
        // what was suspected meanwhile waited for this answer
        let column = watched.column();
        store.judged_since_are_news(&mut tx, &column, watched.opened_at).await?;
    }
    if is_known_now && !by_hand {
        // what came meanwhile means something else, now that this is known
        let since = watched.base_seq + 1..=i64::MAX;
        store.results_are_news(&mut tx, &watched.column(), since).await?;
    }
    tx.commit().await?;
    for Finding { subjects, answer } in &end.findings {
        let about = subjects.first().map(ToString::to_string);
        tracing::info!(
            project = inquiry.project,
            about,
            ?answer,
            inquiry = inquiry.id,
            "an inquiry is answered"
        );
    }
    coordinator.nudge();
    Ok(())
}

/// The inquiry within whose answer one goes on, and that one's check-ins.
async fn outer(coordinator: &Coordinator, inquiry: &InquiryRow) -> Result<Option<(InquiryRow, Vec<Step>)>> {
    if inquiry.within.is_none() {
        return Ok(None);
    }
    let outer = coordinator.watched(inquiry).await?;
    let stretch = (outer.base_seq, outer.now_seq);
    let steps = coordinator.store.steps(&outer.column(), stretch).await?;
    Ok(Some((outer, steps)))
}

/// The place of the merge that is to blame for all of these, in the outer one's stretch, and how often it fails since.
/// None: it has left the branch.
fn merge_of(outer: &InquiryRow, steps: &[Step], subjects: &[Subject]) -> Result<Option<(usize, Option<f64>)>> {
    let findings = outer.findings()?;
    let of = |known: &&Finding| subjects.iter().all(|subject| known.subjects.contains(subject));
    Ok(match findings.iter().find(of).map(|known| &known.answer) {
        // what leaves a branch leaves its end
        Some(Answer::Culprit { place, rate }) if *place < steps.len() => Some((*place, *rate)),
        _ => None,
    })
}

/// The places on the branch of the check-in before one, and of that one.
fn places(steps: &[Step], place: usize) -> (i64, i64) {
    let at = |place: usize| steps.get(place).map_or(0, |step| step.seq);
    (at(place - 1), at(place))
}

async fn found(
    coordinator: &Coordinator,
    steps: &[Step],
    finding: &Finding,
    (good, bad): (usize, usize),
    rate: Option<f64>,
) -> Result<Found> {
    let at = async |place: usize| -> Result<Revision> {
        let step = steps.get(place).context("an answer outside of its stretch")?;
        coordinator
            .store
            .revision(&step.revision_id)
            .await?
            .context("no such check-in")
    };
    let (good, bad) = (at(good).await?, at(bad).await?);
    Ok(Found {
        subjects: finding.subjects.clone(),
        places: (good.seq, bad.seq),
        good,
        bad,
        exact: true,
        reason: None,
        rate,
    })
}

/// Where lines cross, the check-in before it in the list is not the one that it was made on.
async fn is_parent(coordinator: &Coordinator, found: &Found) -> bool {
    match coordinator.mirror.check_in(&found.bad.sha).await {
        Ok(check_in) => check_in.parent.is_none_or(|parent| parent == found.good.sha),
        Err(_) => true, // the branch's own order is all that there is
    }
}

/// What was not found among the check-ins that a merge brought is the merge's own.
async fn the_merge(
    coordinator: &Coordinator,
    outer: &InquiryRow,
    steps: &[Step],
    findings: &[Finding],
) -> Result<Vec<Found>> {
    let mut founds = Vec::new();
    for finding in findings {
        if let Answer::Culprit { .. } | Answer::Range { .. } = finding.answer {
            continue;
        }
        if let Some((place, rate)) = merge_of(outer, steps, &finding.subjects)? {
            founds.push(found(coordinator, steps, finding, (place - 1, place), rate).await?);
        }
    }
    Ok(founds)
}
