//! Gives each open investigation its turn: schedules its next runs, or ends it with its answer.

use super::conclude::{Concluded, conclude, give_up, replace};
use super::context::{Context, recipe_in_force};
use super::eligible_hosts::{NO_HOST_MS, eligible_hosts};
use super::history::{Delivered, HistoryReader};
use super::known_regressions::KnownRegressions;
use super::model::{Investigated, Pass, WantedImage};
use super::places::{Places, Precedence};
use super::run_requests::{NextStep, Requests};
use crate::domain::host::{PROVEN, only};
use crate::domain::id::RevisionId;
use crate::domain::job::JobSpec;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::series::Series;
use crate::domain::state::JobState;
use crate::domain::waiting::ONLINE_MS;
use crate::recipe::Registered;
use crate::store::investigations::InvestigationRow;
use crate::store::probes::ProbeRow;
use crate::store::regressions::Regression;
use crate::store::results::Candidate;
use crate::verdict::{Answer, Change, Finding, Investigation, NotCpython, ProbeResult, Subject, lock_difference};
use anyhow::Result;

/// How long a run waits for a host that is offline before another host is asked, in milliseconds.
const PATIENCE_MS: i64 = 300_000;
/// The most runs of an investigation that the machinery may fail or a person may cancel. With one more, the
/// investigation is given up.
const VOID_MOST: usize = 20;
/// The milliseconds after which an investigation is rechecked if the machinery kept it from an answer.
const RECHECK_MS: i64 = 24 * 3_600_000;

/// The end of an investigation's turn.
enum Turn {
    /// The investigation scheduled this many runs.
    Scheduled(usize),
    /// The investigation needs these images first.
    Building(Vec<WantedImage>),
    /// The runs of the investigation are under way, or their test results are awaited.
    Running,
    /// The investigation waits for a host, or for results before its base.
    Waiting,
    /// The investigation has ended.
    Done,
}

impl Turn {
    /// Returns whether the investigation takes one of the places that the settings grant.
    fn takes_place(&self) -> bool {
        matches!(self, Turn::Scheduled(_) | Turn::Building(_) | Turn::Running)
    }
}

impl From<Concluded> for Turn {
    fn from(concluded: Concluded) -> Self {
        match concluded {
            Concluded::Yes => Turn::Done,
            Concluded::NotYet => Turn::Waiting,
        }
    }
}

/// Gives the open investigations their turns, up to the numbers that the settings `verdicts.at_once` and
/// `verdicts.in_probation` allow. Trusted investigations go first, and among equals the oldest. While an older
/// investigation goes first, as [`is_preferred`] decides, the younger one gets no turn. Adds the results to `pass`.
pub async fn tick(context: &Context<'_>, projects: &[Registered], pass: &mut Pass) -> Result<()> {
    let mut places = Places::new(context.settings);
    let agreed = context.store.agreed_of_projects().await?;
    let precedence = |row: &InvestigationRow| {
        let agreed = agreed.get(&row.series.project).copied().unwrap_or_default();
        match !row.manual && context.trust.is_in_probation(&row.series.project, agreed) {
            true => Precedence::InProbation,
            false => Precedence::Trusted,
        }
    };
    let rows = context.store.open_investigations().await?;
    // read once for all turns: an investigation that waits for an older one gets its turn in a later pass
    let regressions = match rows.iter().any(|row| row.signature.is_some()) {
        true => context.store.open_regressions(context.store.pool()).await?,
        false => Vec::new(),
    };
    let mut open: Vec<(Precedence, &InvestigationRow)> = rows.iter().map(|row| (precedence(row), row)).collect();
    open.sort_by_key(|(precedence, _)| *precedence);
    // an investigation in probation must not delay a trusted one
    let waits = |(precedence, row): &(Precedence, &InvestigationRow)| {
        let mut elders = open.iter().filter(|(elder, _)| elder <= precedence);
        elders.any(|(_, elder)| is_preferred(elder, row))
    };
    for (precedence, row) in open.iter().copied().filter(|one| !waits(one)) {
        if !places.has_one(precedence) {
            continue;
        }
        let turn = match turn(context, projects, &regressions, row).await {
            Ok(turn) => turn,
            Err(error) => {
                // an investigation that fails must not keep others from their turns
                let error = format!("{error:#}");
                tracing::error!(investigation = row.id.as_str(), error, "failed to schedule runs");
                continue;
            }
        };
        if turn.takes_place() {
            places.take(precedence);
        }
        match turn {
            Turn::Scheduled(jobs) => pass.jobs += jobs,
            Turn::Building(images) => pass.images.extend(images),
            Turn::Done => pass.answers += 1,
            Turn::Running | Turn::Waiting => {}
        }
    }
    Ok(())
}

/// Returns whether an older investigation of another project with the same error goes first. Its culprit will be a
/// hint.
fn is_preferred(elder: &InvestigationRow, row: &InvestigationRow) -> bool {
    let (its, own) = (&elder.series, &row.series);
    elder.id < row.id
        && !elder.manual
        && (&its.branch_id, &its.variant, &its.platform) == (&own.branch_id, &own.variant, &own.platform)
        && its.project != own.project
        && elder.change == row.change
        && elder.signature.is_some()
        && elder.signature == row.signature
        && elder.base.seq < row.now.seq
        && row.base.seq < elder.now.seq
}

