//! `pybots up`: coordinator and one host in one process. They speak the same protocol as over a
//! network.

use super::host::{self, end_now, host_id};
use super::serve;
use crate::clock::now_ms;
use crate::config::Loaded;
use crate::host::client::Client;
use crate::host::{Ending, Owner};
use crate::registry;
pub use crate::runtime::platform;
use anyhow::Result;
use std::process::ExitCode;

pub async fn run(loaded: Loaded) -> Result<ExitCode> {
    let owner = Owner::of(&loaded);
    let settings = loaded.settings;
    let serving = serve::start(&settings).await?;
    let _alone = host::alone(&settings.data)?;
    outln!("http://{}/", serving.address);
    let (ending, told) = tokio::sync::watch::channel(Ending::No);
    let id = host_id(&settings.data)?;
    let token = registry::own(&serving.coordinator.store, &id, now_ms()).await?;
    let client = Client::new(&format!("http://{}", reach(serving.address)), token.secret())?;
    let daemon = tokio::spawn(host::work(settings, owner, client, told));
    tokio::select! {
        () = serving.coordinator.run() => {}
        signal = signal() => tracing::info!(signal, "stopping; a second signal ends it at once"),
    }
    // what runs is handed back: whoever stops this does not want to wait
    tokio::select! {
        () = end_now(&ending, daemon) => {}
        _ = signal() => {}
    }
    // last, so that the host could deliver what it had
    serving.server.abort();
    Ok(ExitCode::SUCCESS)
}

/// The address at which this very process reaches itself.
fn reach(address: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Resolves at SIGINT, SIGTERM, or when the terminal goes away.
pub async fn signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, hang_up) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut hang_up)) = (terminate, hang_up) else {
        tracing::error!("failed to listen for signals");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
        _ = tokio::signal::ctrl_c() => "SIGINT",
    }
}
