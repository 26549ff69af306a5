//! Ends an investigation. One transaction stores its answer, records regressions and fixes, and opens the
//! investigations that follow from it.

use super::context::Context;
use super::evidence::{evidence, wandered_error};
use super::follow_up::{ErrorFollowUp, by_recipe, follow_error, inside_merge, with_newer_lock, with_older_base};
use super::history::Delivered;
use super::incidents::{record_fix, record_fix_by, record_regression};
use super::model::{Evidence, Fix, Found, Investigated};
use super::suppression::suppression_ms;
use crate::domain::id::HostId;
use crate::domain::time::{DAY_MS, Timestamp};
use crate::store::investigations::{InvestigationRow, NewInvestigation};
use crate::store::probes::ProbeRow;
use crate::store::regressions::FixedBy;
use crate::store::results::Candidate;
use crate::store::revisions::Revision;
use crate::verdict::{Answer, Change, Finding, NotCpython, Subject};
use anyhow::{Context as _, Result};

/// The reason why a merge itself is the culprit.
const ALONE: &str = "no revision that it merged shows the change by itself";

/// Whether an investigation has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concluded {
    Yes,
    /// The investigation needs results of revisions before its base, and continues when they have arrived.
    NotYet,
}

/// The results of an investigation.
#[derive(Default)]
struct Conclusion {
    findings: Vec<Finding>,
    follow_ups: Vec<NewInvestigation>,
    changes: Vec<(Found, Evidence)>,
    /// Subjects that were fixed, though not by CPython, and how.
    fixed_otherwise: Vec<(Vec<Subject>, String)>,
    /// Until this time, the answers keep their subjects from opening another investigation.
    suppressed_until: Option<Timestamp>,
}

/// Replaces the ids of hosts by their names, because people read answers.
async fn name_hosts(context: &Context<'_>, findings: &mut [Finding]) -> Result<()> {
    for finding in findings {
        if let Answer::NotCpython(NotCpython::HostSpecific(hosts)) = &mut finding.answer {
            for host in hosts {
                *host = context.store.host_name(&HostId::from(host.as_str())).await?;
            }
        }
    }
    Ok(())
}

/// Ends an investigation with its findings, or returns `NotYet` while it needs results of revisions before its base.
pub async fn conclude(
    context: &Context<'_>,
    investigated: &Investigated,
    probes: &[ProbeRow],
    candidates: &[Candidate],
    mut findings: Vec<Finding>,
) -> Result<Concluded> {
    let row = &investigated.row;
    name_hosts(context, &mut findings).await?;
    let mut end = Conclusion::default();
    let mut changes = Vec::new();
    for finding in &findings {
        match &finding.answer {
            Answer::Culprit { index, rate } => {
                let mut found = found(context, candidates, finding, (index - 1, *index), *rate).await?;
                if row.change == Change::Broke
                    && !row.manual
                    && let Some(error) = wandered_error(context, probes, &found).await
                {
                    match follow_error(context, investigated.watched(), error).await? {
                        ErrorFollowUp::Opens(new) => {
                            end.follow_ups.push(*new);
                            continue;
                        }
                        ErrorFollowUp::Explained => continue,
                        // nothing else explains these tests
                        ErrorFollowUp::Unexplained => {}
                    }
                }
                if investigated.outer.is_none()
                    && let Some(inner) = inside_merge(context, row, &found, None).await?
                {
                    end.follow_ups.push(inner);
                    continue;
                }
                if !is_parent(context, &found).await {
                    found.exact = false;
                    found.reason = Some("lines of history cross there".to_owned());
                }
                changes.push(found);
            }
            Answer::Range { good, bad, why, rate } => {
                let mut found = found(context, candidates, finding, (*good, *bad), *rate).await?;
                found.exact = false;
                found.reason = Some(why.describe(row.change));
                changes.push(found);
            }
            Answer::NotCpython(NotCpython::Flaky { .. }) if row.change == Change::Broke => {
                match with_older_base(context, row, &finding.subjects).await? {
                    Delivered::Complete(older) => end.follow_ups.extend(older),
                    Delivered::Awaited => return Ok(Concluded::NotYet),
                }
            }
            Answer::NotCpython(what) if row.change == Change::Fixed && is_outside_cpython(what) => {
                let how = format!("fixed, and not by CPython: {}", what.describe(Change::Fixed));
                end.fixed_otherwise.push((finding.subjects.clone(), how));
            }
            Answer::Inconclusive(_) if !row.manual => {
                end.follow_ups.extend(with_newer_lock(row, probes, &finding.subjects));
            }
            Answer::NotCpython(_) | Answer::Inconclusive(_) => {}
        }
    }
    let mut probes = probes.to_vec();
    if let Some(merge) = Merge::read(context, investigated).await? {
        changes = merge.on_watched_branch(changes);
        let (its_own, next) = merge.after_line(context, row, &findings).await?;
        changes.extend(its_own);
        end.follow_ups.extend(next);
        probes.splice(0..0, context.store.probes(&merge.outer.id).await?);
    }
    for found in changes {
        let evidence = evidence(context, &probes, candidates, &found).await?;
        end.changes.push((found, evidence));
    }
    let longest = findings.iter().filter_map(|finding| suppression_ms(&finding.answer));
    end.suppressed_until = longest.max().map(|suppression| context.now + suppression);
    end.findings = findings;
    store(context, investigated, end).await
}

