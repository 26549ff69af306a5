//! Incidents as people and programs read them.

use crate::domain::incident::PutTo;
use crate::domain::text::plain;
use crate::store::Store;
use crate::store::incidents::{Breakage, Incident, Note};
use crate::store::inquiries::InquiryRow;
use crate::store::revisions::Revision;
use crate::verdict::{Answer, Subject};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeSet;

/// An incident whole.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub number: i64,
    /// [`crate::domain::incident::State::name`].
    pub state: &'static str,
    /// The branches on which it is mended, where it is not on all.
    pub fixed_on: Vec<String>,
    /// One line: what broke, and by which check-in.
    pub title: String,
    /// Milliseconds UTC.
    pub opened_at: i64,
    pub closed_at: Option<i64>,
    /// One a branch; none as long as it is known up to a range only.
    pub culprits: Vec<CheckIn>,
    pub projects: Vec<String>,
    pub breakages: Vec<Part>,
    pub put_to: Option<&'static str>,
    pub reported_as: Option<String>,
    pub waiver: Option<Waiver>,
    /// The incident that it is the return of.
    pub again_of: Option<i64>,
    pub history: Vec<Noted>,
}

/// What it is on one branch, of one project as one variant.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub branch: String,
    pub project: String,
    pub variant: String,
    /// Tests by their names; what else failed by a word for it.
    pub tests: Vec<String>,
    /// The check-in before the change.
    pub good: CheckIn,
    /// The culprit; or the end of the range.
    pub bad: CheckIn,
    pub exact: bool,
    /// Why it is a range.
    pub reason: Option<String>,
    /// How often it fails, where not always.
    pub rate: Option<f64>,
    pub error: Option<String>,
    /// Lines that the log of `bad` has and that of `good` has not.
    pub difference: Vec<String>,
    /// Ids of the attempts that were compared.
    pub good_attempt: Option<String>,
    pub bad_attempt: Option<String>,
    pub fixed_by: Option<CheckIn>,
    /// How it was mended where no check-in did.
    pub fixed_as: Option<String>,
    /// Rounds of the search.
    pub rounds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckIn {
    pub branch: String,
    pub revision: String,
    /// What people call it.
    pub name: String,
    pub author: String,
    pub subject: String,
    pub committed_at: i64,
    /// Where its repository shows it.
    pub link: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Waiver {
    pub who: String,
    pub why: String,
    /// Milliseconds UTC.
    pub until: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Noted {
    pub at: i64,
    pub who: String,
    pub what: String,
}

/// What is looked into, or was of late.
#[derive(Clone, Debug, Serialize)]
pub struct Inquired {
    pub project: String,
    pub branch: String,
    pub variant: String,
    pub change: String,
    pub tests: Vec<String>,
    pub state: String,
    /// What came of it, for people; empty as long as it is open.
    pub answers: Vec<String>,
    pub rounds: i64,
    pub opened_at: i64,
    pub ended_at: Option<i64>,
}

/// Who reads.
pub struct Reader<'a> {
    pub store: &'a Store,
}

impl Reader<'_> {
    /// Those that are open, the newest first; then the newest of those that are closed.
    pub async fn all(&self, closed: i64, now: i64) -> Result<Vec<Told>> {
        let mut incidents = self.store.open_incidents().await?;
        incidents.extend(self.store.closed_incidents(closed).await?);
        let mut told = Vec::new();
        for incident in incidents {
            told.push(self.tell(incident, now).await?);
        }
        Ok(told)
    }

    pub async fn one(&self, number: i64, now: i64) -> Result<Option<Told>> {
        match self.store.incident(number).await? {
            Some(incident) => Ok(Some(self.tell(incident, now).await?)),
            None => Ok(None),
        }
    }

    async fn tell(&self, incident: Incident, now: i64) -> Result<Told> {
        let breakages = self.store.breakages_of(&incident.id).await?;
        let state = incident.state(&breakages, now);
        let fixed_on = match &state {
            crate::domain::incident::State::FixedOn { branches } => branches.iter().cloned().collect(),
            _ => Vec::new(),
        };
        let mut parts = Vec::new();
        for breakage in &breakages {
            parts.push(self.part(breakage).await?);
        }
        let mut culprits: Vec<CheckIn> = Vec::new();
        for part in parts.iter().filter(|part| part.exact) {
            if !culprits.contains(&part.bad) {
                culprits.push(part.bad.clone());
            }
        }
        let again_of = match &incident.again_of {
            Some(id) => self.store.incident_by_id(id).await?.map(|again| again.number),
            None => None,
        };
        let notes = self.store.notes_of(&incident.id).await?;
        let waiver = incident.waived_by.zip(incident.waived_why).zip(incident.waived_until);
        Ok(Told {
            number: incident.number,
            state: state.name(),
            fixed_on,
            title: title(&parts),
            opened_at: incident.opened_at,
            closed_at: incident.closed_at,
            culprits,
            projects: parts
                .iter()
                .map(|part| part.project.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            breakages: parts,
            put_to: incident.put_to.and_then(|name| name.parse().ok()).map(PutTo::name),
            reported_as: incident.reported_as.as_deref().map(plain),
            waiver: waiver.map(|((who, why), until)| Waiver {
                who: plain(&who),
                why: plain(&why),
                until,
            }),
            again_of,
            history: notes
                .into_iter()
                .map(|Note { at, who, what }| Noted {
                    at,
                    who: plain(&who),
                    what: plain(&what),
                })
                .collect(),
        })
    }

    async fn part(&self, breakage: &Breakage) -> Result<Part> {
        let fixed_by = match &breakage.fixed_id {
            Some(id) => Some(self.check_in(id, breakage).await?),
            None => None,
        };
        let rounds = match &breakage.inquiry_id {
            Some(id) => self.store.inquiry(id).await?.map_or(0, |inquiry| inquiry.rounds),
            None => 0,
        };
        Ok(Part {
            branch: breakage.branch.clone(),
            project: breakage.project.clone(),
            variant: breakage.variant.clone(),
            tests: tests(&breakage.subjects)?,
            good: self.check_in(&breakage.good_id, breakage).await?,
            bad: self.check_in(&breakage.bad_id, breakage).await?,
            exact: breakage.exact == 1,
            reason: breakage.reason.clone(),
            rate: breakage.rate.map(|rate| rate as f64 / 1000.0),
            error: breakage.error.as_deref().map(plain),
            difference: lines(&breakage.difference),
            good_attempt: breakage.good_attempt.clone(),
            bad_attempt: breakage.bad_attempt.clone(),
            fixed_by,
            fixed_as: breakage.fixed_as.clone(),
            rounds,
        })
    }

    /// A check-in on the branch that people watch, also where a merge brought it.
    async fn check_in(&self, id: &str, breakage: &Breakage) -> Result<CheckIn> {
        let revision = self.store.revision(id).await?.context("a breakage of no check-in")?;
        Ok(CheckIn {
            branch: breakage.branch.clone(),
            name: revision.name().to_owned(),
            link: link(&breakage.source, &revision),
            revision: revision.sha,
            author: plain(&revision.author),
            subject: plain(&revision.subject),
            committed_at: revision.committed_at,
        })
    }

    /// What is looked into, and what was of late.
    pub async fn inquiries(&self, most: i64) -> Result<Vec<Inquired>> {
        let rows = self.store.newest_inquiries(most).await?;
        let mut inquired = Vec::new();
        for row in rows {
            let branch = match &row.within {
                Some(outer) => self.store.inquiry(outer).await?.map(|outer| outer.branch),
                None => None,
            };
            inquired.push(Inquired {
                answers: answers(&row)?,
                project: row.project,
                branch: branch.unwrap_or(row.branch),
                variant: row.variant,
                change: row.change,
                tests: tests(&row.subjects)?,
                state: row.state,
                rounds: row.rounds,
                opened_at: row.opened_at,
                ended_at: row.ended_at,
            });
        }
        Ok(inquired)
    }
}

/// What came of an inquiry, a sentence a finding.
pub fn answers(row: &InquiryRow) -> Result<Vec<String>> {
    let change = row.change();
    let told = row.findings()?.into_iter().map(|finding| match finding.answer {
        Answer::Culprit { .. } => "the check-in was found".to_owned(),
        Answer::Range { good, bad, why, .. } => format!("one of {} check-ins: {}", bad - good, why.told(change)),
        Answer::NotCpython(what) => format!("not CPython: {}", what.told(change)),
        Answer::Inconclusive(reason) => format!("no answer: {reason}"),
    });
    Ok(told.collect())
}

/// Tests that are named; a module that can't be imported may have thousands.
const NAMED: usize = 200;

fn tests(subjects: &str) -> Result<Vec<String>> {
    let subjects: Vec<Subject> = serde_json::from_str(subjects).context("subjects can't be read")?;
    let more = subjects.len().saturating_sub(NAMED);
    let names = subjects.into_iter().take(NAMED).map(|subject| match subject {
        Subject::Test(test) => plain(&test),
        other => other.to_string(),
    });
    let more = (more > 0).then(|| format!("and {more} more"));
    Ok(names.chain(more).collect())
}

fn lines(difference: &str) -> Vec<String> {
    let lines: Vec<String> = serde_json::from_str(difference).unwrap_or_default();
    lines.iter().map(|line| plain(line)).collect()
}

fn title(parts: &[Part]) -> String {
    let Some(first) = parts.first() else {
        return "nothing".to_owned();
    };
    let projects: BTreeSet<&str> = parts.iter().map(|part| part.project.as_str()).collect();
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

/// Where a repository's own pages show a check-in.
fn link(source: &str, revision: &Revision) -> Option<String> {
    let source = without_login(source);
    let base = source.trim_end_matches('/').trim_end_matches(".git");
    let is_shown = base.starts_with("https://") && revision.label.is_none();
    is_shown.then(|| format!("{base}/commit/{}", revision.sha))
}

/// The address of a repository as others may read it: what logs in to it is nobody's.
pub fn without_login(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let slash = if rest.contains('/') { "/" } else { "" };
    format!("{scheme}://{host}{slash}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_a_login() {
        for (address, expected) in [
            (
                "https://bot:s3cret@git.example.org/cpython",
                "https://git.example.org/cpython",
            ),
            ("https://git.example.org/a@b", "https://git.example.org/a@b"),
            ("https://bot@git.example.org", "https://git.example.org"),
            ("/srv/git/cpython.git", "/srv/git/cpython.git"),
        ] {
            assert_eq!(without_login(address), expected);
        }
    }
}
