//! `pybots recipe`: submitted recipes and their projects.

use super::server::ServerOption;
use super::table;
use crate::api::v1::types::{RegistrationView, VersionDecision, VersionView};
use crate::clock::show;
use crate::config::Settings;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
pub struct RecipeCommand {
    #[command(flatten)]
    server: ServerOption,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the projects whose recipes were submitted.
    List,
    /// List the versions that wait for a decision.
    Waiting,
    /// Show a project and its versions, or the text of one version.
    Show {
        project: String,
        /// Number of a version.
        number: Option<i64>,
    },
    /// Print the difference between a version and an earlier one.
    Diff {
        project: String,
        number: i64,
        /// Number of the earlier version; the default is the one before.
        #[arg(long, value_name = "NUMBER")]
        from: Option<i64>,
    },
    /// Approve a version: it is in force from now on.
    Approve {
        project: String,
        number: i64,
        /// Message for the owner.
        #[arg(long, default_value = "")]
        why: String,
        /// Approve the version although its trial has not ended.
        #[arg(long)]
        without_trial: bool,
    },
    /// Refuse a version.
    Refuse {
        project: String,
        number: i64,
        /// Reason for the owner.
        #[arg(long)]
        why: String,
    },
    /// Pause a project: nothing runs until it is resumed.
    Pause(Move),
    /// Resume a paused or retired project.
    Resume(Move),
    /// Retire a project: its results and its name stay.
    Retire(Move),
    /// Hand a project over to another account, which has to accept. If a maintainer does so, it takes effect at once.
    HandOver {
        project: String,
        /// Name of the account.
        to: String,
    },
    /// Accept a project that its owner hands over to you.
    Accept { project: String },
    /// Withdraw the hand-over of a project, or decline a project that is handed over to you.
    Withdraw { project: String },
}

#[derive(Args)]
struct Move {
    project: String,
    /// Reason, which pages show.
    #[arg(long, default_value = "")]
    why: String,
}

impl RecipeCommand {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let client = self.server.client(settings, None).await?;
        match self.action {
            Action::List => {
                let all = client.projects().await?;
                match self.json {
                    true => super::output::json(&all)?,
                    false => out!("{}", projects(&all)),
                }
            }
            Action::Waiting => {
                let mut all = client.open_versions("waiting").await?;
                all.extend(client.open_versions("trial").await?);
                match self.json {
                    true => super::output::json(&all)?,
                    false => out!("{}", versions(&all)),
                }
            }
            Action::Show {
                project,
                number: Some(number),
            } => {
                let version = client.version(&project, number).await?;
                match self.json {
                    true => super::output::json(&version)?,
                    false => out!("{}", version.text.unwrap_or_default()),
                }
            }
            Action::Show { project, number: None } => {
                let found = client.project(&project).await?;
                let all = client.versions(&project).await?;
                match self.json {
                    true => super::output::json(&serde_json::json!({ "project": found, "versions": all }))?,
                    false => out!("{}\n{}", projects(&[found]), versions(&all)),
                }
            }
            Action::Diff { project, number, from } => out!("{}", client.diff(&project, from, number).await?.diff),
            Action::Approve {
                project,
                number,
                why,
                without_trial,
            } => {
                let decision = VersionDecision::Approve {
                    reason: why,
                    without_trial,
                };
                decided(&client.decide_version(&project, number, &decision).await?);
            }
            Action::Refuse { project, number, why } => {
                let decision = VersionDecision::Refuse { reason: why };
                decided(&client.decide_version(&project, number, &decision).await?);
            }
            Action::Pause(with) => moved(&client.move_project(&with.project, "pause", &with.why).await?),
            Action::Resume(with) => moved(&client.move_project(&with.project, "resume", &with.why).await?),
            Action::Retire(with) => moved(&client.move_project(&with.project, "retire", &with.why).await?),
            Action::HandOver { project, to } => {
                let after = client.hand_over(&project, &to).await?;
                match after.next_owner {
                    Some(to) => {
                        outln!("{project} waits for {to}, who accepts it by `pybots recipe accept {project}`")
                    }
                    None => belongs(&after),
                }
            }
            Action::Accept { project } => belongs(&client.answer_hand_over(&project, "accept").await?),
            Action::Withdraw { project } => belongs(&client.answer_hand_over(&project, "withdraw").await?),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn decided(version: &VersionView) {
    outln!("{}: version {} is {}", version.project, version.number, version.state);
}

fn moved(project: &RegistrationView) {
    outln!("{} is {}", project.project, project.state);
}

fn belongs(project: &RegistrationView) {
    let owner = project.owner.as_deref().unwrap_or("nobody");
    outln!("{} belongs to {owner}", project.project);
}

fn projects(all: &[RegistrationView]) -> String {
    let row = |project: &RegistrationView| {
        let version = project.version.map_or("none".to_owned(), |number| number.to_string());
        let mut owner = project.owner.clone().unwrap_or_else(|| "nobody".to_owned());
        if let Some(to) = &project.next_owner {
            owner = format!("{owner}, next {to}");
        }
        vec![
            project.project.clone(),
            project.state.to_string(),
            version,
            owner,
            project.reason.clone(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table::plain(&["project", "state", "version in force", "owner", "reason"], &rows)
}

fn versions(all: &[VersionView]) -> String {
    let row = |version: &VersionView| {
        vec![
            version.project.clone(),
            version.number.to_string(),
            version.state.to_string(),
            version.trial.clone(),
            version.submitted_by.clone(),
            show(version.submitted_at),
            version.reason.clone(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let heads = [
        "project",
        "version",
        "state",
        "trial",
        "submitted by",
        "submitted",
        "reason",
    ];
    table::plain(&heads, &rows)
}