/// Ends an investigation without an answer. Its subjects are rechecked at `suppressed_until`. If it searched inside a
/// merge, the next line of the merge is searched instead, or the merge is the culprit.
pub async fn give_up(
    context: &Context<'_>,
    investigated: &Investigated,
    reason: &str,
    suppressed_until: Timestamp,
) -> Result<Concluded> {
    let mut end = Conclusion {
        findings: inconclusive(&investigated.row, reason),
        suppressed_until: Some(suppressed_until),
        ..Conclusion::default()
    };
    // the outer investigation has proved that it was the merge
    if let Some(merge) = Merge::read(context, investigated).await? {
        let probes = context.store.probes(&merge.outer.id).await?;
        let (its_own, next) = merge.after_line(context, &investigated.row, &end.findings).await?;
        end.follow_ups.extend(next);
        for found in its_own {
            let evidence = evidence(context, &probes, &[], &found).await?;
            end.changes.push((found, evidence));
        }
    }
    store(context, investigated, end).await
}

/// Ends an investigation whose recipe has changed, and opens one about the same subjects with the recipe in force.
pub async fn replace(context: &Context<'_>, investigated: &Investigated, recipe: &str) -> Result<Concluded> {
    let end = Conclusion {
        findings: inconclusive(
            &investigated.row,
            "its recipe has changed; another investigation replaces it",
        ),
        follow_ups: vec![by_recipe(&investigated.row, recipe)],
        ..Conclusion::default()
    };
    store(context, investigated, end).await
}

fn inconclusive(row: &InvestigationRow, reason: &str) -> Vec<Finding> {
    vec![Finding {
        subjects: row.subjects.clone(),
        answer: Answer::Inconclusive(reason.to_owned()),
    }]
}

fn is_outside_cpython(what: &NotCpython) -> bool {
    matches!(
        what,
        NotCpython::FailsOnBoth
            | NotCpython::BaseImageChanged
            | NotCpython::DependencyChanged
            | NotCpython::ProjectChanged
    )
}

