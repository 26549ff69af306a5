//! The frame around the content of every page: title, tabs of branches, and state of the queue. `templates/layout.hbs`
//! renders it.

use super::error::{Error, HandlerResult};
use super::response::{self, SCRIPT_TAG, STYLE_TAG};
use super::route::Web;
use super::template::{Template, render};
use super::wording::{self, Time};
use crate::clock::now;
use crate::store::branches::Branch;
use crate::store::views::Status;
use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use warp::reply::Response;

#[derive(Serialize)]
pub struct Frame<T> {
    title: String,
    /// Version of the style sheet.
    style: &'static str,
    tabs: Vec<Tab>,
    /// The state of the queue. `None` if the store can't be read.
    status: Option<StatusView>,
    /// Seconds until the page is read again: by its script, or by a browser without scripts.
    refresh: Option<u32>,
    /// Whether the script replaces the content of the page after that time. It does not on a page with a growing log,
    /// which the script reloads at the end of the log.
    in_place: bool,
    /// Version of the script, if the page needs it.
    script: Option<&'static str>,
    page: T,
    /// Whether the page has forms of a session. Caches must not store it.
    #[serde(skip)]
    has_forms: bool,
}

#[derive(Serialize)]
struct Tab {
    name: String,
    href: String,
    here: bool,
}

#[derive(Serialize)]
struct StatusView {
    waiting: i64,
    working: i64,
    refused: i64,
    problems: Vec<ProblemView>,
}

#[derive(Serialize)]
struct ProblemView {
    branch: String,
    problem: String,
    checked: Option<Time>,
}

/// The tab to which a page belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Here<'a> {
    None,
    AllBranches,
    Branch(&'a str),
}

impl<T: Template> Frame<T> {
    pub fn new(status: Option<&Status>, title: impl Into<String>, here: Here<'_>, page: T) -> Self {
        let branches = status.map_or(&[][..], |status| &status.branches);
        Self {
            title: title.into(),
            style: &STYLE_TAG,
            tabs: tabs(branches, here),
            status: status.map(|status| status_view(status, here)),
            refresh: None,
            in_place: false,
            script: None,
            page,
            has_forms: false,
        }
    }

    /// Makes the page follow its content: its script reads it again every few seconds. A browser without scripts reloads
    /// it.
    pub fn refreshed(self, seconds: Option<u32>) -> Self {
        Self {
            refresh: seconds,
            in_place: seconds.is_some(),
            script: seconds.map(|_| SCRIPT_TAG.as_str()),
            ..self
        }
    }

    /// Lets the page's script show a growing log, in place of reading the page again.
    pub fn live(self, live: bool) -> Self {
        match live {
            true => Self {
                in_place: false,
                script: Some(SCRIPT_TAG.as_str()),
                ..self
            },
            false => self,
        }
    }

    /// Gives the page its script if it has a use for it: the script adds buttons that copy texts, and lets arrow keys go
    /// through a matrix.
    pub fn scripted(self, is_used: bool) -> Self {
        Self {
            script: self.script.or(is_used.then_some(SCRIPT_TAG.as_str())),
            ..self
        }
    }

    /// Returns the context of the page's own template.
    pub fn page(&self) -> &T {
        &self.page
    }

    /// Keeps the page, which has forms of a session, out of caches.
    pub fn with_forms(self) -> Self {
        Self {
            has_forms: true,
            ..self
        }
    }

    pub fn html(&self) -> Result<String> {
        render(T::NAME, self)
    }

    pub fn respond(self) -> HandlerResult {
        let html = self.html()?;
        Ok(match self.has_forms {
            true => response::html_for_one(html, self.script.is_some()),
            false => response::html(html, self.script.is_some()),
        })
    }
}

/// Responds with a page that belongs to no branch.
pub async fn respond<T: Template>(web: &Web, title: impl Into<String>, page: T) -> HandlerResult {
    let status = web.store.status().await?;
    Frame::new(Some(&status), title, Here::None, page).respond()
}

