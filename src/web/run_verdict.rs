//! The verdict on a run: its cell compared with the previous result of its series, and its incidents.

use super::route::Web;
use super::wording::{self, Badge, Proof, row_name};
use crate::clock::now;
use crate::domain::series::Series;
use crate::incidents;
use crate::investigate::history::HistoryReader;
use crate::store::revisions::Revision;
use crate::store::runs::Run;
use crate::verdict::{
    Cell, FewerTests, HistoryEntry, Observation, Subject, Verdict, fewer_tests, needs_older_entries, verdict,
};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The number of entries of the history that are read first, including the run's own.
const BACK: i64 = 2;
/// The number of entries that are read if the first ones do not show since when the run fails. More would delay the
/// page.
const BACK_MOST: i64 = 10;
/// The most subjects that the page names.
const NAMED: usize = 12;

/// The context of `run_verdict.hbs`.
#[derive(Debug, Default, Serialize)]
pub struct RunVerdict {
    pub badge: Badge,
    pub sentence: &'static str,
    /// The revision with which the run is compared.
    pub base: Option<Link>,
    /// The address of the page that compares all projects on both revisions.
    pub compare: Option<String>,
    /// The first revision that fails in the history that was read.
    pub since: Option<Link>,
    /// Whether earlier revisions may fail too.
    pub or_before: bool,
    pub subjects: Vec<String>,
    /// The number of subjects that are not named.
    pub more: usize,
    /// How many tests fewer than before the run had.
    pub fewer: Option<FewerView>,
    /// The command that finds the culprit. `None` unless a failure has no earlier result here, and another branch
    /// passes.
    pub bisect: Option<String>,
    pub incidents: Vec<IncidentLink>,
    pub answers: Vec<AnswerView>,
}

#[derive(Debug, Default, Serialize)]
pub struct IncidentLink {
    pub number: i64,
    /// Whether only projects in probation support the incident.
    pub is_unconfirmed: bool,
}

/// The answer of an investigation about the failures of the run.
#[derive(Debug, Default, Serialize)]
pub struct AnswerView {
    pub sentence: String,
    /// The revision that opened the investigation, if it is an earlier one.
    pub at: Option<Link>,
}

/// A number of tests that is smaller than before.
#[derive(Debug, Default, Serialize)]
pub struct FewerView {
    /// How many tests fewer.
    pub fewer: usize,
    pub before: usize,
    pub now: usize,
}

/// The regressions that explain a run's failures, and their incidents.
#[derive(Default)]
struct Regressions {
    subjects: BTreeSet<Subject>,
    incidents: Vec<IncidentLink>,
}

impl Regressions {
    fn explain(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }
}

#[derive(Debug, Default, Serialize)]
pub struct Link {
    pub sha: String,
    pub name: String,
}

