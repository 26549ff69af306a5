//! The form for submitting a recipe.

use super::error::{Error, HandlerResult};
use super::forms::{Form, see_other, to_login};
use super::frame;
use super::route::{Query, Web};
use super::template::Template;
use super::visitor::Visitor;
use crate::clock::now;
use crate::domain::refusal::Located;
use crate::submissions::{self, Submission};
use serde::Serialize;

#[derive(Default, Serialize)]
pub struct SubmitPage {
    pub csrf: String,
    /// The project whose recipe is edited.
    pub project: Option<String>,
    /// The number of the edited version; empty for a new project.
    pub base: String,
    pub text: String,
    /// The reason why the text was refused.
    pub error: Option<String>,
    pub problems: Vec<ProblemLine>,
}

impl Template for SubmitPage {
    const NAME: &'static str = "submit";
}

#[derive(Default, Serialize)]
pub struct ProblemLine {
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub help: Option<String>,
}

fn problem_line(problem: &Located) -> ProblemLine {
    ProblemLine {
        line: problem.line,
        column: problem.column,
        message: problem.message.clone(),
        help: problem.help.clone(),
    }
}

/// Responds with the form, or redirects to the login. `?project=NAME` edits the newest version of a recipe.
pub async fn page(web: Web, visitor: Result<Visitor, Error>, query: Query) -> HandlerResult {
    let visitor = visitor?;
    let project = query.get("project").cloned();
    if visitor.actor.is_none() {
        let next = project.map_or("/submit".to_owned(), |project| format!("/submit?project={project}"));
        return to_login(&next);
    }
    let mut page = SubmitPage {
        csrf: visitor.csrf,
        project: project.clone(),
        ..SubmitPage::default()
    };
    if let Some(project) = project {
        submissions::registration(&web.store, &project).await?;
        if let Some(newest) = web.store.versions(&project, i64::MAX, 1).await?.pop() {
            page.base = newest.number.to_string();
            page.text = web.store.recipe_text(&newest.digest).await?.unwrap_or_default();
        }
    }
    frame::respond_form(&web, "Submit a recipe", page).await
}

pub async fn submit(form: Result<Form, Error>) -> HandlerResult {
    let form = form?;
    // browsers send CRLF as the line ends of a text area
    let text = form.field("recipe").replace("\r\n", "\n");
    let submission = Submission {
        text: &text,
        // without a version, the text is for a new project
        base: Some(form.field("base").parse().unwrap_or(0)),
        digest: None,
    };
    let submitted = submissions::submit(&form.web.store, form.visitor.actor()?, submission, now()).await;
    let error = match submitted.map_err(Error::from) {
        Ok(version) => return see_other(&format!("/recipe/{}/{}", version.project, version.number)),
        Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::Unauthorized(_))) => return Err(error),
        Err(error) => error,
    };
    let project = form.field("project");
    let page = SubmitPage {
        csrf: form.visitor.csrf.clone(),
        project: (!project.is_empty()).then(|| project.to_owned()),
        base: form.field("base").to_owned(),
        error: Some(error.to_string()),
        problems: match &error {
            Error::Problems(problems) => problems.iter().map(problem_line).collect(),
            _ => Vec::new(),
        },
        text,
    };
    let mut response = frame::respond_form(&form.web, "Submit a recipe", page).await?;
    *response.status_mut() = error.status();
    Ok(response)
}
