//! `pybots host`: the daemon of a registered host, and the commands that manage the registered hosts.

mod credentials;
mod daemon;
mod doctor;
mod identity;
mod registered;

pub use daemon::{serve_jobs, stop_now};
pub use identity::host_id;

use crate::config::{Loaded, SettingsError};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HostCommand {
    /// Address of the coordinator, such as `https://pybots.example.org`. Saved in the data folder for the next start.
    /// For commands that manage hosts, the coordinator to call with the token of `pybots login`.
    #[arg(long, global = true, env = "PYBOTS_SERVER", value_name = "URL")]
    server: Option<String>,
    /// Token of this host, as `pybots host add` prints it. Saved in the data folder for the next start.
    #[arg(long, env = "PYBOTS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Check whether this machine can work as a host, and print what to fix.
    Doctor {
        /// Token to check, if the host has not been started yet.
        #[arg(long, env = "PYBOTS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Registered(registered::Action),
}

impl HostCommand {
    /// Returns whether the command runs the daemon and does not manage hosts.
    pub fn is_daemon(&self) -> bool {
        self.action.is_none()
    }

    pub fn is_doctor(&self) -> bool {
        matches!(self.action, Some(Action::Doctor { .. }))
    }

    /// Makes the doctor report settings that can't be used. It makes no other check then.
    pub fn without_settings(&self, error: &SettingsError) -> Result<ExitCode> {
        let json = matches!(self.action, Some(Action::Doctor { json: true, .. }));
        doctor::without_settings(error, json)
    }

    pub async fn run(self, loaded: Loaded) -> Result<ExitCode> {
        match self.action {
            Some(Action::Doctor { token, json }) => doctor::run(&loaded, self.server, token, json).await,
            Some(Action::Registered(action)) => action.run(&loaded.settings, self.server).await,
            None => daemon::run(loaded, self.server, self.token).await,
        }
    }
}