/// Responds with a page that has forms and belongs to no branch. Caches must not store it.
pub async fn respond_form<T: Template>(web: &Web, title: impl Into<String>, page: T) -> HandlerResult {
    let status = web.store.status().await?;
    Frame::new(Some(&status), title, Here::None, page)
        .with_forms()
        .respond()
}

fn tabs(branches: &[Branch], here: Here<'_>) -> Vec<Tab> {
    let all = Tab {
        name: "All".to_owned(),
        href: "/".to_owned(),
        here: here == Here::AllBranches,
    };
    let branches = branches.iter().map(|branch| Tab {
        name: branch.name.clone(),
        href: format!("/branch/{}", branch.name),
        here: here == Here::Branch(&branch.name),
    });
    std::iter::once(all).chain(branches).collect()
}

fn status_view(status: &Status, here: Here<'_>) -> StatusView {
    let concerned = |branch: &&Branch| match here {
        Here::None => false,
        Here::AllBranches => true,
        Here::Branch(name) => name == branch.name,
    };
    let now = now();
    let problem = |branch: &Branch| {
        Some(ProblemView {
            branch: branch.name.clone(),
            problem: branch.problem.clone()?,
            checked: branch.checked_at.map(|at| wording::time(at, now)),
        })
    };
    StatusView {
        waiting: status.waiting,
        working: status.working,
        refused: status.refused,
        problems: status.branches.iter().filter(concerned).filter_map(problem).collect(),
    }
}

#[derive(Default, Serialize)]
pub struct ErrorPage {
    pub code: u16,
    pub path: String,
    pub advice: String,
}

impl Template for ErrorPage {
    const NAME: &'static str = "error";
}

/// Responds with an error page. Works without the store, whose failure may be the cause.
pub async fn failed(web: &Web, path: &str, error: &Error) -> Response {
    let status = match error {
        // the store may be away, and a query would take long
        Error::Unavailable(_) => None,
        _ => web.store.status().await.ok(),
    };
    page_of_failure(status.as_ref(), path, error)
}

/// Responds with an error in the format for a path: problem details, JSON, text or HTML. Does not query the store.
pub fn plain_failure(path: &str, error: &Error) -> Response {
    let is_below = |folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let response = if is_below("/api/v1") {
        error.log(path);
        response::problem(error)
    } else if is_below("/api/host") {
        error.log(path);
        error.respond(error.to_string())
    } else if is_below("/api") {
        error.log(path);
        error.respond(response::json(&json!({ "error": error.to_string() })))
    } else {
        page_of_failure(None, path, error)
    };
    response::secure(response)
}

fn page_of_failure(status: Option<&Status>, path: &str, error: &Error) -> Response {
    error.log(path);
    let (title, advice) = wording::failure(error);
    let page = ErrorPage {
        code: error.status().as_u16(),
        path: path.to_owned(),
        advice,
    };
    match Frame::new(status, title, Here::None, page).html() {
        Ok(html) => error.respond(response::html(html, false)),
        Err(failure) => {
            Error::Internal(failure).log(path);
            error.respond("Pybots failed to render this page. The log of the coordinator has the reason.\n")
        }
    }
}

#[cfg(test)]
impl<T: Template> Frame<T> {
    /// Returns a frame with everything that the layout can show.
    pub fn full(page: T) -> Self {
        let problem = ProblemView {
            branch: "trunk".to_owned(),
            problem: "the repository can't be reached".to_owned(),
            checked: Some(Time::default()),
        };
        let tab = Tab {
            name: "trunk".to_owned(),
            href: "/branch/trunk".to_owned(),
            here: true,
        };
        Self {
            title: "title".to_owned(),
            style: &STYLE_TAG,
            tabs: vec![tab],
            status: Some(StatusView {
                waiting: 1,
                working: 1,
                refused: 1,
                problems: vec![problem],
            }),
            refresh: Some(3),
            in_place: true,
            script: Some(&SCRIPT_TAG),
            page,
            has_forms: true,
        }
    }
}
