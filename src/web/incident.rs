//! The page of an incident: what broke, the culprit with what it changes, the proof, and how to reproduce and report it.

use super::error::{Error, HandlerResult};
use super::forms::{Form, see_other};
use super::frame::{Frame, Here};
use super::incidents::{IncidentLine, RevisionLink, line, revision};
use super::patch::{self, PatchView};
use super::route::Web;
use super::template::Template;
use super::visitor::Visitor;
use super::wording::{self, Badge, Time};
use crate::clock::now;
use crate::decisions::{self, IncidentDecision};
use crate::domain::access::Permission;
use crate::domain::time::Timestamp;
use crate::incidents::{
    IncidentView, IssueText, NoteView, ProbedView, RegressionView, ReproduceLine, RevisionView, Tracker,
};
use crate::reproduce;
use serde::Serialize;
use std::collections::BTreeSet;
use warp::Reply;

/// The most tests that a line names.
const NAMED: usize = 12;

/// The most regressions on the page.
const REGRESSIONS: usize = 20;

/// The most signs in a line of marks.
const MARKS: usize = 12;

/// The project of a regression for which CPython does not build.
const CPYTHON: &str = "cpython";

/// The most projects for whose trackers there is a text.
const TRACKERS: usize = 5;

#[derive(Default, Serialize)]
pub struct IncidentPage {
    pub incident: IncidentLine,
    /// The first culprit, with what it breaks.
    pub head: Option<CulpritHead>,
    /// What that culprit changes.
    pub patch: Option<PatchView>,
    pub regressions: Vec<RegressionSection>,
    /// The number of regressions that the page leaves out.
    pub more: usize,
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
    /// The texts for issue trackers.
    pub issues: Vec<IssueView>,
    pub history: Vec<NoteLine>,
    /// Whether the visitor may decide about the incident, which is open.
    pub may_decide: bool,
    pub csrf: String,
}

impl Template for IncidentPage {
    const NAME: &'static str = "incident";
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
    /// Whether the head of the page names `bad` as the culprit.
    pub is_in_head: bool,
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
    /// What the probes showed at each revision of the searched range.
    pub probed: Vec<ProbedLine>,
    /// The addresses of the attempts that were compared.
    pub good_attempt: Option<String>,
    pub bad_attempt: Option<String>,
    pub fixed_by: Option<RevisionLink>,
    /// The event that fixed it, if no revision did.
    pub fixed_as: Option<String>,
    pub rounds: i64,
}

/// A culprit, with what it is proved to break.
#[derive(Default, Serialize)]
pub struct CulpritHead {
    pub revision: RevisionLink,
    pub projects: String,
    pub branches: String,
    /// When it was committed.
    pub since: Time,
}

/// The probes at one revision.
#[derive(Default, Serialize)]
pub struct ProbedLine {
    pub name: String,
    pub href: String,
    /// A sign for each probe: `✗` for a failure and `✓` for a pass.
    pub marks: String,
    pub words: String,
    /// Whether this is the culprit, or the end of the range.
    pub is_bad: bool,
}

