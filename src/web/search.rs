//! Search over revisions, projects, tests and incidents.

use super::error::HandlerResult;
use super::frame;
use super::incidents::{self, IncidentLine};
use super::route::{Query, Web};
use super::template::Template;
use super::wording::{self, Time};
use crate::clock::now;
use crate::domain::text::name_of;
use crate::domain::time::Timestamp;
use crate::domain::words::words;
use crate::store::revisions::Revision;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;

/// The most characters of a query.
const QUERY_MOST: usize = 200;

/// The most revisions, projects and incidents on the page.
const REVISIONS: i64 = 20;
const PROJECTS: usize = 20;
const INCIDENTS: i64 = 10;

#[derive(Default, Serialize)]
pub struct SearchPage {
    /// Empty if nothing is searched for.
    pub query: String,
    pub revisions: Vec<FoundRevision>,
    pub projects: Vec<String>,
    pub incidents: Vec<IncidentLine>,
    /// Whether nothing was found.
    pub is_empty: bool,
}

impl Template for SearchPage {
    const NAME: &'static str = "search";
}

#[derive(Debug, Default, Serialize)]
pub struct FoundRevision {
    pub sha: String,
    pub name: String,
    pub subject: String,
    pub author: String,
    pub branch: String,
    pub committed: Time,
}

/// `/search?q=QUERY`: responds with what is found.
pub async fn page(web: Web, query: Query) -> HandlerResult {
    let now = now();
    let query: String = query
        .get("q")
        .map(String::as_str)
        .unwrap_or_default()
        .trim()
        .chars()
        .take(QUERY_MOST)
        .collect();
    let mut page = SearchPage {
        revisions: revisions(&web, &query, now).await?,
        projects: projects(&web, &query).await?,
        incidents: found_incidents(&web, &query, now).await?,
        ..SearchPage::default()
    };
    page.is_empty =
        !query.is_empty() && page.revisions.is_empty() && page.projects.is_empty() && page.incidents.is_empty();
    let title = match query.is_empty() {
        true => "Search".to_owned(),
        false => format!("Search: {query}"),
    };
    page.query = query;
    frame::respond(&web, title, page).await
}

/// Returns the revision with this hash or label, and those with the words of the query, each once.
pub async fn revisions(web: &Web, query: &str, now: Timestamp) -> Result<Vec<FoundRevision>> {
    let mut found: Vec<Revision> = web.store.revision_by_sha(query).await?.into_iter().collect();
    found.extend(web.store.find_revisions(query, REVISIONS).await?);
    let mut seen = BTreeSet::new();
    found.retain(|revision| seen.insert(revision.sha.clone()));
    Ok(found
        .into_iter()
        .map(|revision| found_revision(revision, now))
        .collect())
}

fn found_revision(revision: Revision, now: Timestamp) -> FoundRevision {
    FoundRevision {
        name: wording::short(revision.name()).to_owned(),
        subject: revision.subject,
        author: name_of(&revision.author).to_owned(),
        branch: revision.branch,
        committed: wording::time(revision.committed_at, now),
        sha: revision.sha,
    }
}

/// Returns the registered projects whose name or summary has all the words of the query.
async fn projects(web: &Web, query: &str) -> Result<Vec<String>> {
    let words = words(query);
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let all = web.store.projects().await?.into_iter();
    let has_all = |text: &str| words.iter().all(|word| text.contains(word.as_str()));
    let found = all.filter(|project| has_all(&format!("{} {}", project.name, project.summary).to_lowercase()));
    Ok(found.map(|project| project.name).take(PROJECTS).collect())
}

/// Returns the incident with this number, and those whose projects and tests have the words of the query.
async fn found_incidents(web: &Web, query: &str, now: Timestamp) -> Result<Vec<IncidentLine>> {
    let mut numbers: Vec<i64> = query.trim_start_matches('#').parse().into_iter().collect();
    numbers.extend(web.store.find_incidents(query, INCIDENTS).await?);
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for number in numbers.into_iter().filter(|number| seen.insert(*number)) {
        let incident = web.incidents().one(number, now).await?;
        lines.extend(incident.iter().map(|incident| incidents::line(incident, now)));
    }
    Ok(lines)
}