/// Returns the time before which a result at the base was made under other conditions than its reruns, such as another
/// date or other images. The reruns say nothing about it then. Returns `None` inside a merge, or if an answer names no
/// such condition. If a result and reruns of the same day disagree, they are flaky, as a random error is.
fn other_conditions(investigated: &Investigated, findings: &[Finding]) -> Option<Timestamp> {
    let row = &investigated.row;
    let all = |fits: fn(&NotCpython) -> bool| {
        let fits = |finding: &Finding| matches!(&finding.answer, Answer::NotCpython(what) if fits(what));
        !findings.is_empty() && findings.iter().all(fits)
    };
    let names_error = row.subjects.iter().any(|subject| matches!(subject, Subject::Error(_)));
    if investigated.outer.is_some() {
        None
    } else if all(|what| *what == NotCpython::BaseImageChanged) {
        Some(row.opened_at)
    } else {
        (all(|what| *what == NotCpython::FailsOnBoth) && !names_error).then(|| row.opened_at - DAY_MS)
    }
}

/// Stores a conclusion, unless the investigation has an answer already. If a person asked for it, no regression or fix
/// is recorded; otherwise results are also marked to be evaluated again.
async fn store(context: &Context<'_>, investigated: &Investigated, end: Conclusion) -> Result<Concluded> {
    let Context { store, now, .. } = *context;
    let (row, watched) = (&investigated.row, investigated.watched());
    let affected = investigated.affected();
    let mut tx = store.begin().await?;
    // an investigation inside a merge leaves nothing to recheck: the merge is the answer
    let suppressed_until = end
        .suppressed_until
        .filter(|_| !row.manual && investigated.outer.is_none());
    if !store
        .answer_investigation(&mut tx, &row.id, &end.findings, suppressed_until, now)
        .await?
    {
        tx.rollback().await?;
        return Ok(Concluded::Yes);
    }
    for new in &end.follow_ups {
        store.insert_investigation(&mut tx, new, now).await?;
    }
    if !row.manual {
        for (found, evidence) in &end.changes {
            match row.change {
                Change::Broke => record_regression(store, &mut tx, &affected, found, evidence, now).await?,
                Change::Fixed => record_fix_by(store, &mut tx, &affected, found, now).await?,
            }
        }
        for (subjects, how) in &end.fixed_otherwise {
            let fix = Fix {
                subjects,
                before: watched.now.seq,
                by: FixedBy::Otherwise(how),
                note: how,
            };
            record_fix(store, &mut tx, &affected, &fix, now).await?;
        }
        // suspicions that arose during the investigation waited for this answer
        store
            .reevaluate_since(&mut tx, &watched.series, watched.opened_at)
            .await?;
        let is_answered =
            |finding: &Finding| matches!(&finding.answer, Answer::NotCpython(what) if is_outside_cpython(what));
        if !end.changes.is_empty() || end.findings.iter().any(is_answered) {
            // later results have another meaning now
            let since = watched.base.seq + 1..=i64::MAX;
            store.reevaluate_results(&mut tx, &watched.series, since).await?;
        }
    }
    // last, because runs are locked before jobs
    if let Some(before) = other_conditions(investigated, &end.findings) {
        store.cross_probes(&mut tx, row, before).await?;
    }
    tx.commit().await?;
    for Finding { subjects, answer } in &end.findings {
        let subject = subjects.first().map(ToString::to_string);
        tracing::info!(
            project = row.series.project,
            subject,
            ?answer,
            investigation = row.id.as_str(),
            "answered an investigation"
        );
    }
    Ok(Concluded::Yes)
}

/// A merge that an outer investigation found, and inside which another one searches.
struct Merge<'a> {
    outer: &'a InvestigationRow,
    /// The range of the outer investigation.
    candidates: Vec<Candidate>,
}

/// A merge as the culprit of some subjects.
struct MergeCulprit {
    /// The index of the merge in the range of the outer investigation.
    index: usize,
    rate: Option<f64>,
}

impl<'a> Merge<'a> {
    /// Reads the merge inside which an investigation searches. Returns `None` if it does not search inside a merge.
    async fn read(context: &Context<'_>, investigated: &'a Investigated) -> Result<Option<Self>> {
        let Some(outer) = &investigated.outer else {
            return Ok(None);
        };
        let range = (outer.base.seq, outer.now.seq);
        let candidates = context.store.candidates(&outer.series, range).await?;
        Ok(Some(Self { outer, candidates }))
    }

