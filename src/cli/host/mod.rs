//! `pybots host`: the daemon on a registered host; and what a maintainer does with hosts.

mod doctor;
mod registered;

use super::up::signal;
use crate::config::{Loaded, Settings, SettingsError};
use crate::host::client::Client;
use crate::host::spool::Spool;
use crate::host::{self, Ending, Host, Owner};
use crate::runtime::Runtime;
use crate::runtime::docker::DockerRuntime;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender};

/// Time that what runs gets to end by itself when the daemon is to stop.
const GRACE: Duration = Duration::from_secs(60);

/// Time that it then takes at most to put away what still runs, and to say so.
const CLEAR: Duration = Duration::from_secs(25);

/// The file with the id by which this host labels what it makes.
const ID: &str = "host-id";

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HostCommand {
    /// Where the coordinator is, e.g. `https://pybots.example.org`.
    #[arg(long, env = "PYBOTS_SERVER", value_name = "URL")]
    server: Option<String>,
    /// What this host was given. It is kept in the data folder, and need not be said again.
    #[arg(long, env = "PYBOTS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Look whether this machine can work, and say what to mend.
    Doctor {
        /// The coordinator to try, before this host is enrolled.
        #[arg(long, env = "PYBOTS_SERVER", value_name = "URL")]
        server: Option<String>,
        #[arg(long, env = "PYBOTS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Registry(registered::Action),
}

impl HostCommand {
    /// Whether this is the daemon.
    pub fn is_daemon(&self) -> bool {
        self.action.is_none()
    }

    pub fn is_doctor(&self) -> bool {
        matches!(self.action, Some(Action::Doctor { .. }))
    }

    /// What the doctor says where there are no settings to go by.
    pub fn without_settings(&self, error: &SettingsError) -> Result<ExitCode> {
        let json = matches!(self.action, Some(Action::Doctor { json: true, .. }));
        doctor::without_settings(error, json)
    }

    pub async fn run(self, loaded: Loaded) -> Result<ExitCode> {
        match self.action {
            Some(Action::Doctor { server, token, json }) => doctor::run(&loaded, server, token, json).await,
            Some(Action::Registry(action)) => action.run(&loaded.settings).await,
            None => daemon(loaded, self.server, self.token).await,
        }
    }
}

async fn daemon(loaded: Loaded, server: Option<String>, token: Option<String>) -> Result<ExitCode> {
    let data = &loaded.settings.data;
    std::fs::create_dir_all(data)
        .with_context(|| format!("failed to make the data folder {}; set `data`", data.display()))?;
    let _alone = alone(data)?;
    let server = kept(data, "server", "--server", server)?;
    let token = kept(data, "token", "--token", token)?;
    let owner = Owner::of(&loaded);
    let client = Client::new(&server, &token)?;
    let (ending, told) = tokio::sync::watch::channel(Ending::No);
    let mut daemon = tokio::spawn(work(loaded.settings, owner, client, told));
    tokio::select! {
        ended = &mut daemon => return Ok(if ended? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        signal = signal() => tracing::info!(signal, "stopping when what runs has ended; a second signal breaks it off"),
    }
    // whoever listened may be gone: that is what it is told
    let _ = ending.send(Ending::Soon);
    tokio::select! {
        _ = tokio::time::timeout(GRACE, &mut daemon) => {}
        _ = signal() => {}
    }
    end_now(&ending, daemon).await;
    Ok(ExitCode::SUCCESS)
}

/// Lets a daemon hand back what runs, and put it away.
pub async fn end_now<T>(ending: &Sender<Ending>, daemon: tokio::task::JoinHandle<T>) {
    if daemon.is_finished() {
        return;
    }
    let _ = ending.send(Ending::Now);
    if tokio::time::timeout(CLEAR, daemon).await.is_err() {
        tracing::warn!("the engine or the coordinator did not answer in time; the next start puts away what is left");
    }
}

/// Held as long as this host works: a second one with its data would take the first one's leavings for those of
/// an earlier life.
pub fn alone(data: &Path) -> Result<std::fs::File> {
    let path = data.join("host.lock");
    let file = std::fs::File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another `pybots host` or `pybots up` works with {}; stop it, or set `data` to another folder",
            data.display()
        );
    }
    Ok(file)
}

/// What was said now, and kept in a file that only its owner reads; else what was kept before.
fn kept(data: &Path, name: &str, flag: &str, given: Option<String>) -> Result<String> {
    let path = data.join(name);
    match given {
        Some(given) => {
            write_private(&path, &given).with_context(|| format!("failed to write {}", path.display()))?;
            Ok(given)
        }
        None => match kept_before(data, name) {
            Some(text) => Ok(text),
            None => bail!(
                "this host was not enrolled yet; a maintainer's `pybots host add NAME --owner MAIL` prints the line \
                 to start it with ({flag} is missing)"
            ),
        },
    }
}

fn kept_before(data: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(data.join(name)).ok()?;
    Some(text.trim().to_owned())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&new, path)
}

/// The host of this process: works as soon as its engine and the coordinator answer. False: the coordinator
/// does not take it.
pub async fn work(settings: Settings, owner: Owner, client: Client, ending: Receiver<Ending>) -> bool {
    let runtime = tokio::select! {
        runtime = engine(&settings) => runtime,
        () = until(ending.clone()) => return true,
    };
    // also while the coordinator is away, nothing of an earlier life goes on here
    if let Ok(id) = std::fs::read_to_string(settings.data.join(ID)) {
        host::reap(runtime.as_ref(), id.trim()).await;
    }
    let supply = Arc::new(client.clone());
    let mut host = Host::new(String::new(), runtime, supply, &settings);
    host.owner = Arc::new(owner);
    let offer = host.offer_now();
    let spool = match Spool::open(&settings.data) {
        Ok(spool) => spool,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the data folder can't be used; set `data`"
            );
            return false;
        }
    };
    // before anything else: the hello says that what was leased is over
    tokio::select! {
        () = spool.deliver_left(&client) => {}
        () = until(ending.clone()) => return true,
    }
    let welcome = tokio::select! {
        welcome = client.hello(&offer) => welcome,
        () = until(ending.clone()) => return true,
    };
    let welcome = match welcome {
        Ok(welcome) => welcome,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the coordinator does not take this host");
            return false;
        }
    };
    tracing::info!(name = welcome.name, builds = welcome.builds, "this host is registered");
    if let Err(error) = std::fs::write(settings.data.join(ID), &welcome.id) {
        tracing::warn!(%error, "failed to note this host's id; after a crash it would not find what it had left");
    }
    host.id = welcome.id;
    host.builds = welcome.builds;
    host::daemon(host, client, spool, ending).await;
    true
}

/// Waits for an engine that does not answer, as the daemon would while it runs.
async fn engine(settings: &Settings) -> Arc<dyn Runtime> {
    let mut told = false;
    loop {
        match DockerRuntime::connect(&settings.engine.socket()).await {
            Ok(runtime) => return Arc::new(runtime),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(%error, "waiting for a container engine");
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
}

/// The host's id, kept with the data: after a crash it finds what it had left on the engine.
pub fn host_id(data: &Path) -> Result<String> {
    let path = data.join(ID);
    if let Ok(id) = std::fs::read_to_string(&path)
        && uuid::Uuid::parse_str(id.trim()).is_ok()
    {
        return Ok(id.trim().to_owned());
    }
    let id = crate::store::new_id();
    std::fs::write(&path, &id).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(id)
}

async fn until(mut ending: Receiver<Ending>) {
    // an error means that the sender is gone, which is the end too
    let _ = ending.wait_for(|ending| *ending > Ending::No).await;
}
