//! The text of an incident for an issue tracker, as Markdown.

use super::views::{IncidentView, RegressionView};
use crate::domain::text::plain;
use std::collections::BTreeSet;

/// The most regressions, tests and lines of a log that a text has.
const REGRESSIONS: usize = 20;
const TESTS: usize = 10;
const LINES: usize = 30;

/// The most projects that a title names.
const PROJECTS: usize = 3;

/// The most characters of a hash.
const SHORT: usize = 10;

/// The tracker for which a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracker<'a> {
    /// The tracker of CPython.
    Cpython,
    /// The tracker of a project.
    Project(&'a str),
}

/// A command that reproduces the failure of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReproduceLine<'a> {
    pub project: &'a str,
    /// The hash of the revision at which it fails.
    pub revision: &'a str,
    pub command: &'a str,
}

/// The text of an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueText {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
}

impl IssueText {
    /// Writes the text about the regressions of an incident that concern a tracker and are not fixed. Returns `None` if
    /// there are none.
    ///
    /// Names of tests, messages and subjects stand in code, so that they mention nobody and link to nothing.
    pub fn write(incident: &IncidentView, tracker: Tracker<'_>, reproduce: Option<ReproduceLine<'_>>) -> Option<Self> {
        let concerns = |part: &&RegressionView| match tracker {
            Tracker::Cpython => true,
            Tracker::Project(name) => part.project == name,
        };
        let is_open = |part: &&RegressionView| part.fixed_by.is_none() && part.fixed_as.is_none();
        let regressions = incident.regressions.iter();
        let parts: Vec<&RegressionView> = regressions.filter(concerns).filter(is_open).collect();
        // a culprit is worth more than a range
        let first = parts.iter().find(|part| part.exact).or(parts.first())?;
        let its: Vec<&RegressionView> = parts.iter().filter(|part| same_claim(first, part)).copied().collect();
        let what = match tracker {
            Tracker::Cpython => projects(&its),
            Tracker::Project(project) => format!("{project} on CPython {}", on(first)),
        };
        let others = if its.len() < parts.len() { ", and others" } else { "" };
        let title = format!("{what}: broken {}{others}", by(first));
        let mut body = String::new();
        let shown = parts.get(..REGRESSIONS).unwrap_or(&parts);
        // each culprit or range gets a sentence and a table
        for (at, part) in shown.iter().enumerate() {
            if !shown.iter().take(at).any(|other| same_claim(part, other)) {
                body += &section(part, shown.iter().filter(|other| same_claim(part, other)).copied());
            }
        }
        if parts.len() > shown.len() {
            body += &format!("{} more regressions are left out.\n\n", parts.len() - shown.len());
        }
        let is_shown = |line: &ReproduceLine<'_>| {
            let fits = |part: &&RegressionView| part.project == line.project && part.bad.revision == line.revision;
            shown.iter().any(fits)
        };
        if let Some(ReproduceLine { project, command, .. }) = reproduce.filter(is_shown) {
            body += &format!(
                "To reproduce it with Docker and the tests of {project}:\n\n{}\n",
                fenced("sh", command.trim_end())
            );
        }
        body += &format!("Found by Pybots, incident {}.\n", incident.number);
        Some(Self { title, body })
    }
}

fn projects(parts: &[&RegressionView]) -> String {
    let projects: BTreeSet<&str> = parts.iter().map(|part| part.project.as_str()).collect();
    match projects.len() {
        many if many > PROJECTS => format!("{many} projects"),
        _ => Vec::from_iter(projects).join(", "),
    }
}

/// Returns whether two regressions have the same culprit, or the same range, on the same branch.
fn same_claim(one: &RegressionView, other: &RegressionView) -> bool {
    let range = |part: &RegressionView| (part.good.revision.clone(), part.reason.clone());
    one.bad.revision == other.bad.revision
        && (one.exact, &one.branch) == (other.exact, &other.branch)
        && one.unconfirmed_by_others == other.unconfirmed_by_others
        && (one.exact || range(one) == range(other))
}