/// The text for an issue tracker.
#[derive(Default, Serialize)]
pub struct IssueView {
    pub tracker: String,
    pub title: String,
    pub body: String,
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

/// `/incident/NUMBER`: responds with the page, which has a form for visitors who may decide.
pub async fn page(number: i64, web: Web, visitor: Result<Visitor, Error>) -> HandlerResult {
    let visitor = visitor?;
    let now = now();
    let found = web.incidents().one(number, now).await?;
    let incident = found.ok_or_else(Error::not_found)?;
    let reproduction = reproduce::of(&web.store, &web.objects, &web.trust, number).await?.ok();
    let is_web_address = |at: &str| at.starts_with("https://") || at.starts_with("http://");
    let reproduce = reproduction.as_ref().and_then(|reproduction| reproduction.line());
    let culprit = incident.culprits.first().map(|culprit| culprit.revision.clone());
    let patch = match &culprit {
        Some(culprit) => patch::of(&web, culprit).await?,
        None => None,
    };
    let may_decide = visitor
        .actor
        .as_ref()
        .is_some_and(|actor| actor.require_all(Permission::Incidents).is_ok());
    let page = IncidentPage {
        incident: line(&incident, now),
        head: incident.culprits.first().map(|first| head(&incident, first, now)),
        patch,
        issues: issues(
            &incident,
            reproduction
                .as_ref()
                .and_then(|reproduction| reproduction.run())
                .zip(reproduce.as_deref())
                .map(|((project, revision), command)| ReproduceLine {
                    project,
                    revision,
                    command,
                }),
        ),
        may_decide: may_decide && incident.closed_at.is_none(),
        csrf: visitor.csrf.clone(),
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
        reproduce,
        more: incident.regressions.len().saturating_sub(REGRESSIONS),
        history: incident.history.into_iter().map(|noted| note(noted, now)).collect(),
        regressions: incident
            .regressions
            .into_iter()
            .take(REGRESSIONS)
            .map(|part| regression(part, culprit.as_deref(), now))
            .collect(),
        reported_as: incident.reported_as,
        recurrence_of: incident.recurrence_of,
    };
    let status = web.store.status().await?;
    let frame = Frame::new(Some(&status), format!("Incident {number}"), Here::None, page).scripted(true);
    match frame.page().may_decide {
        true => frame.with_forms().respond(),
        false => frame.respond(),
    }
}

/// `/incident/NUMBER/decision`: records a decision, and leads back to the page.
pub async fn decide(number: i64, form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let text = form.field("text").trim().to_owned();
    let decision = match form.field("decision") {
        "agree" => IncidentDecision::Agree { why: text },
        "disagree" => IncidentDecision::Disagree { why: text },
        "ours" => IncidentDecision::Ours { why: text },
        "intended" => IncidentDecision::Intended { why: text },
        "reported" => IncidentDecision::Reported { at: text },
        "waive" => IncidentDecision::Waive {
            why: text,
            until: form.field("until").trim().to_owned(),
        },
        "close" => IncidentDecision::Close { why: text },
        _ => return Err(Error::BadRequest("choose one of the decisions on the page".into())),
    };
    decisions::decide(&form.web.store, form.visitor.actor()?, number, &decision, now()).await?;
    see_other(&format!("/incident/{number}"))
}

/// `/incident/NUMBER/reproduce.sh`: responds with the script.
pub async fn script(number: i64, web: Web) -> HandlerResult {
    match reproduce::of(&web.store, &web.objects, &web.trust, number).await? {
        Ok(reproduction) => Ok(reproduction.script().into_response()),
        Err(_) => Err(Error::not_found()),
    }
}

fn head(incident: &IncidentView, culprit: &RevisionView, now: Timestamp) -> CulpritHead {
    let regressions = incident.regressions.iter();
    let its: Vec<&RegressionView> = regressions
        .filter(|part| part.exact && part.bad.revision == culprit.revision)
        .collect();
    let joined = |of: fn(&RegressionView) -> &str| {
        let names: BTreeSet<&str> = its.iter().map(|part| of(part)).collect();
        Vec::from_iter(names).join(", ")
    };
    CulpritHead {
        revision: revision(culprit),
        projects: joined(|part| &part.project),
        branches: joined(|part| &part.branch),
        since: wording::time(culprit.committed_at, now),
    }
}

/// Writes the texts for CPython's tracker, and for those of the first projects.
fn issues(incident: &IncidentView, reproduce: Option<ReproduceLine<'_>>) -> Vec<IssueView> {
    let write = |(name, tracker): (&str, Tracker<'_>)| {
        let text = IssueText::write(incident, tracker, reproduce)?;
        Some(IssueView {
            tracker: name.to_owned(),
            title: text.title,
            body: text.body,
        })
    };
    let projects = incident.projects.iter().filter(|name| *name != CPYTHON);
    let of_projects = projects.filter_map(|name| write((name, Tracker::Project(name))));
    let of_cpython = write(("CPython", Tracker::Cpython)).into_iter();
    of_cpython.chain(of_projects.take(TRACKERS)).collect()
}

fn regression(part: RegressionView, culprit: Option<&str>, now: Timestamp) -> RegressionSection {
    let attempt = |id: Option<String>| id.map(|id| format!("/attempt/{id}"));
    let bad = part.bad.revision.clone();
    RegressionSection {
        variant: wording::unusual_variant(&part.variant),
        more: part.tests_count.saturating_sub(NAMED),
        tests: part.tests.into_iter().take(NAMED).collect(),
        good: revision(&part.good),
        bad: revision(&part.bad),
        when: wording::time(part.bad.committed_at, now),
        rate: part.rate.map(|rate| format!("{:.0} %", rate * 100.0)),
        difference: part.difference.join("\n"),
        conditions: part.conditions,
        probed: part.probed.iter().map(|probed| probed_line(probed, &bad)).collect(),
        good_attempt: attempt(part.good_attempt),
        bad_attempt: attempt(part.bad_attempt),
        fixed_by: part.fixed_by.as_ref().map(revision),
        fixed_as: part.fixed_as,
        project: part.project,
        branch: part.branch,
        exact: part.exact,
        is_in_head: part.exact && Some(bad.as_str()) == culprit,
        unconfirmed: part.unconfirmed_by_others.then(wording::unconfirmed_badge),
        reason: part.reason,
        error: part.error,
        rounds: part.rounds,
    }
}

fn note(noted: NoteView, now: Timestamp) -> NoteLine {
    NoteLine {
        at: wording::time(noted.at, now),
        who: noted.who,
        what: noted.what,
    }
}

fn probed_line(probed: &ProbedView, bad: &str) -> ProbedLine {
    let all = probed.passed + probed.failed;
    let signs = |sign: &str, count: u32| sign.repeat(usize::try_from(count).unwrap_or(MARKS).min(MARKS));
    ProbedLine {
        name: wording::short(&probed.name).to_owned(),
        href: format!("/run/{}", probed.run),
        marks: signs("✗", probed.failed) + &signs("✓", probed.passed),
        words: match (probed.failed, probed.passed) {
            (0, 1) => "the run passes".to_owned(),
            (0, _) => format!("all {all} runs pass"),
            (1, 0) => "the run fails".to_owned(),
            (_, 0) => format!("all {all} runs fail"),
            (failed, _) => format!("{failed} of {all} runs fail"),
        },
        is_bad: probed.revision == bad,
    }
}
