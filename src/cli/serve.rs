//! `pybots serve`: the coordinator, whose hosts call it over HTTP.

use super::data_lock::{self, CoordinatorLock};
use crate::access;
use crate::clock::now;
use crate::config::Settings;
use crate::coordinator::Coordinator;
use crate::runtime::platform;
use crate::server::{self, Server};
use crate::signal::stop_signal;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::task::JoinHandle;

/// A coordinator whose server accepts connections.
pub struct Serving {
    pub coordinator: Coordinator,
    pub address: SocketAddr,
    pub server: JoinHandle<()>,
    _lock: CoordinatorLock,
}

/// Opens the store, which migrates it, and starts the server for hosts and browsers. `lock` is that of the data folder in the
/// settings: nobody else may use the store meanwhile.
pub async fn start(settings: &Settings, lock: CoordinatorLock) -> Result<Serving> {
    let coordinator = Coordinator::open(settings.clone(), platform()).await?;
    let listener = tokio::net::TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "failed to listen on {}; is `pybots up` or `pybots serve` running already? If not, set `listen` to another address",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    greet_operator(&coordinator).await?;
    let server = Server::new(server::routes(coordinator.clone()), &settings.http);
    let server = tokio::spawn(server.watching(coordinator.store.presence()).run(listener));
    if !address.ip().is_loopback() && settings.http.names.is_empty() {
        tracing::info!(
            "only requests to an address are answered; set `http.names` to the names under which browsers and hosts call this coordinator"
        );
    }
    Ok(Serving {
        coordinator,
        address,
        server,
        _lock: lock,
    })
}

/// At the first start, prints the token of the first operator. It is the only time that it is shown.
async fn greet_operator(coordinator: &Coordinator) -> Result<()> {
    if let Some(token) = access::first_operator(&coordinator.store, now()).await? {
        errln!(
            "This is the first start with accounts. The access token of the account `operator`, which is not shown again:"
        );
        errln!("{}", token.secret());
    }
    Ok(())
}

/// Runs the coordinator until a signal ends it.
pub async fn run(settings: Settings) -> Result<ExitCode> {
    let lock = data_lock::coordinator(&settings.data)?;
    let serving = start(&settings, lock).await?;
    outln!("http://{}/", serving.address);
    tokio::select! {
        () = serving.coordinator.run() => {}
        // hosts go on with their jobs meanwhile
        signal = stop_signal() => tracing::info!(signal, "stopping"),
    }
    serving.server.abort();
    Ok(ExitCode::SUCCESS)
}