async fn turn(
    context: &Context<'_>,
    projects: &[Registered],
    regressions: &[Regression],
    row: &InvestigationRow,
) -> Result<Turn> {
    let Context { store, queue, now, .. } = *context;
    let mut probes = store.probes(&row.id).await?;
    let investigated = Investigated::read(store, row.clone()).await?;
    let unfinished: Vec<&ProbeRow> = probes
        .iter()
        .filter(|probe| probe.state != JobState::Finished)
        .collect();
    let Some(project) = projects.iter().find(|project| project.digest == row.recipe) else {
        for probe in unfinished {
            queue.cancel_queued(&probe.job_id, now).await?;
        }
        let in_force = recipe_in_force(projects, &row.series.project).filter(|_| !row.manual);
        return Ok(match in_force {
            Some(project) => replace(context, &investigated, &project.digest).await?,
            None => give_up(context, &investigated, "its recipe has changed since", now).await?,
        }
        .into());
    };
    let late: Vec<&ProbeRow> = unfinished
        .iter()
        .copied()
        .filter(|probe| probe.state == JobState::Queued && now - probe.created_at > PATIENCE_MS)
        .collect();
    // most turns end here, so the hundreds of candidates are read only after this
    if !unfinished.is_empty() && late.is_empty() {
        return Ok(Turn::Running);
    }
    let candidates = store.candidates(&row.series, (row.base.seq, row.now.seq)).await?;
    let requests = Requests {
        context,
        project,
        investigated: &investigated,
    };
    if !late.is_empty() {
        return free_stranded(&requests, &candidates, &late).await;
    }
    let ends = [&row.base.revision, &row.now.revision];
    if !ends
        .iter()
        .all(|end| candidates.iter().any(|candidate| candidate.revision_id == **end))
    {
        let reason = "a revision of it has left the branch";
        return Ok(give_up(context, &investigated, reason, now).await?.into());
    }
    // a run on an image that was replaced since is no evidence about the present image
    let is_current = |probe: &ProbeRow| {
        let mut there = candidates
            .iter()
            .filter(|candidate| candidate.revision_id == probe.revision_id);
        there.any(|candidate| candidate.image_id() == Some(&probe.image_id))
    };
    probes.retain(is_current);
    let Delivered::Complete(Finished { ran, void }) = finished(context, &probes).await else {
        return Ok(Turn::Running);
    };
    let too_often = "the machinery failed too often";
    if void > VOID_MOST {
        return Ok(give_up(context, &investigated, too_often, now + RECHECK_MS)
            .await?
            .into());
    }
    let hosts = eligible_hosts(&requests, &candidates, ONLINE_MS).await?;
    if hosts.slots.is_empty() {
        let is_old = now - row.opened_at > NO_HOST_MS;
        if is_old
            && eligible_hosts(&requests, &candidates, NO_HOST_MS)
                .await?
                .slots
                .is_empty()
        {
            let reason = "there was no host that can run it";
            return Ok(give_up(context, &investigated, reason, now + RECHECK_MS).await?.into());
        }
        return Ok(Turn::Waiting);
    }
    let question = Investigation {
        change: row.change,
        revisions: candidates
            .iter()
            .map(|candidate| candidate.revision_id.clone())
            .collect(),
        subjects: row.subjects.clone(),
        lock_difference: lock_difference(row.base_lock.as_deref(), row.now_lock.as_deref()),
        hosts: hosts.slots.clone(),
        rate: rate(context, row).await?,
        flaky: flaky(context, row).await?,
        hint: hint(regressions, row, &candidates),
    };
    Ok(match requests.next(&question, &candidates, ran).await? {
        NextStep::Run(wanted, progress) => Turn::Scheduled(requests.queue(wanted, &progress, hosts.are_proven).await?),
        NextStep::Build(images) => Turn::Building(images),
        NextStep::Stuck => give_up(context, &investigated, too_often, now + RECHECK_MS)
            .await?
            .into(),
        NextStep::Answered(findings) => {
            let findings = name_base_image(context, row, findings).await?;
            conclude(context, &investigated, &probes, &candidates, findings)
                .await?
                .into()
        }
    })
}

/// Names the images below CPython as the cause, instead of an unnamed cause outside of CPython. The condition is that
/// the good end passed before these images changed, and that the failure was seen after that.
async fn name_base_image(
    context: &Context<'_>,
    row: &InvestigationRow,
    mut findings: Vec<Finding>,
) -> Result<Vec<Finding>> {
    let Series { project, variant, .. } = &row.series;
    // whether the revision's own run was made on the distribution in force
    let is_in_force = async |revision: &RevisionId| {
        let spec = context.store.spec_on(revision, project, variant, &row.recipe).await;
        match spec {
            Ok(Some(JobSpec::Run(run))) => Some(run.distribution.is_same(&context.profiles.distribution)),
            // a spec of another version that can't be read is no reason to hold the answer back
            _ => None,
        }
    };
    let has_changed =
        is_in_force(&row.base.revision).await == Some(false) && is_in_force(&row.now.revision).await == Some(true);
    for finding in findings.iter_mut().filter(|_| has_changed) {
        if finding.answer == Answer::NotCpython(NotCpython::FailsOnBoth) {
            finding.answer = Answer::NotCpython(NotCpython::BaseImageChanged);
        }
    }
    Ok(findings)
}

