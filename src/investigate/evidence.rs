//! Collects the evidence of a change: an attempt on either side, the first error, and how the logs differ.

use super::context::Context;
use super::history::HistoryReader;
use super::model::{Evidence, Found};
use crate::domain::id::{AttemptId, RevisionId};
use crate::domain::incident::ProbedRevision;
use crate::domain::job::Report;
use crate::store::probes::{ProbeAttempt, ProbeRow};
use crate::store::results::Candidate;
use crate::verdict::{
    LockSide, LogDifference, Observation, RunConditions, RunEnd, Subject, differing_conditions, first_error,
    log_difference, may_wander, reports, signature,
};
use anyhow::Result;

/// How many bytes at the end of a log are compared.
const LOG_MOST: u64 = 1 << 20;

/// Returns the evidence for a change among the probes of an investigation. `candidates` is the searched range.
pub async fn evidence(
    context: &Context<'_>,
    probes: &[ProbeRow],
    candidates: &[Candidate],
    found: &Found,
) -> Result<Evidence> {
    let good = newest_seen(
        context,
        probes,
        found.good.id.as_str(),
        &found.subjects,
        Observation::Pass,
    )
    .await;
    let bad = newest_seen(
        context,
        probes,
        found.bad.id.as_str(),
        &found.subjects,
        Observation::Fail,
    )
    .await;
    let difference = match (&good, &bad) {
        (Some((good, _)), Some((bad, _))) => log_difference(
            &end_of_log(context, &good.id).await?,
            &end_of_log(context, &bad.id).await?,
        ),
        _ => LogDifference::default(),
    };
    let conditions = match (&good, &bad) {
        (Some((good, _)), Some((bad, _))) => differences(context, good, bad).await?,
        _ => Vec::new(),
    };
    let message = bad.as_ref().and_then(|(_, end)| failure_message(end, &found.subjects));
    Ok(Evidence {
        good: good.map(|(attempt, _)| attempt.id.clone()),
        bad: bad.map(|(attempt, _)| attempt.id.clone()),
        conditions,
        error: message.or_else(|| first_error(&difference.lines).map(str::to_owned)),
        difference,
        probed: probed(context, probes, candidates, &found.subjects).await?,
    })
}

/// Returns what the probes with the base lock showed at each revision of the searched range, in its order.
async fn probed(
    context: &Context<'_>,
    probes: &[ProbeRow],
    candidates: &[Candidate],
    subjects: &[Subject],
) -> Result<Vec<ProbedRevision>> {
    let results = HistoryReader {
        store: context.store,
        objects: context.objects,
    };
    let mut all = Vec::new();
    for candidate in candidates {
        let (mut passed, mut failed, mut run) = (0, 0, None);
        let there = |probe: &&ProbeRow| probe.revision_id == candidate.revision_id && probe.lock == LockSide::Base;
        for probe in probes.iter().filter(there) {
            let attempt = probe.attempt.as_ref();
            let Some((attempt, report)) = attempt.and_then(|attempt| Some((attempt, attempt.report.as_ref()?))) else {
                continue;
            };
            let end = results.end_by_now(&attempt.id, report).await;
            let seen: Vec<Observation> = subjects.iter().filter_map(|subject| end.observe(subject)).collect();
            failed += u32::from(seen.contains(&Observation::Fail));
            passed += u32::from(seen.contains(&Observation::Pass) && !seen.contains(&Observation::Fail));
            run = Some(&probe.run_id);
        }
        let Some(run) = run.filter(|_| passed + failed > 0) else {
            continue;
        };
        if let Some(revision) = context.store.revision(&candidate.revision_id).await? {
            all.push(ProbedRevision {
                name: revision.name().to_owned(),
                revision: revision.sha,
                run: run.clone(),
                passed,
                failed,
            });
        }
    }
    Ok(all)
}