    /// Returns the merge if it is the culprit of all the subjects and still on the branch.
    fn culprit_of(&self, subjects: &[Subject]) -> Option<MergeCulprit> {
        let about_all = |finding: &&Finding| subjects.iter().all(|subject| finding.subjects.contains(subject));
        let finding = self.outer.findings.iter().find(about_all)?;
        match finding.answer {
            // revisions leave a branch at its end, so the indexes of the others stay the same
            Answer::Culprit { index, rate } if index < self.candidates.len() => Some(MergeCulprit { index, rate }),
            _ => None,
        }
    }

    /// Gives changes inside the merge the position of the merge. If the merge has left the branch, they are dropped.
    fn on_watched_branch(&self, changes: Vec<Found>) -> Vec<Found> {
        let seq = |index: usize| self.candidates.get(index).map_or(0, |candidate| candidate.seq);
        let place = |mut found: Found| {
            let MergeCulprit { index, .. } = self.culprit_of(&found.subjects)?;
            (found.good_seq, found.bad_seq) = (seq(index - 1), seq(index));
            Some(found)
        };
        changes.into_iter().filter_map(place).collect()
    }

    /// Returns the next steps if no revision of the line that `row` searched has caused the change: the investigation
    /// of the merge's next line or, after the last line, the merge itself as the culprit.
    async fn after_line(
        &self,
        context: &Context<'_>,
        row: &InvestigationRow,
        findings: &[Finding],
    ) -> Result<(Vec<Found>, Vec<NewInvestigation>)> {
        let tip = context.store.revision(&row.now.revision).await?.map(|tip| tip.sha);
        let passes = |finding: &Finding| matches!(finding.answer, Answer::NotCpython(NotCpython::NotSeenAgain));
        let is_alone = findings.iter().all(passes);
        let (mut changes, mut next_lines) = (Vec::new(), Vec::new());
        for mut found in self.its_own(context, findings).await? {
            match inside_merge(context, self.outer, &found, tip.as_deref()).await? {
                Some(next) => next_lines.push(next),
                None => {
                    found.reason = is_alone.then(|| ALONE.to_owned());
                    changes.push(found);
                }
            }
        }
        Ok((changes, next_lines))
    }

    /// Returns the changes that no revision inside the merge has caused, with the merge as the culprit.
    async fn its_own(&self, context: &Context<'_>, findings: &[Finding]) -> Result<Vec<Found>> {
        let mut changes = Vec::new();
        for finding in findings {
            if let Answer::Culprit { .. } | Answer::Range { .. } = finding.answer {
                continue;
            }
            if let Some(MergeCulprit { index, rate }) = self.culprit_of(&finding.subjects) {
                changes.push(found(context, &self.candidates, finding, (index - 1, index), rate).await?);
            }
        }
        Ok(changes)
    }
}

/// Returns the change between two candidates, given by their indexes, as an exact one.
async fn found(
    context: &Context<'_>,
    candidates: &[Candidate],
    finding: &Finding,
    (good, bad): (usize, usize),
    rate: Option<f64>,
) -> Result<Found> {
    let at = async |index: usize| -> Result<Revision> {
        let candidate = candidates.get(index).context("an answer outside of its range")?;
        let revision = context.store.revision(&candidate.revision_id).await?;
        revision.context("no such revision")
    };
    let (good, bad) = (at(good).await?, at(bad).await?);
    Ok(Found {
        subjects: finding.subjects.clone(),
        good_seq: good.seq,
        bad_seq: bad.seq,
        good,
        bad,
        exact: true,
        reason: None,
        rate,
    })
}

/// Returns whether the revision before the culprit is its parent. It may be another revision where lines of history
/// cross.
async fn is_parent(context: &Context<'_>, found: &Found) -> bool {
    match context.mirror.revision(&found.bad.sha).await {
        Ok(revision) => revision.parent.is_none_or(|parent| parent == found.good.sha),
        Err(_) => true, // without the commit, the order of the branch is all there is
    }
}
