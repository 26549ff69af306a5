//! Runs the daemon of a host.

use super::credentials;
use super::identity::ID_FILE;
use crate::cli::data_lock;
use crate::config::{Loaded, Settings};
use crate::host::client::Client;
use crate::host::spool::Spool;
use crate::host::{self, Ending, Host, HostPolicy, Instances};
use crate::runtime::Runtime;
use crate::runtime::docker::DockerRuntime;
use crate::signal::stop_signal;
use anyhow::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender};

/// The time in which running jobs can end normally when the daemon stops.
const GRACE: Duration = Duration::from_secs(60);

/// The time after that in which the daemon removes jobs that still run, and reports them.
const CLEAN_UP: Duration = Duration::from_secs(25);

/// Runs the daemon until a signal ends it. The exit code is 1 if the coordinator does not accept the host, or if the
/// data folder can't be used.
pub async fn run(loaded: Loaded, server: Option<String>, token: Option<String>) -> Result<ExitCode> {
    let data = &loaded.settings.data;
    let _lock = data_lock::host(data)?;
    let server = credentials::keep(data, "server", "--server", server)?;
    let token = credentials::keep(data, "token", "--token", token)?;
    let policy = HostPolicy::follow(&loaded);
    let client = Client::new(&server, &token)?;
    let (ending, receiver) = tokio::sync::watch::channel(Ending::No);
    let mut daemon = tokio::spawn(serve_jobs(loaded.settings, policy, client, receiver));
    tokio::select! {
        ended = &mut daemon => return Ok(if ended? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        signal = stop_signal() => tracing::info!(signal, "stopping when the running jobs have ended; a second signal stops them"),
    }
    // an error means that the daemon has ended already
    let _ = ending.send(Ending::Soon);
    tokio::select! {
        _ = tokio::time::timeout(GRACE, &mut daemon) => {}
        _ = stop_signal() => {}
    }
    stop_now(&ending, daemon).await;
    Ok(ExitCode::SUCCESS)
}

/// Makes a daemon hand its running jobs back to the coordinator and remove their containers.
pub async fn stop_now<T>(ending: &Sender<Ending>, daemon: tokio::task::JoinHandle<T>) {
    if daemon.is_finished() {
        return;
    }
    let _ = ending.send(Ending::Now);
    if tokio::time::timeout(CLEAN_UP, daemon).await.is_err() {
        tracing::warn!("the engine or the coordinator did not answer in time; the next start removes what is left");
    }
}

/// Does jobs once the engine and the coordinator answer, until `ending` changes. Returns `false` if the coordinator
/// does not accept the host, or the data folder can't be used.
pub async fn serve_jobs(settings: Settings, policy: HostPolicy, client: Client, ending: Receiver<Ending>) -> bool {
    let runtime = tokio::select! {
        runtime = engine(&settings) => runtime,
        () = ending_requested(ending.clone()) => return true,
    };
    let instances = match Instances::begin(&settings.data) {
        Ok(instances) => instances,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the data folder can't be used; set `data`"
            );
            return false;
        }
    };
    // containers of an earlier process are removed even if the coordinator does not answer
    host::reap_gone(runtime.as_ref(), &instances).await;
    let client = client.as_instance(instances.own());
    let supply = Arc::new(client.clone());
    let mut host = Host::new(String::new(), runtime, supply, &settings);
    host.instances = Arc::new(instances);
    host.policy = Arc::new(policy);
    let capabilities = host.capabilities_now();
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
    // reports go first: with the hello, the coordinator ends the earlier leases
    tokio::select! {
        () = spool.deliver_left(&client) => {}
        () = ending_requested(ending.clone()) => return true,
    }
    let welcome = tokio::select! {
        welcome = client.hello(&capabilities) => welcome,
        () = ending_requested(ending.clone()) => return true,
    };
    let welcome = match welcome {
        Ok(welcome) => welcome,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the coordinator does not accept this host"
            );
            return false;
        }
    };
    tracing::info!(name = welcome.name, builds = welcome.builds, "this host is registered");
    if let Err(error) = std::fs::write(settings.data.join(ID_FILE), &welcome.id) {
        tracing::warn!(%error, "failed to write the host's id; after a crash, the host would not find its containers");
    }
    host.id = welcome.id;
    host.builds = welcome.builds;
    // success also if another daemon replaced this one: after a failure, a service manager would start it again, and
    // the two would replace each other for ever
    host::daemon(host, client, spool, ending).await;
    true
}

/// Connects to the engine. Retries until it answers.
async fn engine(settings: &Settings) -> Arc<dyn Runtime> {
    let mut logged = false;
    loop {
        match DockerRuntime::connect(&settings.engine.socket()).await {
            Ok(runtime) => return Arc::new(runtime),
            Err(error) => {
                if !std::mem::replace(&mut logged, true) {
                    tracing::error!(%error, "waiting for a container engine");
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
}

/// Resolves when the daemon has to end, soon or now.
async fn ending_requested(mut ending: Receiver<Ending>) {
    // an error means that the sender is gone, which ends the daemon too
    let _ = ending.wait_for(|ending| *ending > Ending::No).await;
}
