//! Incidents, in the form that pages, JSON and the command line show.

mod claims;
mod issue;
mod views;

pub use claims::CorroboratedClaims;
pub use issue::{IssueText, ReproduceLine, Tracker};
pub use views::{IncidentView, InvestigationView, NoteView, ProbedView, RegressionView, RevisionView, WaiverView};

use crate::domain::address::Address;
use crate::domain::id::{IncidentId, RevisionId};
use crate::domain::incident::{Assignee, ProbedRevision, State};
use crate::domain::text::plain;
use crate::domain::time::Timestamp;
use crate::domain::trust::Trust;
use crate::store::Store;
use crate::store::incidents::{Incident, Note};
use crate::store::investigations::InvestigationRow;
use crate::store::regressions::Regression;
use crate::store::revisions::Revision;
use crate::verdict::{Answer, NotCpython, Subject, describe_changes, version_changes};
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// Builds the views of incidents and investigations from the store.
pub struct IncidentReader<'a> {
    pub store: &'a Store,
    pub trust: &'a Trust,
}

impl IncidentReader<'_> {
    /// Returns all open incidents, and after them the newest closed incidents, at most `closed`. Both are newest first.
    pub async fn all(&self, closed: i64, now: Timestamp) -> Result<Vec<IncidentView>> {
        let mut incidents = self.store.open_incidents().await?;
        incidents.extend(self.store.closed_incidents(closed).await?);
        let mut views = Vec::new();
        for incident in incidents {
            views.push(self.incident(incident, now).await?);
        }
        Ok(views)
    }

    /// Returns the newest open incidents, newest first and at most `most`, and how many more are open.
    pub async fn newest_open(&self, most: usize, now: Timestamp) -> Result<(Vec<IncidentView>, usize)> {
        let mut incidents = self.store.open_incidents().await?;
        let more = incidents.len().saturating_sub(most);
        incidents.truncate(most);
        let mut views = Vec::new();
        for incident in incidents {
            views.push(self.incident(incident, now).await?);
        }
        Ok((views, more))
    }

    pub async fn one(&self, number: i64, now: Timestamp) -> Result<Option<IncidentView>> {
        match self.store.incident(number).await? {
            Some(incident) => Ok(Some(self.incident(incident, now).await?)),
            None => Ok(None),
        }
    }

    async fn incident(&self, incident: Incident, now: Timestamp) -> Result<IncidentView> {
        let rows = self.store.regressions_of(&incident.id).await?;
        let claims = CorroboratedClaims::read(self.store, self.trust, &incident.id, &rows).await?;
        let state = incident.state(&rows, now);
        let fixed_on = match &state {
            State::FixedOn { branches } => branches.iter().cloned().collect(),
            _ => Vec::new(),
        };
        let mut regressions = Vec::new();
        for regression in &rows {
            regressions.push(self.regression(regression, claims.is_unconfirmed(regression)).await?);
        }
        let mut culprits: Vec<RevisionView> = Vec::new();
        for regression in regressions.iter().filter(|regression| regression.exact) {
            if !culprits.contains(&regression.bad) {
                culprits.push(regression.bad.clone());
            }
        }
        let recurrence_of = match &incident.recurrence_of {
            Some(id) => self.store.incident_by_id(id).await?.map(|earlier| earlier.number),
            None => None,
        };
        let projects: BTreeSet<&String> = regressions.iter().map(|regression| &regression.project).collect();
        let notes = self.store.notes_of(&incident.id).await?;
        Ok(IncidentView {
            number: incident.number,
            state: state.name(),
            fixed_on,
            title: title(&regressions),
            unconfirmed_by_others: claims.are_unconfirmed(),
            opened_at: incident.opened_at,
            closed_at: incident.closed_at,
            culprits,
            projects: projects.into_iter().cloned().collect(),
            regressions,
            assigned_to: incident.assigned_to.map(Assignee::name),
            reported_as: incident.reported_as.as_deref().map(plain),
            waiver: incident.waiver.map(|waiver| WaiverView {
                who: plain(&waiver.who),
                why: plain(&waiver.why),
                until: waiver.until,
            }),
            recurrence_of,
            history: notes
                .into_iter()
                .map(|Note { at, who, what }| NoteView {
                    at,
                    who: plain(&who),
                    what: plain(&what),
                })
                .collect(),
        })
    }

    /// Returns whether an incident rests on projects in probation alone.
    pub async fn is_unconfirmed(&self, id: &IncidentId) -> Result<bool> {
        let rows = self.store.regressions_of(id).await?;
        let claims = CorroboratedClaims::read(self.store, self.trust, id, &rows).await?;
        Ok(claims.are_unconfirmed())
    }

    async fn regression(&self, regression: &Regression, is_unconfirmed: bool) -> Result<RegressionView> {
        let revision = async |id| {
            let view = self.revision(id, regression).await?;
            let author = view.author.filter(|_| !is_unconfirmed);
            anyhow::Ok(RevisionView { author, ..view })
        };
        let fixed_by = match &regression.fixed_id {
            Some(id) => Some(revision(id).await?),
            None => None,
        };
        let investigation = match &regression.investigation_id {
            Some(id) => self.store.investigation(id).await?,
            None => None,
        };
        Ok(RegressionView {
            branch: regression.branch.clone(),
            project: regression.series.project.clone(),
            variant: regression.series.variant.clone(),
            tests: names(&regression.subjects),
            tests_count: regression.subjects.len(),
            good: revision(&regression.good_id).await?,
            bad: revision(&regression.bad_id).await?,
            exact: regression.exact,
            unconfirmed_by_others: is_unconfirmed,
            reason: regression.reason.clone(),
            rate: regression.rate,
            error: regression.error.as_deref().map(plain),
            difference: regression.difference.iter().map(|line| plain(line)).collect(),
            conditions: regression.conditions.iter().map(|line| plain(line)).collect(),
            probed: regression.probed.iter().map(probed).collect(),
            good_attempt: regression.good_attempt.as_ref().map(ToString::to_string),
            bad_attempt: regression.bad_attempt.as_ref().map(ToString::to_string),
            fixed_by,
            fixed_as: regression.fixed_as.clone(),
            rounds: investigation.map_or(0, |investigation| investigation.rounds),
        })
    }

    /// Returns a revision with the name of the watched branch, even if a merge brought it. Fails if the store does not
    /// have the revision.
    async fn revision(&self, id: &RevisionId, regression: &Regression) -> Result<RevisionView> {
        let revision = self.store.revision(id).await?;
        let revision = revision.context("a regression without its revision")?;
        Ok(RevisionView {
            branch: regression.branch.clone(),
            name: revision.name().to_owned(),
            link: link(&regression.source, &revision),
            revision: revision.sha,
            author: Some(plain(&revision.author)),
            subject: plain(&revision.subject),
            committed_at: revision.committed_at,
        })
    }

    /// Returns the newest investigations, newest first, at most `most`. The view of an open investigation includes why
    /// its next rerun waits at `now`.
    pub async fn investigations(&self, most: i64, now: Timestamp) -> Result<Vec<InvestigationView>> {
        let mut views = Vec::new();
        let rows = self.store.newest_investigations(most).await?;
        let is_open = |row: &&InvestigationRow| row.ended_at.is_none();
        let open: Vec<_> = rows.iter().filter(is_open).map(|row| row.id.clone()).collect();
        let waiting = self.store.waiting_in(&open).await?;
        for row in rows {
            let outer = match &row.parent {
                Some(outer) => self.store.investigation(outer).await?,
                None => None,
            };
            views.push(InvestigationView {
                answers: answers(&row),
                waiting: waiting.get(&row.id).map(|waiting| waiting.reason(now).to_string()),
                tests: names(&row.subjects),
                project: row.series.project,
                branch: outer.map_or(row.branch, |outer| outer.branch),
                variant: row.series.variant,
                change: row.change.name(),
                state: row.state.name(),
                rounds: row.rounds,
                opened_at: row.opened_at,
                ended_at: row.ended_at,
            });
        }
        Ok(views)
    }
}

