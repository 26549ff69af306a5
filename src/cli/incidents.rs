//! `pybots incidents`: lists incidents, and records decisions of maintainers.

use super::server::ServerOption;
use super::table;
use crate::clock::{now, show};
use crate::config::Settings;
use crate::decisions::IncidentDecision;
use crate::domain::trust::Trust;
use crate::incidents::{IncidentReader, IncidentView, RegressionView};
use crate::store::Store;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// The number of closed incidents in the list.
const CLOSED: i64 = 20;

#[derive(Args)]
pub struct Incidents {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The coordinator that records decisions.
    #[command(flatten)]
    server: ServerOption,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Show one incident in full.
    Show {
        /// Number of the incident.
        number: i64,
    },
    /// Waive an incident: accept it until a date.
    Waive {
        /// Number of the incident.
        number: i64,
        /// Your name. Not needed with `--server`, which takes that of your account.
        #[arg(long, required_unless_present = "server")]
        by: Option<String>,
        /// Reason for the waiver.
        #[arg(long)]
        why: String,
        /// Last day of the waiver, such as 2027-06-30.
        #[arg(long, value_name = "DATE")]
        until: jiff::civil::Date,
    },
    /// Assign an incident to the projects: the change in CPython is intended and documented.
    Intended {
        /// Number of the incident.
        number: i64,
        /// Your name. Not needed with `--server`, which takes that of your account.
        #[arg(long, required_unless_present = "server")]
        by: Option<String>,
        /// Reason for the decision.
        #[arg(long)]
        why: String,
    },
    /// Assign an incident to CPython, which will fix it.
    Ours {
        /// Number of the incident.
        number: i64,
        /// Your name. Not needed with `--server`, which takes that of your account.
        #[arg(long, required_unless_present = "server")]
        by: Option<String>,
        /// Reason for the decision.
        #[arg(long)]
        why: String,
    },
    /// Agree with what an incident says: its revisions broke its projects. Pages then name the author.
    Agree {
        /// Number of the incident.
        number: i64,
        /// Your name. Not needed with `--server`, which takes that of your account.
        #[arg(long, required_unless_present = "server")]
        by: Option<String>,
        /// Reason for the agreement or its revocation, such as the log that you read.
        #[arg(long)]
        why: String,
        /// Revoke all agreements with the incident instead.
        #[arg(long)]
        revoke: bool,
    },
    /// Record where an incident was reported.
    Reported {
        /// Number of the incident.
        number: i64,
        /// Your name. Not needed with `--server`, which takes that of your account.
        #[arg(long, required_unless_present = "server")]
        by: Option<String>,
        /// Address of the report.
        #[arg(long, value_name = "URL")]
        at: String,
    },
    /// Close an incident.
    Close {
        /// Number of the incident.
        number: i64,
        /// Your name. Not needed with `--server`, which takes that of your account.
        #[arg(long, required_unless_present = "server")]
        by: Option<String>,
        /// Reason for the decision.
        #[arg(long)]
        why: String,
    },
}

