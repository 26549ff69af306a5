//! `pybots incidents`: what is broken, by which check-in; and what a maintainer says of it.

use super::table;
use crate::clock::{end_of_day, now_ms, show};
use crate::config::Settings;
use crate::domain::incident::PutTo;
use crate::incidents::{Part, Reader, Told};
use crate::store::Store;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Incidents that are closed, and still listed.
const CLOSED: i64 = 20;

#[derive(Args)]
pub struct Incidents {
    /// For programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Show one whole.
    Show { number: i64 },
    /// Say that one does not matter for now.
    Waive {
        number: i64,
        /// Who says so.
        #[arg(long)]
        by: String,
        #[arg(long)]
        why: String,
        /// The last day for which that holds, e.g. 2027-06-30.
        #[arg(long, value_name = "DATE")]
        until: jiff::civil::Date,
    },
    /// The change is intended and documented: the projects adapt.
    Intended {
        number: i64,
        #[arg(long)]
        by: String,
        #[arg(long)]
        why: String,
    },
    /// CPython repairs it.
    Ours {
        number: i64,
        #[arg(long)]
        by: String,
        #[arg(long)]
        why: String,
    },
    /// Note where it was reported.
    Reported {
        number: i64,
        #[arg(long)]
        by: String,
        /// Address of the report.
        #[arg(long, value_name = "URL")]
        at: String,
    },
    /// Close one by hand.
    Close {
        number: i64,
        #[arg(long)]
        by: String,
        #[arg(long)]
        why: String,
    },
}

impl Incidents {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let store = super::store(settings).await?;
        let reader = Reader { store: &store };
        match self.action {
            None => {
                let all = reader.all(CLOSED, now_ms()).await?;
                if self.json {
                    outln!("{}", serde_json::to_string_pretty(&all)?);
                } else {
                    out!("{}", list(&all));
                }
            }
            Some(Action::Show { number }) => {
                let told = reader.one(number, now_ms()).await?.with_context(|| unknown(number))?;
                if self.json {
                    outln!("{}", serde_json::to_string_pretty(&told)?);
                } else {
                    out!("{}", text(&told));
                }
            }
            Some(action) => action.say(&store).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(number: i64) -> String {
    format!("there is no incident {number}; `pybots incidents` lists them")
}

impl Action {
    /// Writes down what a maintainer says.
    async fn say(self, store: &Store) -> Result<()> {
        let number = match &self {
            Action::Show { number }
            | Action::Waive { number, .. }
            | Action::Intended { number, .. }
            | Action::Ours { number, .. }
            | Action::Reported { number, .. }
            | Action::Close { number, .. } => *number,
        };
        let incident = store.incident(number).await?.with_context(|| unknown(number))?;
        let now = now_ms();
        let mut tx = store.begin().await?;
        let id = &incident.id;
        let (done, who, what) = match self {
            Action::Show { .. } => return Ok(()),
            Action::Waive { by, why, until, .. } => {
                let end = end_of_day(until)?;
                if end <= now {
                    bail!("{until} is over; say until when it holds");
                }
                let done = store.waive(&mut tx, id, Some((&by, &why, end))).await?;
                (done, by, format!("waived until {until}: {why}"))
            }
            Action::Intended { by, why, .. } => {
                let done = store.put_to(&mut tx, id, PutTo::Projects).await?;
                (done, by, format!("intended, the projects adapt: {why}"))
            }
            Action::Ours { by, why, .. } => {
                let done = store.put_to(&mut tx, id, PutTo::Cpython).await?;
                (done, by, format!("CPython repairs it: {why}"))
            }
            Action::Reported { by, at, .. } => {
                if !(at.starts_with("https://") || at.starts_with("http://")) {
                    bail!("{at:?} is no address; it begins with https://");
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
            bail!("incident {number} is closed");
        }
        store.note(&mut tx, id, &who, &what, now).await?;
        tx.commit().await?;
        outln!("incident {number}: {what}");
        Ok(())
    }
}

fn list(all: &[Told]) -> String {
    if all.is_empty() {
        return "no incidents\n".to_owned();
    }
    let line = |told: &Told| {
        let number = told.number.to_string();
        [number, told.state.to_owned(), show(told.opened_at), told.title.clone()].to_vec()
    };
    table::plain(
        &["incident", "state", "opened", "what"],
        &all.iter().map(line).collect::<Vec<_>>(),
    )
}

fn text(told: &Told) -> String {
    let mut text = format!("incident {}: {}\n{}", told.number, told.title, told.state);
    if !told.fixed_on.is_empty() {
        text += &format!(" {}", told.fixed_on.join(", "));
    }
    text += &format!(", opened {}\n", show(told.opened_at));
    if let Some(again) = told.again_of {
        text += &format!("it is the return of incident {again}\n");
    }
    for part in &told.breakages {
        text += &part_text(part);
    }
    text += "\nhistory\n";
    for noted in &told.history {
        text += &format!("  {}  {}: {}\n", show(noted.at), noted.who, noted.what);
    }
    text
}

fn part_text(part: &Part) -> String {
    let mut text = format!("\n{} on {} ({})\n", part.project, part.branch, part.variant);
    let rate = part
        .rate
        .map_or(String::new(), |rate| format!(", in {:.0} % of runs", rate * 100.0));
    text += &match part.exact {
        true => format!(
            "  culprit  {} {}\n           {}\n",
            part.bad.name, part.bad.subject, part.bad.author
        ),
        false => format!(
            "  one of   the check-ins after {}, up to {}: {}\n",
            part.good.name,
            part.bad.name,
            part.reason.as_deref().unwrap_or_default()
        ),
    };
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
    if let Some(mended) = &part.fixed_as {
        text += &format!("  {mended}\n");
    }
    text
}
