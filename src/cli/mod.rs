//! The commands. Each prints its result on stdout, and progress and errors on stderr.

#[macro_use]
mod output;

mod accounts;
mod bisect;
mod check;
mod compare;
mod config;
mod data_lock;
mod files;
mod host;
mod images;
mod import;
mod incidents;
mod init;
mod local;
mod log_lines;
mod login;
mod logs;
mod open;
mod patch;
mod progress;
mod recipe;
mod reproduce;
mod requests;
mod results;
mod serve;
mod server;
mod submit;
mod table;
mod trial;
mod up;
mod waiting;

use crate::config::{Loaded, Settings, SettingsError};
use crate::decisions::JobMove;
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Finds the CPython revision that broke a project.
#[derive(Parser)]
#[command(name = "pybots", version, about)]
pub struct Arguments {
    /// Settings file (TOML). Without it, the defaults apply.
    #[arg(long, global = true, env = "PYBOTS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whether output has colours: on a terminal unless NO_COLOR is set, always, or never.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    color: output::Colours,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the coordinator and one host in one process: watch, build, test, and serve the pages.
    Up,
    /// Run the coordinator alone: watch, plan, and serve the pages; registered hosts do the jobs.
    Serve,
    /// Run the daemon of a registered host, or manage the registered hosts.
    Host(host::HostCommand),
    /// Print the settings in force and the origin of each.
    Config,
    /// Check recipe files.
    Check(check::Check),
    /// Convert another registry to recipe files.
    Import(import::Import),
    /// Propose a recipe for a project: read its sources, try the recipe, and correct it.
    Init(init::Init),
    /// Run one project on this machine, without a coordinator.
    Try(trial::Trial),
    /// Log in to a coordinator on another machine, for the commands that take `--server`.
    Login(login::Login),
    /// Submit a recipe to a coordinator, and show its trial.
    Submit(submit::Submit),
    /// List submitted recipes; show, compare, approve or refuse versions; pause, resume, retire or hand over a project.
    Recipe(recipe::RecipeCommand),
    /// Find the revision that broke or fixed a project, on this machine or on the registered hosts.
    Bisect(bisect::Bisect),
    /// Show what a change to CPython would break or fix, before it lands; runs on this machine.
    TryPatch(patch::TryPatch),
    /// Print the matrix of results.
    Results(results::Results),
    /// Compare the results of two revisions, branches or variants.
    Compare(compare::Compare),
    /// List the incidents; waive, assign, report or close one.
    Incidents(incidents::Incidents),
    /// Print a command or a script that reproduces an incident on a machine with Docker.
    Reproduce(reproduce::Reproduce),
    /// Print the log of a run or of an image build.
    Logs(logs::Logs),
    /// Cancel runs or image builds, queued or in progress.
    Cancel(requests::Jobs),
    /// Rerun finished runs or image builds; the earlier attempts stay.
    #[command(alias = "again")]
    Rerun(requests::Jobs),
    /// List, add or change accounts.
    Account(accounts::AccountCommand),
    /// List, issue or revoke access tokens.
    Token(accounts::TokenCommand),
    /// Print the audit log: who changed what.
    Audit(accounts::AuditCommand),
    /// List the images on this machine's engine and why each is kept; prune, pin or unpin them.
    Images(images::Images),
}

/// Runs a command. Returns the exit code of the process, which is 2 after an error.
pub async fn run(arguments: Arguments) -> ExitCode {
    output::choose(arguments.color);
    let daemon = match &arguments.command {
        Command::Up | Command::Serve => true,
        Command::Host(host) => host.is_daemon(),
        _ => false,
    };
    let default = if daemon { "info,sqlx=warn,warp=off" } else { "warn" };
    let filter = EnvFilter::try_from_env("PYBOTS_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::has_colours(&std::io::stderr()))
        .with_writer(|| output::CleanStderr)
        .with_target(false)
        .init();
    match dispatch(arguments).await {
        Ok(code) => code,
        Err(error) => {
            errln!("error: {}", output::without_secrets(&format!("{error:#}")));
            ExitCode::from(2)
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<ExitCode> {
    if let Command::Check(check) = &arguments.command {
        return check.run();
    }
    if let Command::Import(import) = &arguments.command {
        return import.run();
    }
    let loaded = match (load(arguments.config.as_deref()), &arguments.command) {
        (Ok(loaded), _) => loaded,
        (Err(error), Command::Host(host)) if host.is_doctor() => return host.without_settings(&error),
        (Err(error), _) => return Err(error.into()),
    };
    output::hide(loaded.settings.secrets());
    match arguments.command {
        Command::Up => up::run(loaded).await,
        Command::Serve => serve::run(loaded.settings).await,
        Command::Host(host) => host.run(loaded).await,
        Command::Config => config::run(&loaded),
        Command::Check(check) => check.run(),
        Command::Import(import) => import.run(),
        Command::Init(init) => init.run(&loaded.settings).await,
        Command::Try(trial) => trial.run(&loaded.settings).await,
        Command::Login(login) => login.run().await,
        Command::Submit(submit) => submit.run().await,
        Command::Recipe(recipe) => recipe.run(&loaded.settings).await,
        Command::Account(account) => account.run(&loaded.settings).await,
        Command::Token(token) => token.run(&loaded.settings).await,
        Command::Audit(audit) => audit.run(&loaded.settings).await,
        Command::Bisect(bisect) => bisect.run(&loaded.settings).await,
        Command::TryPatch(patch) => patch.run(&loaded.settings).await,
        Command::Results(results) => results.run(&loaded.settings).await,
        Command::Compare(compare) => compare.run(&loaded.settings).await,
        Command::Incidents(incidents) => incidents.run(&loaded.settings).await,
        Command::Reproduce(reproduce) => reproduce.run(&loaded.settings).await,
        Command::Logs(logs) => logs.run(&loaded.settings).await,
        Command::Cancel(jobs) => jobs.request(&loaded.settings, JobMove::Cancel).await,
        Command::Rerun(jobs) => jobs.request(&loaded.settings, JobMove::Rerun).await,
        Command::Images(images) => images.run(&loaded.settings).await,
    }
}

fn load(file: Option<&std::path::Path>) -> std::result::Result<Loaded, SettingsError> {
    Settings::load(file, &crate::config::environment())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_of_people_take_the_address_of_a_coordinator() {
        let url = "http://127.0.0.1:1";
        for line in [
            "host drain h",
            "host list",
            "host add h --owner a@example.org",
            "host doctor",
            "host --token x",
            "incidents close 1 --why x",
            "cancel x",
            "rerun x",
            "recipe show p",
            "account me",
            "token list",
            "audit",
            "submit p.toml",
        ] {
            let words = ["pybots"].into_iter().chain(line.split(' ')).chain(["--server", url]);
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
        // on the coordinator's machine, the author of a decision has to be named
        let error = Arguments::try_parse_from("pybots incidents close 1 --why x".split(' '));
        assert!(error.err().unwrap().to_string().contains("--by"));
    }

    #[test]
    fn the_old_name_of_a_command_still_works_and_is_not_listed() {
        for name in ["rerun", "again"] {
            let arguments = Arguments::try_parse_from(["pybots", name, "0190"]).unwrap();
            assert!(matches!(arguments.command, Command::Rerun(_)), "{name}");
        }
        let help = Arguments::command().render_long_help().to_string();
        assert!(help.contains("\n  rerun ") && !help.contains("again"), "{help}");
    }
}