fn probed(probed: &ProbedRevision) -> ProbedView {
    ProbedView {
        revision: probed.revision.clone(),
        name: probed.name.clone(),
        run: probed.run.to_string(),
        passed: probed.passed,
        failed: probed.failed,
    }
}

/// Returns a sentence for each finding of an investigation, or nothing while it is open.
pub fn answers(row: &InvestigationRow) -> Vec<String> {
    let sentence = |answer: &Answer| match answer {
        Answer::Culprit { .. } => "the revision was found".to_owned(),
        Answer::Range { good, bad, why, .. } => {
            format!("one of {} revisions: {}", bad - good, why.describe(row.change))
        }
        Answer::NotCpython(what) => format!("not CPython: {}{}", what.describe(row.change), versions(what, row)),
        Answer::Inconclusive(reason) => format!("no answer: {reason}"),
    };
    row.findings.iter().map(|finding| sentence(&finding.answer)).collect()
}

/// Returns the versions that differ between the ends of an investigation, or an empty text if its answer is not about
/// versions.
fn versions(answer: &NotCpython, row: &InvestigationRow) -> String {
    let is_about_versions = matches!(answer, NotCpython::DependencyChanged | NotCpython::ProjectChanged);
    let (Some(base), Some(now), true) = (&row.base_lock, &row.now_lock, is_about_versions) else {
        return String::new();
    };
    let changes = version_changes(base, now);
    match changes.is_empty() {
        true => String::new(),
        false => format!(" ({})", plain(&describe_changes(&changes))),
    }
}

/// The most tests that a view lists. A module that can't be imported may have thousands.
const NAMED: usize = 200;

fn names(subjects: &[Subject]) -> Vec<String> {
    let more = subjects.len().saturating_sub(NAMED);
    let names = subjects.iter().take(NAMED).map(|subject| match subject {
        Subject::Test(test) => plain(test),
        other => other.to_string(),
    });
    let more = (more > 0).then(|| format!("and {more} more"));
    names.chain(more).collect()
}

fn title(regressions: &[RegressionView]) -> String {
    let Some(first) = regressions.first() else {
        return "nothing".to_owned();
    };
    let projects: BTreeSet<&str> = regressions
        .iter()
        .map(|regression| regression.project.as_str())
        .collect();
    let what = match projects.len() {
        1 => first.project.clone(),
        2 | 3 => Vec::from_iter(projects).join(", "),
        many => format!("{many} projects"),
    };
    let name: String = first.bad.name.chars().take(10).collect();
    match first.exact {
        true => format!("{what} broken by {name}: {}", first.bad.subject),
        false => format!("{what} broken up to {name}"),
    }
}

/// Returns the address at which the web interface of a repository shows a revision. Returns `None` for Subversion, and
/// for repositories whose address is not `https`.
fn link(source: &str, revision: &Revision) -> Option<String> {
    let source = Address::new(source).without_login();
    let base = source.trim_end_matches('/').trim_end_matches(".git");
    let is_shown = base.starts_with("https://") && revision.label.is_none();
    is_shown.then(|| format!("{base}/commit/{}", revision.sha))
}