/// Computes the verdict on a run. Returns `None` if it would add nothing to the cell, if the revision is gone, or if a
/// run by another recipe has replaced this one.
pub async fn of(web: &Web, run: &Run, cell: Cell) -> Result<Option<RunVerdict>> {
    let Some(revision) = web.store.revision(&run.revision_id).await? else {
        return Ok(None);
    };
    let series = Series {
        branch_id: revision.branch_id.as_str().into(),
        project: run.project.clone(),
        variant: run.variant.clone(),
        platform: run.platform.clone(),
    };
    let history = history(web, &series, revision.seq).await?;
    // a run by another recipe may have replaced this one on the same revision
    if history
        .last()
        .is_none_or(|last| last.seq != revision.seq || last.recipe != run.recipe)
    {
        return Ok(None);
    }
    let mut found = verdict(cell, &history, &[]);
    let mut passing = None;
    if matches!(found, Verdict::NewFailing { .. }) {
        let (branches, newest) = elsewhere(web, &series).await?;
        found = verdict(cell, &history, &newest);
        let mut elsewhere = branches.into_iter().zip(&newest);
        let passes = elsewhere.find(|(_, entry)| passes_any(&found, entry));
        passing = passes.map(|(branch, _)| branch);
    }
    let entry = |index: Option<usize>| index.and_then(|index| history.get(index));
    let base = link(web, entry(history.len().checked_sub(2))).await?;
    let (since, or_before) = match found {
        Verdict::StillFailing { since, or_before } => (Some(since), or_before),
        _ => (None, false),
    };
    let failing = history.last().map(|entry| entry.end.failing()).unwrap_or_default();
    let regressions = regressions(web, &series, &revision, &failing).await?;
    let subjects = subjects(&found);
    let answers = match &found {
        Verdict::StillFailing { since, or_before } => {
            let first = history
                .get(*since)
                .filter(|_| !or_before)
                .map_or(i64::MIN, |entry| entry.seq);
            answers(web, &series, first..=revision.seq, &failing).await?
        }
        Verdict::Flaky => answers(web, &series, i64::MIN..=revision.seq, &failing).await?,
        _ => answers(web, &series, revision.seq..=revision.seq, subjects).await?,
    };
    let proof = match (&found, subjects.iter().all(|subject| regressions.explain(subject))) {
        (Verdict::Suspect { .. }, true) => Proof::Incident,
        _ if answers.is_empty() => Proof::None,
        _ => Proof::Answered,
    };
    let Some((badge, sentence)) = wording::run_verdict(&found, proof) else {
        return Ok(None);
    };
    Ok(Some(RunVerdict {
        badge,
        sentence,
        compare: base.as_ref().map(|base| {
            let now = row_name(&revision.sha, &run.variant);
            format!("/compare/{}/{now}", row_name(&base.sha, &run.variant))
        }),
        base,
        since: link(web, entry(since)).await?,
        or_before,
        subjects: subjects.iter().take(NAMED).map(ToString::to_string).collect(),
        more: subjects.len().saturating_sub(NAMED),
        fewer: fewer(&history),
        bisect: passing.map(|branch| {
            let variant = wording::unusual_variant(&run.variant);
            let variant = variant.map_or_else(String::new, |name| format!(" --variant {name}"));
            let (project, here) = (&run.project, wording::short(&revision.sha));
            format!("pybots bisect {project} --good {branch} --bad {here}{variant}")
        }),
        incidents: regressions.incidents,
        answers,
    }))
}

/// Returns the newest entries up to `seq`, oldest first. Reads more of them if the first ones do not show since when
/// the last one fails.
async fn history(web: &Web, series: &Series, seq: i64) -> Result<Vec<HistoryEntry>> {
    let entries = newest_entries(web, series, seq, BACK).await?;
    let failing = entries.last().map(|entry| entry.end.failing()).unwrap_or_default();
    if (entries.len() as i64) < BACK || !needs_older_entries(&entries, std::iter::empty(), &failing) {
        return Ok(entries);
    }
    newest_entries(web, series, seq, BACK_MOST).await
}

async fn newest_entries(web: &Web, series: &Series, seq: i64, most: i64) -> Result<Vec<HistoryEntry>> {
    let results = HistoryReader {
        store: &web.store,
        objects: &web.objects,
    };
    let entries = results.entries(series, seq, most, &[], now()).await?;
    Ok(entries.complete().unwrap_or_default())
}

/// Returns the names of the other watched branches that have a result in the same series, and the newest entry of each.
async fn elsewhere(web: &Web, series: &Series) -> Result<(Vec<String>, Vec<HistoryEntry>)> {
    let mut found = Vec::new();
    for branch in web.store.watched_branches().await? {
        if series.branch_id == branch.id {
            continue;
        }
        let there = Series {
            branch_id: branch.id.as_str().into(),
            ..series.clone()
        };
        let newest = newest_entries(web, &there, i64::MAX, 1).await?.pop();
        found.extend(newest.map(|entry| (branch.name, entry)));
    }
    Ok(found.into_iter().unzip())
}

fn passes_any(verdict: &Verdict, entry: &HistoryEntry) -> bool {
    let Verdict::NewFailing { passes_elsewhere } = verdict else {
        return false;
    };
    let passes = |subject: &Subject| entry.end.observe(subject) == Some(Observation::Pass);
    passes_elsewhere.iter().any(passes)
}