impl Incidents {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        match self.action {
            None => {
                let store = super::open::store(settings).await?;
                let all = reader(&store, &settings.trust()).all(CLOSED, now()).await?;
                match self.json {
                    true => super::output::json(&all)?,
                    false => out!("{}", list(&all)),
                }
            }
            Some(Action::Show { number }) => {
                let store = super::open::store(settings).await?;
                let found = reader(&store, &settings.trust()).one(number, now()).await?;
                let incident = found.with_context(|| unknown(number))?;
                match self.json {
                    true => super::output::json(&incident)?,
                    false => out!("{}", text(&incident)),
                }
            }
            Some(action) => {
                if let Some((number, by, decision)) = action.decision() {
                    let client = self.server.client(settings, by.as_deref()).await?;
                    let done = client.decide_incident(number, &decision).await?;
                    outln!("incident {number}: {}", done.effect);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn reader<'a>(store: &'a Store, trust: &'a Trust) -> IncidentReader<'a> {
    IncidentReader { store, trust }
}

fn unknown(number: i64) -> String {
    format!("there is no incident {number}; `pybots incidents` lists them")
}

impl Action {
    /// Returns the incident's number, the author and the decision. Returns `None` for a command that only shows
    /// incidents.
    fn decision(self) -> Option<(i64, Option<String>, IncidentDecision)> {
        Some(match self {
            Action::Show { .. } => return None,
            Action::Waive { number, by, why, until } => {
                let until = until.to_string();
                (number, by, IncidentDecision::Waive { why, until })
            }
            Action::Intended { number, by, why } => (number, by, IncidentDecision::Intended { why }),
            Action::Ours { number, by, why } => (number, by, IncidentDecision::Ours { why }),
            Action::Agree {
                number,
                by,
                why,
                revoke: false,
            } => (number, by, IncidentDecision::Agree { why }),
            Action::Agree {
                number,
                by,
                why,
                revoke: true,
            } => (number, by, IncidentDecision::Disagree { why }),
            Action::Reported { number, by, at } => (number, by, IncidentDecision::Reported { at }),
            Action::Close { number, by, why } => (number, by, IncidentDecision::Close { why }),
        })
    }
}

fn list(all: &[IncidentView]) -> String {
    if all.is_empty() {
        return "no incidents\n".to_owned();
    }
    let line = |incident: &IncidentView| {
        let number = incident.number.to_string();
        [
            number,
            state(incident),
            show(incident.opened_at),
            incident.title.clone(),
        ]
        .to_vec()
    };
    table::plain(
        &["incident", "state", "opened", "what"],
        &all.iter().map(line).collect::<Vec<_>>(),
    )
}

/// Returns the state of an incident, and whether it is unconfirmed by others.
fn state(incident: &IncidentView) -> String {
    match incident.unconfirmed_by_others {
        true => format!("{}, unconfirmed by others", incident.state),
        false => incident.state.to_owned(),
    }
}

fn text(incident: &IncidentView) -> String {
    let mut text = format!("incident {}: {}\n{}", incident.number, incident.title, state(incident));
    if !incident.fixed_on.is_empty() {
        text += &format!(" {}", incident.fixed_on.join(", "));
    }
    text += &format!(", opened {}\n", show(incident.opened_at));
    if let Some(earlier) = incident.recurrence_of {
        text += &format!("a recurrence of incident {earlier}\n");
    }
    for part in &incident.regressions {
        text += &part_text(part);
    }
    text += "\nhistory\n";
    for note in &incident.history {
        text += &format!("  {}  {}: {}\n", show(note.at), note.who, note.what);
    }
    text
}

fn part_text(part: &RegressionView) -> String {
    let mut text = format!("\n{} on {} ({})\n", part.project, part.branch, part.variant);
    let rate = part
        .rate
        .map_or(String::new(), |rate| format!(", in {:.0} % of runs", rate * 100.0));
    text += &match part.exact {
        true => format!("  culprit  {} {}\n", part.bad.name, part.bad.subject),
        false => format!(
            "  one of   the revisions after {}, up to {}: {}\n",
            part.good.name,
            part.bad.name,
            part.reason.as_deref().unwrap_or_default()
        ),
    };
    if let Some(author) = part.bad.author.as_ref().filter(|_| part.exact) {
        text += &format!("           {author}\n");
    }
    if part.unconfirmed_by_others {
        text += "           unconfirmed by others: no maintainer and no second project agrees\n";
    }
    if let Some(reason) = part.reason.as_ref().filter(|_| part.exact) {
        text += &format!("           {reason}\n");
    }
    if let Some(link) = part.bad.link.as_ref().filter(|_| part.exact) {
        text += &format!("           {link}\n");
    }
    text += &format!("  fails    {}{rate}\n", part.tests.join("\n           "));
    if let Some(error) = &part.error {
        text += &format!("  error    {error}\n");
    }
    for condition in &part.conditions {
        text += &format!("  differs  {condition}\n");
    }
    for line in &part.difference {
        text += &format!("  | {line}\n");
    }
    if let Some(fixed) = &part.fixed_by {
        text += &format!("  fixed by {} {}\n", fixed.name, fixed.subject);
    }
    if let Some(fixed) = &part.fixed_as {
        text += &format!("  {fixed}\n");
    }
    text
}
