//! The pages of a submitted recipe: its versions, and one version with its trial and its difference from the version
//! before.

use super::error::{Error, HandlerResult};
use super::forms::{Form, see_other};
use super::frame::{self, Frame, Here};
use super::route::Web;
use super::template::Template;
use super::visitor::Visitor;
use super::wording::{Time, time};
use crate::clock::now;
use crate::domain::access::{Permission, Reach};
use crate::domain::recipe_version::{HandOverAnswer, ProjectMove, ProjectState, VersionState};
use crate::store::submissions::{RecipeVersion, Registration};
use crate::submissions::{self, VersionMove};
use anyhow::Result;
use serde::Serialize;

/// The number of versions on the page of a recipe.
const VERSIONS: i64 = 50;
/// Seconds after which a page with a running trial reloads.
const REFRESH: u32 = 5;

#[derive(Default, Serialize)]
pub struct VersionsPage {
    pub csrf: String,
    pub project: RegistrationLine,
    pub versions: Vec<VersionLine>,
    /// Whether the visitor may change the project.
    pub may_manage: bool,
    /// Whether the project is being handed over to the visitor, who has not accepted yet.
    pub is_receiver: bool,
    /// The possible changes of the project's state.
    pub moves: Vec<&'static str>,
}

impl Template for VersionsPage {
    const NAME: &'static str = "recipe_versions";
}

#[derive(Default, Serialize)]
pub struct RegistrationLine {
    pub name: String,
    pub state: &'static str,
    pub reason: Option<String>,
    pub owner: Option<String>,
    /// The account to which the owner hands the project over, until that account accepts.
    pub next_owner: Option<String>,
    pub version: Option<i64>,
}

#[derive(Default, Serialize)]
pub struct VersionLine {
    pub number: i64,
    pub state: &'static str,
    pub in_force: bool,
    pub by: String,
    pub at: Time,
    /// The result of the trial.
    pub trial: Option<String>,
    pub trial_run: Option<String>,
    pub decided_by: Option<String>,
    pub reason: Option<String>,
}

#[derive(Default, Serialize)]
pub struct VersionPage {
    pub csrf: String,
    pub project: RegistrationLine,
    pub version: VersionLine,
    pub text: String,
    /// The earlier version in the difference.
    pub before: Option<i64>,
    pub diff: Vec<DiffLine>,
    /// Whether the visitor may approve or refuse the version, and nobody has decided yet.
    pub may_decide: bool,
    /// Whether the trial is still open.
    pub is_tried: bool,
}

impl Template for VersionPage {
    const NAME: &'static str = "recipe_version";
}

#[derive(Default, Serialize)]
pub struct DiffLine {
    /// The class in the style sheet: `old`, `new` or empty.
    pub class: &'static str,
    pub text: String,
}

pub async fn versions(project: String, web: Web, visitor: Result<Visitor, Error>) -> HandlerResult {
    let visitor = visitor?;
    let found = submissions::registration(&web.store, &project).await?;
    let all = web.store.versions(&project, i64::MAX, VERSIONS).await?;
    let can = |action: &&ProjectMove| found.state.after(**action, found.version.is_some()).is_ok();
    let page = VersionsPage {
        csrf: visitor.csrf.clone(),
        versions: all.into_iter().map(|version| version_line(version, &found)).collect(),
        may_manage: may_manage(&visitor, &found),
        is_receiver: is_receiver(&visitor, &found),
        moves: ProjectMove::ALL
            .iter()
            .filter(can)
            .map(|action| action.name())
            .collect(),
        project: project_line(&web, &found).await?,
    };
    frame::respond_form(&web, format!("Recipe of {project}"), page).await
}

fn may_manage(visitor: &Visitor, project: &Registration) -> bool {
    let actor = visitor.actor.as_ref();
    actor.is_some_and(|actor| {
        actor
            .require_for(Permission::Recipes, project.owner_id.as_ref())
            .is_ok()
    })
}

fn is_receiver(visitor: &Visitor, project: &Registration) -> bool {
    let account = visitor.actor.as_ref().and_then(|actor| actor.account.as_ref());
    account.is_some() && account == project.next_owner_id.as_ref()
}

async fn project_line(web: &Web, found: &Registration) -> Result<RegistrationLine> {
    let [owner, next_owner] = submissions::owners(&web.store, found).await?;
    Ok(RegistrationLine {
        name: found.project.clone(),
        state: found.state.name(),
        reason: Some(found.reason.clone()).filter(|reason| !reason.is_empty()),
        owner,
        next_owner,
        version: found.version,
    })
}

