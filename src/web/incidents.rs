//! The page of all incidents and investigations, and the lines about incidents that other pages show.

use super::error::HandlerResult;
use super::frame;
use super::route::Web;
use super::template::Template;
use super::wording::{self, Badge, Time};
use crate::clock::now;
use crate::domain::text::name_of;
use crate::domain::time::Timestamp;
use crate::incidents::{IncidentView, InvestigationView, RevisionView};
use anyhow::Result;
use serde::Serialize;

/// The number of closed incidents, and of investigations, on the page.
const CLOSED: i64 = 30;
const INVESTIGATIONS: i64 = 50;

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

pub fn revision(revision: &RevisionView) -> RevisionLink {
    RevisionLink {
        name: wording::short(&revision.name).to_owned(),
        href: format!("/revision/{}", revision.revision),
        subject: revision.subject.clone(),
        author: revision.author.as_deref().map(|author| name_of(author).to_owned()),
        link: revision.link.clone(),
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
