//! The pages of incidents: all incidents with the investigations, and one incident with its proof.

use super::error::{Error, HandlerResult};
use super::frame;
use super::route::Web;
use super::template::Template;
use super::wording::{self, Badge, Time};
use crate::clock::now;
use crate::domain::time::Timestamp;
use crate::incidents::{self as read, IncidentView, InvestigationView};
use crate::reproduce;
use anyhow::Result;
use serde::Serialize;
use warp::Reply;

/// The number of closed incidents, and of investigations, on the page.
const CLOSED: i64 = 30;
const INVESTIGATIONS: i64 = 50;
/// The most tests that a line names.
const NAMED: usize = 12;

#[derive(Default, Serialize)]
pub struct IncidentsPage {
    pub open: Vec<IncidentLine>,
    pub closed: Vec<IncidentLine>,
    pub under_way: Vec<InvestigationLine>,
    pub answered: Vec<InvestigationLine>,
}

impl Template for IncidentsPage {
    const NAME: &'static str = "incidents";
}

#[derive(Default, Serialize)]
pub struct IncidentPage {
    pub incident: IncidentLine,
    pub regressions: Vec<RegressionSection>,
    pub assigned_to: Option<&'static str>,
    pub reported_as: Option<String>,
    /// Whether `reported_as` is a web address.
    pub reported_link: bool,
    pub waiver: Option<WaiverNotice>,
    /// The number of the earlier incident of which this one is a recurrence.
    pub recurrence_of: Option<i64>,
    /// The script that reproduces the failure. `None` if that is not possible.
    pub script: Option<ScriptView>,
    /// The single command that reproduces the failure, if an image is enough for it.
    pub reproduce: Option<String>,
    pub history: Vec<NoteLine>,
}

impl Template for IncidentPage {
    const NAME: &'static str = "incident";
}

#[derive(Debug, Default, Serialize)]
pub struct IncidentLine {
    pub number: i64,
    pub title: String,
    pub badge: Badge,
    /// Present if only projects in probation support the incident.
    pub unconfirmed: Option<Badge>,
    pub culprit: Option<RevisionLink>,
    pub projects: String,
    pub branches: String,
    /// When the first revision was committed that shows the failure.
    pub since: Time,
    pub closed: Option<Time>,
}

#[derive(Debug, Default, Serialize)]
pub struct RevisionLink {
    pub name: String,
    pub href: String,
    pub subject: String,
    /// The author without the mail address. `None` if only projects in probation support the claim.
    pub author: Option<String>,
    /// The address of the revision in its repository's web interface.
    pub link: Option<String>,
}

#[derive(Default, Serialize)]
pub struct RegressionSection {
    pub project: String,
    pub branch: String,
    pub variant: Option<String>,
    pub tests: Vec<String>,
    /// The number of tests that are not named.
    pub more: usize,
    pub good: RevisionLink,
    pub bad: RevisionLink,
    /// When `bad` was committed.
    pub when: Time,
    /// Whether `bad` is the culprit. If not, it is the end of a range.
    pub exact: bool,
    /// Present if only projects in probation support the claim about `bad`.
    pub unconfirmed: Option<Badge>,
    /// Why the answer is a range and not a culprit.
    pub reason: Option<String>,
    pub rate: Option<String>,
    pub error: Option<String>,
    /// The lines that only the failing log has.
    pub difference: String,
    /// Conditions besides CPython that differed between the two runs.
    pub conditions: Vec<String>,
    pub good_log: Option<String>,
    pub bad_log: Option<String>,
    pub fixed_by: Option<RevisionLink>,
    /// The event that fixed it, if no revision did.
    pub fixed_as: Option<String>,
    pub rounds: i64,
}

#[derive(Default, Serialize)]
pub struct WaiverNotice {
    pub who: String,
    pub why: String,
    pub until: Time,
}

#[derive(Default, Serialize)]
pub struct ScriptView {
    /// Whether CPython itself fails to build.
    pub is_build: bool,
    /// The warning if only a project in probation reports the failure.
    pub warning: Option<String>,
}

#[derive(Default, Serialize)]
pub struct NoteLine {
    pub at: Time,
    pub who: String,
    pub what: String,
}

#[derive(Default, Serialize)]
pub struct InvestigationLine {
    pub project: String,
    pub branch: String,
    pub tests: String,
    pub question: &'static str,
    pub answer: String,
    pub waiting: Option<String>,
    pub rounds: i64,
    pub at: Time,
}

pub async fn all(web: Web) -> HandlerResult {
    let now = now();
    let reader = web.incidents();
    let (open, closed): (Vec<IncidentView>, Vec<IncidentView>) = reader
        .all(CLOSED, now)
        .await?
        .into_iter()
        .partition(|incident| incident.closed_at.is_none());
    let (under_way, answered): (Vec<InvestigationView>, Vec<InvestigationView>) = reader
        .investigations(INVESTIGATIONS, now)
        .await?
        .into_iter()
        .partition(|view| view.ended_at.is_none());
    let incidents = |all: &[IncidentView]| all.iter().map(|one| line(one, now)).collect();
    let investigations = |all: Vec<InvestigationView>| all.into_iter().map(|one| investigation(one, now)).collect();
    let page = IncidentsPage {
        open: incidents(&open),
        closed: incidents(&closed),
        under_way: investigations(under_way),
        answered: investigations(answered),
    };
    frame::respond(&web, "Incidents", page).await
}