fn version_line(version: RecipeVersion, project: &Registration) -> VersionLine {
    let is_active = project.state == ProjectState::Active;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    VersionLine {
        number: version.number,
        state: state_words(version.state),
        in_force: is_active && project.version == Some(version.number),
        by: version.submitted_by,
        at: time(version.submitted_at, now()),
        trial: filled(version.trial_note),
        trial_run: version.trial_run_id.map(|run| run.into_string()),
        decided_by: version.decided_by,
        reason: filled(version.reason),
    }
}

/// Returns the words for a state that follow "It is".
fn state_words(state: VersionState) -> &'static str {
    match state {
        VersionState::Trial => "on trial",
        VersionState::Waiting => "waiting for a maintainer",
        VersionState::Approved => "approved",
        VersionState::Refused => "refused",
        VersionState::Superseded => "superseded",
    }
}

pub async fn version(project: String, number: i64, web: Web, visitor: Result<Visitor, Error>) -> HandlerResult {
    let visitor = visitor?;
    let found = submissions::registration(&web.store, &project).await?;
    let version = submissions::version(&web.store, &project, number).await?;
    let text = web.store.recipe_text(&version.digest).await?.unwrap_or_default();
    let earlier = web.store.versions(&project, number, 1).await?.pop();
    let diff = match &earlier {
        Some(earlier) => diff_lines(&submissions::difference(&web.store, &project, earlier.number, number).await?),
        None => Vec::new(),
    };
    let actor = visitor.actor.as_ref();
    let reach = actor.and_then(|actor| actor.reach(Permission::Approvals));
    let is_tried = version.state == VersionState::Trial;
    let page = VersionPage {
        csrf: visitor.csrf.clone(),
        may_decide: version.state.is_open() && reach == Some(Reach::All),
        is_tried,
        before: earlier.map(|earlier| earlier.number),
        diff,
        text,
        project: project_line(&web, &found).await?,
        version: version_line(version, &found),
    };
    let status = web.store.status().await?;
    let title = format!("Version {number} of the recipe of {project}");
    // a reload would empty the form in which a maintainer writes
    let refresh = (is_tried && !page.may_decide).then_some(REFRESH);
    Frame::new(Some(&status), title, Here::None, page)
        .refreshed(refresh)
        .with_forms()
        .respond()
}

/// Returns the lines of a unified diff, without its two header lines.
fn diff_lines(unified: &str) -> Vec<DiffLine> {
    let line = |text: &str| DiffLine {
        class: match text.chars().next() {
            Some('+') => "new",
            Some('-') => "old",
            _ => "",
        },
        text: text.to_owned(),
    };
    unified.lines().skip(2).map(line).collect()
}

pub async fn decide(project: String, number: i64, form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let decision = match form.field("decision") {
        "approve" => VersionMove::Approve {
            without_trial: form.field("without_trial") == "yes",
        },
        "refuse" => VersionMove::Refuse,
        _ => return Err(Error::BadRequest("a version is approved or refused".into())),
    };
    let of = (project.as_str(), number);
    let with = (&decision, form.field("reason").trim());
    submissions::decide(&form.web.store, form.visitor.actor()?, of, with, now()).await?;
    see_other(&format!("/recipe/{project}/{number}"))
}

pub async fn set_state(project: String, form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let action: ProjectMove = form
        .field("action")
        .parse()
        .map_err(|error: String| Error::BadRequest(error.into()))?;
    let with = (action, form.field("reason").trim());
    submissions::move_project(&form.web.store, form.visitor.actor()?, &project, with, now()).await?;
    see_other(&format!("/recipe/{project}"))
}

pub async fn hand_over(project: String, form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let to = form.field("to").trim();
    submissions::hand_over(&form.web.store, form.visitor.actor()?, &project, to, now()).await?;
    see_other(&format!("/recipe/{project}"))
}

pub async fn answer_hand_over(project: String, form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    let answer: HandOverAnswer = form
        .field("action")
        .parse()
        .map_err(|error: String| Error::BadRequest(error.into()))?;
    submissions::answer_hand_over(&form.web.store, form.visitor.actor()?, &project, answer, now()).await?;
    see_other(&format!("/recipe/{project}"))
}
