//! The commands. Each prints its result on stdout, and what happens on stderr.

/// `print!`, but a reader that has gone (`| head`) is no panic.
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write;
        $crate::cli::written(write!(std::io::stdout(), $($text)*));
    }};
}

/// `println!` likewise.
macro_rules! outln {
    ($($text:tt)*) => {{
        use std::io::Write;
        $crate::cli::written(writeln!(std::io::stdout(), $($text)*));
    }};
}

mod bisect;
mod check;
mod compare;
mod config;
mod host;
mod images;
mod incidents;
mod local;
mod logs;
mod patch;
mod progress;
mod reproduce;
mod results;
mod serve;
mod table;
mod trial;
mod up;
mod wish;

use crate::config::{Loaded, Settings, SettingsError};
use crate::store::Store;
use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Which CPython check-in broke which project.
#[derive(Parser)]
#[command(name = "pybots", version, about)]
pub struct Arguments {
    /// Settings file (TOML); without one, the defaults hold.
    #[arg(long, global = true, env = "PYBOTS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch, build, test and show: coordinator and one host in one process.
    Up,
    /// Watch, plan and show: the coordinator alone; hosts come to it.
    Serve,
    /// Work for a coordinator on this machine; or, as a maintainer, look after the registered hosts.
    Host(host::HostCommand),
    /// Print the settings in force, and where each came from.
    Config,
    /// Check recipe files.
    Check {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Run one project here and now, without a server.
    Try(trial::Trial),
    /// Find the check-in that broke a project, or mended it, here and now, without a server.
    Bisect(bisect::Bisect),
    /// What a change to CPython would do to projects, before it lands: here and now, without a server.
    TryPatch(patch::TryPatch),
    /// Print the matrix of results.
    Results(results::Results),
    /// Compare the results of two check-ins, also of two branches or variants.
    Compare(compare::Compare),
    /// What is broken, and by which check-in; waive it, report it, close it.
    Incidents(incidents::Incidents),
    /// What fails in an incident, once more: a line for Docker, or a script.
    Reproduce(reproduce::Reproduce),
    /// Print the log of a run (or of an image build).
    Logs(logs::Logs),
    /// End runs (or image builds) that wait or are in work.
    Cancel(wish::Jobs),
    /// Do runs (or image builds) once more.
    Again(wish::Jobs),
    /// List the images on this machine's engine, and why they are there; prune and pin them.
    Images(images::Images),
}

pub async fn run(arguments: Arguments) -> ExitCode {
    let daemon = match &arguments.command {
        Command::Up | Command::Serve => true,
        Command::Host(host) => host.is_daemon(),
        _ => false,
    };
    let default = if daemon { "info,sqlx=warn,warp=off" } else { "warn" };
    let filter = EnvFilter::try_from_env("PYBOTS_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match dispatch(arguments).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<ExitCode> {
    if let Command::Check { files } = &arguments.command {
        return check::run(files);
    }
    let loaded = match (load(arguments.config.as_deref()), &arguments.command) {
        (Ok(loaded), _) => loaded,
        (Err(error), Command::Host(host)) if host.is_doctor() => return host.without_settings(&error),
        (Err(error), _) => return Err(error.into()),
    };
    match arguments.command {
        Command::Up => up::run(loaded).await,
        Command::Serve => serve::run(loaded.settings).await,
        Command::Host(host) => host.run(loaded).await,
        Command::Config => config::run(&loaded),
        Command::Check { files } => check::run(&files),
        Command::Try(trial) => trial.run(&loaded.settings).await,
        Command::Bisect(bisect) => bisect.run(&loaded.settings).await,
        Command::TryPatch(patch) => patch.run(&loaded.settings).await,
        Command::Results(results) => results.run(&loaded.settings).await,
        Command::Compare(compare) => compare.run(&loaded.settings).await,
        Command::Incidents(incidents) => incidents.run(&loaded.settings).await,
        Command::Reproduce(reproduce) => reproduce.run(&loaded.settings).await,
        Command::Logs(logs) => logs.run(&loaded.settings).await,
        Command::Cancel(jobs) => jobs.cancel(&loaded.settings).await,
        Command::Again(jobs) => jobs.again(&loaded.settings).await,
        Command::Images(images) => images.run(&loaded.settings).await,
    }
}

/// The store of a coordinator that has run here.
async fn store(settings: &Settings) -> Result<Store> {
    if settings.database.is_empty() && !settings.data.exists() {
        bail!(
            "there is nothing in {} yet; start `pybots up` with the same settings first",
            settings.data.display()
        );
    }
    Store::open(&settings.database_url()).await
}

fn load(file: Option<&std::path::Path>) -> std::result::Result<Loaded, SettingsError> {
    Settings::load(file, &crate::config::environment())
}

/// Ends the process where what it prints can't be written.
fn written(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: the result can't be written: {error}");
            std::process::exit(2);
        }
    }
}