/// Returns the open incidents of a project.
pub async fn open_of(web: &Web, project: &str) -> Result<Vec<IncidentLine>> {
    let now = now();
    let open = web.incidents().all(0, now).await?;
    let its = open
        .iter()
        .filter(|incident| incident.projects.iter().any(|name| name == project));
    Ok(its.map(|incident| line(incident, now)).collect())
}

pub async fn page(number: i64, web: Web) -> HandlerResult {
    let now = now();
    let found = web.incidents().one(number, now).await?;
    let incident = found.ok_or_else(Error::not_found)?;
    let reproduction = reproduce::of(&web.store, &web.objects, &web.trust, number).await?.ok();
    let is_web_address = |at: &str| at.starts_with("https://") || at.starts_with("http://");
    let page = IncidentPage {
        incident: line(&incident, now),
        assigned_to: incident.assigned_to.map(wording::assignee),
        reported_link: incident.reported_as.as_deref().is_some_and(is_web_address),
        waiver: incident.waiver.map(|waiver| WaiverNotice {
            who: waiver.who,
            why: waiver.why,
            until: wording::time(waiver.until, now),
        }),
        script: reproduction.as_ref().map(|reproduction| ScriptView {
            is_build: reproduction.is_build(),
            warning: reproduction.warning().map(str::to_owned),
        }),
        reproduce: reproduction.and_then(|reproduction| reproduction.line()),
        history: incident.history.into_iter().map(|noted| note(noted, now)).collect(),
        regressions: incident
            .regressions
            .into_iter()
            .map(|part| regression(part, now))
            .collect(),
        reported_as: incident.reported_as,
        recurrence_of: incident.recurrence_of,
    };
    frame::respond(&web, format!("Incident {number}"), page).await
}

/// `/incident/NUMBER/reproduce.sh`: responds with the script.
pub async fn script(number: i64, web: Web) -> HandlerResult {
    match reproduce::of(&web.store, &web.objects, &web.trust, number).await? {
        Ok(reproduction) => Ok(reproduction.script().into_response()),
        Err(_) => Err(Error::not_found()),
    }
}

pub fn line(incident: &IncidentView, now: Timestamp) -> IncidentLine {
    let mut branches: Vec<&str> = incident.regressions.iter().map(|part| part.branch.as_str()).collect();
    branches.sort_unstable();
    branches.dedup();
    let committed = incident.regressions.iter().map(|part| part.bad.committed_at);
    let since = committed.min().unwrap_or(incident.opened_at);
    IncidentLine {
        number: incident.number,
        title: incident.title.clone(),
        badge: wording::incident_badge(incident.state, &incident.fixed_on),
        unconfirmed: incident.unconfirmed_by_others.then(wording::unconfirmed_badge),
        culprit: incident.culprits.first().map(revision),
        projects: incident.projects.join(", "),
        branches: branches.join(", "),
        since: wording::time(since, now),
        closed: incident.closed_at.map(|at| wording::time(at, now)),
    }
}

fn revision(revision: &read::RevisionView) -> RevisionLink {
    RevisionLink {
        name: wording::short(&revision.name).to_owned(),
        href: format!("/revision/{}", revision.revision),
        subject: revision.subject.clone(),
        author: revision.author.as_deref().map(name_of),
        link: revision.link.clone(),
    }
}

/// Returns the name of a person without the mail address.
fn name_of(person: &str) -> String {
    person.split(" <").next().unwrap_or_default().to_owned()
}

fn regression(part: read::RegressionView, now: Timestamp) -> RegressionSection {
    let log = |attempt: Option<String>| attempt.map(|id| format!("/attempt/{id}/log"));
    RegressionSection {
        variant: wording::unusual_variant(&part.variant),
        more: part.tests.len().saturating_sub(NAMED),
        tests: part.tests.into_iter().take(NAMED).collect(),
        good: revision(&part.good),
        bad: revision(&part.bad),
        when: wording::time(part.bad.committed_at, now),
        rate: part.rate.map(|rate| format!("{:.0} %", rate * 100.0)),
        difference: part.difference.join("\n"),
        conditions: part.conditions,
        good_log: log(part.good_attempt),
        bad_log: log(part.bad_attempt),
        fixed_by: part.fixed_by.as_ref().map(revision),
        fixed_as: part.fixed_as,
        project: part.project,
        branch: part.branch,
        exact: part.exact,
        unconfirmed: part.unconfirmed_by_others.then(wording::unconfirmed_badge),
        reason: part.reason,
        error: part.error,
        rounds: part.rounds,
    }
}

fn note(noted: read::NoteView, now: Timestamp) -> NoteLine {
    NoteLine {
        at: wording::time(noted.at, now),
        who: noted.who,
        what: noted.what,
    }
}

fn investigation(view: InvestigationView, now: Timestamp) -> InvestigationLine {
    let tests = match view.tests.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    };
    InvestigationLine {
        tests,
        question: wording::question(view.change),
        answer: view.answers.join("; "),
        waiting: view.waiting,
        at: wording::time(view.ended_at.unwrap_or(view.opened_at), now),
        project: view.project,
        branch: view.branch,
        rounds: view.rounds,
    }
}