fn by(part: &RegressionView) -> String {
    let (good, bad) = (short(&part.good.name), short(&part.bad.name));
    match part.exact {
        true => format!("by {bad}"),
        false => format!("after {good}, up to {bad}"),
    }
}

/// Writes about the regressions with one culprit or one range.
fn section<'a>(first: &RegressionView, parts: impl Iterator<Item = &'a RegressionView>) -> String {
    let parts: Vec<&RegressionView> = parts.collect();
    let mut text = format!("{}\n\n| Project | Branch | What fails |\n|---|---|---|\n", since(first));
    for part in &parts {
        text += &format!("| {} | {} | {} |\n", part.project, on(part), tests(part));
    }
    if let Some(error) = &first.error {
        text += &format!("\nThe first error:\n\n{}", fenced("text", error));
    } else if !first.difference.is_empty() {
        let lines: Vec<&str> = first.difference.iter().take(LINES).map(String::as_str).collect();
        text += &format!(
            "\nLines that only the failing log has:\n\n{}",
            fenced("text", &lines.join("\n"))
        );
    }
    let evidence: String = parts.iter().filter_map(|part| evidence(part)).collect();
    if !evidence.is_empty() {
        text += &format!("\nHow often it was run:\n\n{evidence}");
    }
    if first.unconfirmed_by_others {
        text += "\nOnly a project in probation reports this, and nobody else has confirmed it.\n";
    }
    text + "\n"
}

fn since(part: &RegressionView) -> String {
    let bad = revision(part);
    let good = short(&part.good.name);
    let reason = part.reason.as_deref().map(plain);
    match part.exact {
        true => format!(
            "Since {bad} on {}, the following fails. It passes on {good}, the revision before it.",
            part.branch
        ),
        false => format!(
            "Since a revision after {good} and up to {bad} on {}, the following fails. The revision itself was not found{}.",
            part.branch,
            reason.map(|reason| format!(": {reason}")).unwrap_or_default(),
        ),
    }
}

fn revision(part: &RegressionView) -> String {
    let name = short(&part.bad.name);
    let shown = match &part.bad.link {
        Some(link) => format!("[{name}]({link})"),
        None => name,
    };
    format!("{shown} ({})", code(&part.bad.subject))
}

fn on(part: &RegressionView) -> String {
    match part.variant.as_str() {
        crate::domain::DEFAULT_VARIANT => part.branch.clone(),
        variant => format!("{} ({variant})", part.branch),
    }
}

fn tests(part: &RegressionView) -> String {
    let named: Vec<String> = part.tests.iter().take(TESTS).map(|test| code(test)).collect();
    match part.tests_count.saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Returns how many runs failed at the culprit and before it, if the regression has both.
fn evidence(part: &RegressionView) -> Option<String> {
    let at = |revision: &str| part.probed.iter().find(|probed| probed.revision == revision);
    let (good, bad) = (at(&part.good.revision)?, at(&part.bad.revision)?);
    Some(format!(
        "- {} on {}: {} of {} runs fail on {}, and {} of {} on {}.\n",
        part.project,
        on(part),
        bad.failed,
        bad.failed + bad.passed,
        short(&part.bad.name),
        good.failed,
        good.failed + good.passed,
        short(&part.good.name),
    ))
}

fn short(name: &str) -> String {
    name.chars().take(SHORT).collect()
}

/// Returns a text as code on one line of a table.
fn code(text: &str) -> String {
    let text: String = plain(text)
        .chars()
        .map(|c| if matches!(c, '`' | '|') { '?' } else { c })
        .collect();
    format!("`{text}`")
}

/// Returns a block of code. Its fence is longer than each row of backticks in the text.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}\n")
}

#[cfg(test)]
#[path = "issue_tests.rs"]
mod tests;
