//! `pybots up`: runs the coordinator and one host in one process. They communicate over HTTP, as across a network.

use super::host::{host_id, serve_jobs, stop_now};
use super::{data_lock, serve};
use crate::clock::now;
use crate::config::Loaded;
use crate::enrolment;
use crate::host::client::Client;
use crate::host::{Ending, HostPolicy};
use crate::signal::stop_signal;
use anyhow::Result;
use std::process::ExitCode;

/// Runs both until a signal ends them.
pub async fn run(loaded: Loaded) -> Result<ExitCode> {
    let policy = HostPolicy::follow(&loaded);
    let settings = loaded.settings;
    let lock = data_lock::coordinator(&settings.data)?;
    let _host_lock = data_lock::host(&settings.data)?;
    let serving = serve::start(&settings, lock).await?;
    outln!("{}", serving.url);
    let (ending, receiver) = tokio::sync::watch::channel(Ending::No);
    let id = host_id(&settings.data)?;
    let token = enrolment::own(&serving.coordinator.store, &id.as_str().into(), now()).await?;
    let (own, own_server) = serving.for_this_process(&settings).await?;
    let client = Client::new(&format!("http://{own}"), token.secret())?;
    let daemon = tokio::spawn(serve_jobs(settings, policy, client, receiver));
    tokio::select! {
        () = serving.coordinator.run() => {}
        signal = stop_signal() => tracing::info!(signal, "stopping; a second signal ends the process at once"),
    }
    // stops quickly: running jobs are handed back, and not awaited
    tokio::select! {
        () = stop_now(&ending, daemon) => {}
        _ = stop_signal() => {}
    }
    // the server ends last, so that the host can deliver its reports
    serving.server.abort();
    if let Some(server) = own_server {
        server.abort();
    }
    Ok(ExitCode::SUCCESS)
}