async fn link(web: &Web, entry: Option<&HistoryEntry>) -> Result<Option<Link>> {
    let Some(entry) = entry else { return Ok(None) };
    let revision = web.store.revision(&entry.revision.as_str().into()).await?;
    Ok(revision.as_ref().map(to_link))
}

fn to_link(revision: &Revision) -> Link {
    Link {
        name: wording::short(revision.name()).to_owned(),
        sha: revision.sha.clone(),
    }
}

/// Returns the subjects in `failing` that regressions explain. Returns also the incidents of these regressions, and of
/// regressions that this revision fixed.
async fn regressions(web: &Web, series: &Series, here: &Revision, failing: &[Subject]) -> Result<Regressions> {
    let mut ids = BTreeSet::new();
    let mut found = Regressions::default();
    for regression in web.store.regressions_on(series).await? {
        let subjects = regression.subjects.iter();
        let fails: Vec<Subject> = subjects.filter(|subject| failing.contains(subject)).cloned().collect();
        let had_begun = match regression.exact {
            true => regression.bad_seq <= here.seq,
            false => regression.good_seq < here.seq,
        };
        let ended_here = regression.fixed_id.as_ref().is_some_and(|id| *id == here.id);
        if !ended_here && (fails.is_empty() || !had_begun) {
            continue;
        }
        // a subject that fails again after its fix belongs to another regression
        let fixed_by = match &regression.fixed_id {
            Some(id) => web.store.revision(id).await?,
            None => None,
        };
        let is_fixed = match fixed_by {
            Some(fix) => fix.seq <= here.seq,
            None => regression.fixed_at.is_some() && regression.bad_seq != here.seq,
        };
        let explains = !fails.is_empty() && had_begun && !is_fixed;
        if explains {
            found.subjects.extend(fails);
        }
        if explains || ended_here {
            ids.insert(regression.incident_id);
        }
    }
    for id in ids {
        let Some(incident) = web.store.incident_by_id(&id).await? else {
            continue;
        };
        found.incidents.push(IncidentLink {
            number: incident.number,
            is_unconfirmed: web.incidents().is_unconfirmed(&id).await?,
        });
    }
    found.incidents.sort_unstable_by_key(|incident| incident.number);
    Ok(found)
}

/// Returns the answers of the newest investigation about each subject. Considers only investigations that a revision in
/// `opened_by` opened, and that nobody began by hand.
async fn answers(
    web: &Web,
    series: &Series,
    opened_by: RangeInclusive<i64>,
    subjects: &[Subject],
) -> Result<Vec<AnswerView>> {
    let mut answers = Vec::new();
    let mut unanswered: BTreeSet<&Subject> = subjects.iter().collect();
    if unanswered.is_empty() {
        return Ok(answers);
    }
    for investigation in web.store.investigations_about(series).await?.iter().rev() {
        let is_about = opened_by.contains(&investigation.now.seq) && !investigation.manual;
        if !is_about
            || !investigation
                .subjects
                .iter()
                .any(|subject| unanswered.contains(subject))
        {
            continue;
        }
        unanswered.retain(|subject| !investigation.subjects.contains(subject));
        let at = match investigation.now.seq == *opened_by.end() {
            true => None,
            false => web.store.revision(&investigation.now.revision).await?,
        };
        for sentence in incidents::answers(investigation) {
            answers.push(AnswerView {
                sentence,
                at: at.as_ref().map(to_link),
            });
        }
    }
    Ok(answers)
}

fn fewer(history: &[HistoryEntry]) -> Option<FewerView> {
    let FewerTests { before, now, .. } = fewer_tests(history)?;
    Some(FewerView {
        fewer: before - now,
        before,
        now,
    })
}

/// Returns the subjects that the page lists.
fn subjects(verdict: &Verdict) -> &[Subject] {
    match verdict {
        Verdict::Suspect { subjects } | Verdict::Fixed { subjects } => subjects,
        Verdict::NewFailing { passes_elsewhere } => passes_elsewhere,
        _ => &[],
    }
}