/// Cancels the late runs that wait for a host which went offline. The next turn requests them from another host.
async fn free_stranded(requests: &Requests<'_>, candidates: &[Candidate], late: &[&ProbeRow]) -> Result<Turn> {
    let Context { queue, now, .. } = *requests.context;
    let hosts = eligible_hosts(requests, candidates, ONLINE_MS).await?;
    let has_host = |probe: &ProbeRow| {
        let is_for_any = !probe.labels.name_one_host() && (hosts.are_proven || !probe.labels.contains(PROVEN));
        (is_for_any && !hosts.slots.is_empty()) || hosts.slots.iter().any(|host| probe.labels.contains(&only(host)))
    };
    for probe in late.iter().filter(|probe| !has_host(probe)) {
        queue.cancel_queued(&probe.job_id, now).await?;
    }
    Ok(match hosts.slots.is_empty() {
        true => Turn::Waiting,
        false => Turn::Running,
    })
}

/// The finished runs of an investigation.
struct Finished {
    ran: Vec<ProbeResult>,
    /// The number of runs that are no evidence: the machinery failed, or a person cancelled them.
    void: usize,
}

async fn finished(context: &Context<'_>, probes: &[ProbeRow]) -> Delivered<Finished> {
    let results = HistoryReader {
        store: context.store,
        objects: context.objects,
    };
    let (mut ran, mut void) = (Vec::new(), 0);
    for probe in probes {
        let attempt = probe.attempt.as_ref();
        let Some((attempt, report)) = attempt.and_then(|attempt| Some((attempt, attempt.report.as_ref()?))) else {
            void += 1;
            continue;
        };
        if report.outcome == Outcome::Cancelled && attempt.host.as_str().is_empty() {
            continue; // no host had claimed it
        }
        if report.outcome.blame() == Blame::Operator || report.outcome == Outcome::Cancelled {
            void += 1;
            continue;
        }
        let end = results
            .end_of(&attempt.id, report, attempt.finished_at, context.now)
            .await;
        let Delivered::Complete(end) = end else {
            return Delivered::Awaited;
        };
        ran.push(ProbeResult {
            revision: probe.revision_id.clone(),
            lock: probe.lock,
            host: attempt.host.clone(),
            end,
        });
    }
    Delivered::Complete(Finished { ran, void })
}

/// Returns the smallest part of runs, from 0 to 1, in which one of the subjects failed before the fix. Returns `None`
/// if all subjects always failed, or if the investigation is about a break.
async fn rate(context: &Context<'_>, row: &InvestigationRow) -> Result<Option<f64>> {
    if row.change == Change::Broke {
        return Ok(None);
    }
    let failing = KnownRegressions::read(context.store, &row.series).await?.failing();
    let rates = row.subjects.iter().filter_map(|subject| failing.rate(subject));
    Ok(rates.filter(|rate| *rate < 1.0).reduce(f64::min))
}

/// Returns the subjects that failed and passed on the same image in earlier investigations.
async fn flaky(context: &Context<'_>, row: &InvestigationRow) -> Result<Vec<Subject>> {
    let earlier = context.store.investigations_about(&row.series).await?;
    let findings = earlier.into_iter().flat_map(|earlier| earlier.findings);
    let flaky = findings.filter(|finding| {
        matches!(
            finding.answer,
            Answer::NotCpython(NotCpython::Flaky { .. } | NotCpython::NotSeenAgain)
        )
    });
    Ok(flaky.flat_map(|finding| finding.subjects).collect())
}

/// Returns the candidate that is proved to have changed another project in the same way.
fn hint(open: &[Regression], row: &InvestigationRow, candidates: &[Candidate]) -> Option<RevisionId> {
    row.signature.as_ref()?;
    let alike = open.iter().filter(|regression| {
        (&regression.series.variant, &regression.series.platform) == (&row.series.variant, &row.series.platform)
            && regression.series.project != row.series.project
            && regression.signature == row.signature
    });
    let mut hints = alike.filter_map(|regression| {
        let culprit = match row.change {
            Change::Broke => Some(&regression.bad_id).filter(|_| regression.exact),
            Change::Fixed => regression.fixed_id.as_ref(),
        }?;
        // on the watched branch, the merge stands for a culprit that it brought
        let is_merge = |candidate: &&Candidate| {
            row.change == Change::Broke
                && regression.series.branch_id == row.series.branch_id
                && candidate.seq == regression.bad_seq
        };
        let by_id = candidates.iter().find(|candidate| candidate.revision_id == *culprit);
        by_id
            .or_else(|| candidates.iter().find(is_merge))
            .map(|candidate| candidate.revision_id.clone())
    });
    hints.next_back()
}
