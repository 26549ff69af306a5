//! The text of an incident for an issue tracker, as Markdown.

use super::views::{IncidentView, RegressionView};
use crate::domain::text::plain;
use std::collections::BTreeSet;

/// The most regressions and tests that a text names, and the most lines of a log.
const REGRESSIONS: usize = 20;
const TESTS: usize = 10;
const LINES: usize = 30;

/// The most characters of a hash.
const SHORT: usize = 10;

/// The tracker for which a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracker<'a> {
    Cpython,
    /// The tracker of a project.
    Project(&'a str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueText {
    pub title: String,
    pub body: String,
}

impl IssueText {
    /// Writes the text about the regressions of an incident that concern a tracker. `reproduce` is the command that
    /// reproduces the failure. Returns `None` if no regression concerns the tracker.
    ///
    /// Names of tests, messages and subjects stand in code, so that they mention nobody and link to nothing.
    pub fn write(incident: &IncidentView, tracker: Tracker<'_>, reproduce: Option<&str>) -> Option<Self> {
        let concerns = |part: &&RegressionView| match tracker {
            Tracker::Cpython => true,
            Tracker::Project(name) => part.project == name,
        };
        let parts: Vec<&RegressionView> = incident.regressions.iter().filter(concerns).collect();
        let first = parts.first()?;
        let name = short(&first.bad.name);
        let title = match tracker {
            Tracker::Cpython => {
                let projects: BTreeSet<&str> = parts.iter().map(|part| part.project.as_str()).collect();
                let projects = Vec::from_iter(projects).join(", ");
                format!("Tests of {projects} fail since {name}")
            }
            Tracker::Project(project) => format!("Tests of {project} fail on CPython {} since {name}", first.branch),
        };
        let mut body = format!("{}\n\n", since(first));
        body += "| Project | Branch | What fails |\n|---|---|---|\n";
        for part in parts.iter().take(REGRESSIONS) {
            body += &format!("| {} | {} | {} |\n", part.project, on(part), tests(part));
        }
        if parts.len() > REGRESSIONS {
            body += &format!("\nand {} more\n", parts.len() - REGRESSIONS);
        }
        if let Some(error) = &first.error {
            body += &format!("\nThe first error:\n\n{}", fenced("text", error));
        } else if !first.difference.is_empty() {
            let lines: Vec<&str> = first.difference.iter().take(LINES).map(String::as_str).collect();
            body += &format!(
                "\nLines that only the failing log has:\n\n{}",
                fenced("text", &lines.join("\n"))
            );
        }
        let evidence: Vec<String> = parts
            .iter()
            .take(REGRESSIONS)
            .filter_map(|part| evidence(part))
            .collect();
        if !evidence.is_empty() {
            body += &format!("\nHow often it was run:\n\n{}", evidence.concat());
        }
        if let Some(reproduce) = reproduce {
            body += &format!(
                "\nTo reproduce it with Docker:\n\n{}",
                fenced("sh", reproduce.trim_end())
            );
        }
        if incident.unconfirmed_by_others {
            body += "\nOnly a project in probation reports this, and nobody else has confirmed it.\n";
        }
        body += &format!("\nFound by Pybots, incident {}.\n", incident.number);
        Some(Self { title, body })
    }
}

fn since(part: &RegressionView) -> String {
    let bad = revision(part);
    let good = short(&part.good.name);
    match part.exact {
        true => format!(
            "Since {bad} on {}, these tests fail. They pass on {good}, the revision before it.",
            part.branch
        ),
        false => format!(
            "Since a revision after {good} and up to {bad} on {}, these tests fail. The revision itself was not found{}.",
            part.branch,
            part.reason
                .as_deref()
                .map(|reason| format!(": {}", plain(reason)))
                .unwrap_or_default(),
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
    let more = part.tests.len().saturating_sub(TESTS);
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Returns how many runs failed at the culprit and passed before it, if the regression has both.
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
