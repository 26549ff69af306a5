//! `pybots incidents`: lists incidents, and records what maintainers decide about them.

use super::table;
use crate::clock::{end_of_day, now, show};
use crate::config::Settings;
use crate::domain::incident::Assignee;
use crate::incidents::{IncidentView, Reader, RegressionView};
use crate::store::Store;
use crate::store::incidents::Waiver;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// The number of closed incidents that are listed.
const CLOSED: i64 = 20;

#[derive(Args)]
pub struct Incidents {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
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
        /// Your name.
        #[arg(long)]
        by: String,
        /// Reason of the waiver.
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
        /// Your name.
        #[arg(long)]
        by: String,
        /// Reason of the decision.
        #[arg(long)]
        why: String,
    },
    /// Assign an incident to CPython, which will fix it.
    Ours {
        /// Number of the incident.
        number: i64,
        /// Your name.
        #[arg(long)]
        by: String,
        /// Reason of the decision.
        #[arg(long)]
        why: String,
    },
    /// Agree with what an incident says: its revisions broke its projects. Pages then name the author.
    Agree {
        /// Number of the incident.
        number: i64,
        /// Your name.
        #[arg(long)]
        by: String,
        /// What you looked at.
        #[arg(long)]
        why: String,
        /// Revoke all agreements with it instead.
        #[arg(long)]
        revoke: bool,
    },
    /// Record where an incident was reported.
    Reported {
        /// Number of the incident.
        number: i64,
        /// Your name.
        #[arg(long)]
        by: String,
        /// Address of the report.
        #[arg(long, value_name = "URL")]
        at: String,
    },
    /// Close an incident.
    Close {
        /// Number of the incident.
        number: i64,
        /// Your name.
        #[arg(long)]
        by: String,
        /// Reason of the decision.
        #[arg(long)]
        why: String,
    },
}

impl Incidents {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        let reader = Reader {
            store: &store,
            trust: &settings.trust(),
        };
        match self.action {
            None => {
                let all = reader.all(CLOSED, now()).await?;
                if self.json {
                    crate::cli::output::json(&all)?;
                } else {
                    out!("{}", list(&all));
                }
            }
            Some(Action::Show { number }) => {
                let incident = reader.one(number, now()).await?.with_context(|| unknown(number))?;
                if self.json {
                    crate::cli::output::json(&incident)?;
                } else {
                    out!("{}", text(&incident));
                }
            }
            Some(action) => action.record(&store).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(number: i64) -> String {
    format!("there is no incident {number}; `pybots incidents` lists them")
}

impl Action {
    /// Writes a decision to the store, and a note about it to the incident's history.
    async fn record(self, store: &Store) -> Result<()> {
        let number = match &self {
            Action::Show { number }
            | Action::Waive { number, .. }
            | Action::Intended { number, .. }
            | Action::Ours { number, .. }
            | Action::Agree { number, .. }
            | Action::Reported { number, .. }
            | Action::Close { number, .. } => *number,
        };
        let incident = store.incident(number).await?.with_context(|| unknown(number))?;
        let now = now();
        let mut tx = store.begin().await?;
        let id = &incident.id;
        let (done, who, what) = match self {
            Action::Show { .. } => return Ok(()),
            Action::Waive { by, why, until, .. } => {
                let end = end_of_day(until)?;
                if end <= now {
                    bail!("{until} is over; write a later date");
                }
                let text = format!("waived until {until}: {why}");
                let waiver = Waiver {
                    who: by,
                    why,
                    until: end,
                };
                (store.waive(&mut tx, id, &waiver).await?, waiver.who, text)
            }
            Action::Intended { by, why, .. } => {
                let done = store.assign_incident(&mut tx, id, Assignee::Projects).await?;
                store.agree(&mut tx, id, &by, now).await?;
                (done, by, format!("intended, the projects adapt: {why}"))
            }
            Action::Ours { by, why, .. } => {
                let done = store.assign_incident(&mut tx, id, Assignee::Cpython).await?;
                store.agree(&mut tx, id, &by, now).await?;
                (done, by, format!("CPython fixes it: {why}"))
            }
            Action::Agree { by, why, revoke, .. } => {
                let (is_new, what) = match revoke {
                    false => (store.agree(&mut tx, id, &by, now).await?, "agreed"),
                    true => (store.revoke_agreement(&mut tx, id).await?, "no longer agreed"),
                };
                if !is_new {
                    outln!("incident {number}: {what} already");
                    return Ok(());
                }
                (true, by, format!("{what}: {why}"))
            }
            Action::Reported { by, at, .. } => {
                if !(at.starts_with("https://") || at.starts_with("http://")) {
                    bail!("{at:?} is not an address; write one that begins with https://");
                }
                let done = store.incident_reported(&mut tx, id, &at, now).await?;
                (done, by, format!("reported as {at}"))
            }
            Action::Close { by, why, .. } => {
                let done = store.close_incident(&mut tx, id, now).await?;
                store.unpin_for(&mut tx, id).await?;
                (done, by, format!("closed: {why}"))
            }
        };
        if !done {
            bail!("incident {number} is closed already");
        }
        store.note(&mut tx, id, &who, &what, now).await?;
        tx.commit().await?;
        outln!("incident {number}: {what}");
        Ok(())
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

/// The state of an incident, and whether it is unconfirmed by others.
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