/// Returns the signature of an error that wandered from one test to another: all subjects report it after the change,
/// and before the change it was in a test that does not fail any more. Then the change did not cause the error.
pub async fn wandered_error(context: &Context<'_>, probes: &[ProbeRow], found: &Found) -> Option<String> {
    let seen = async |revision: &RevisionId, wanted| {
        newest_seen(context, probes, revision.as_str(), &found.subjects, wanted).await
    };
    let (_, bad) = seen(&found.bad.id, Observation::Fail).await?;
    let (_, good) = seen(&found.good.id, Observation::Pass).await?;
    let (RunEnd::Run(_, Some(before)), RunEnd::Run(_, Some(after))) = (&good, &bad) else {
        return None;
    };
    let error = failure_message(&bad, &found.subjects).as_deref().and_then(signature)?;
    let reports_it = |subject: &Subject| {
        let failure = subject.test().and_then(|test| after.failure(test));
        failure.is_some_and(|failure| reports(failure, &error))
    };
    if !may_wander(&error) || !found.subjects.iter().all(reports_it) {
        return None;
    }
    let mut before = before.failed.iter();
    let wandered = before.any(|failure| reports(failure, &error) && after.failure(&failure.test).is_none());
    wandered.then_some(error)
}

/// Returns the differences between two attempts besides CPython.
async fn differences(context: &Context<'_>, good: &ProbeAttempt, bad: &ProbeAttempt) -> Result<Vec<String>> {
    let (Some(good_report), Some(bad_report)) = (&good.report, &bad.report) else {
        return Ok(Vec::new());
    };
    let (good_host, bad_host) = (
        context.store.host_name(&good.host).await?,
        context.store.host_name(&bad.host).await?,
    );
    Ok(differing_conditions(
        conditions(&good_host, good_report),
        conditions(&bad_host, bad_report),
    ))
}

fn conditions<'a>(host: &'a str, report: &'a Report) -> RunConditions<'a> {
    RunConditions {
        host,
        images: &report.images,
        lock: report.lock.as_deref(),
    }
}

/// Returns the newest attempt at a revision with the base lock that shows `wanted` for one of the subjects.
async fn newest_seen<'a>(
    context: &Context<'_>,
    probes: &'a [ProbeRow],
    revision: &str,
    subjects: &[Subject],
    wanted: Observation,
) -> Option<(&'a ProbeAttempt, RunEnd)> {
    let results = HistoryReader {
        store: context.store,
        objects: context.objects,
    };
    let same = probes
        .iter()
        .rev()
        .filter(|probe| probe.revision_id == *revision && probe.lock == LockSide::Base);
    for attempt in same.filter_map(|probe| probe.attempt.as_ref()) {
        let Some(report) = &attempt.report else { continue };
        let end = results.end_by_now(&attempt.id, report).await;
        if subjects.iter().any(|subject| end.observe(subject) == Some(wanted)) {
            return Some((attempt, end));
        }
    }
    None
}

/// Returns the first error that the failing tests among the subjects reported, if their runner reports any. The subject
/// `Run` stands for all tests, and an error for the tests that report it.
pub fn failure_message(end: &RunEnd, subjects: &[Subject]) -> Option<String> {
    let RunEnd::Run(_, Some(tests)) = end else { return None };
    let failed = tests.failed.iter();
    let lines: Vec<String> = failed
        .filter(|failure| {
            let is_about = |subject: &Subject| match subject {
                Subject::Test(test) => *test == failure.test,
                Subject::Error(error) => reports(failure, error),
                Subject::Run => true,
                _ => false,
            };
            subjects.iter().any(is_about)
        })
        .map(|failure| failure.message.clone())
        .filter(|message| !message.is_empty())
        .collect();
    first_error(&lines).map(str::to_owned)
}

async fn end_of_log(context: &Context<'_>, attempt: &AttemptId) -> Result<String> {
    let window = context.objects.end_of_log(attempt, LOG_MOST).await?;
    Ok(String::from_utf8_lossy(&window).into_owned())
}
