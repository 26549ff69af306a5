//! `pybots up`: coordinator and one host in one process. They speak the same protocol as over a
//! network.

use crate::config::Settings;
use crate::coordinator::Coordinator;
use crate::host::client::Client;
use crate::host::{self, Host};
use crate::runtime::Runtime;
use crate::runtime::docker::DockerRuntime;
use crate::{api, web};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use warp::Filter;

/// Time that running jobs get to be put away at the end.
const GRACE: Duration = Duration::from_secs(30);

pub async fn run(settings: Settings) -> Result<ExitCode> {
    let coordinator = Coordinator::open(settings.clone(), platform()).await?;
    let listener = tokio::net::TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "failed to listen on {}; is `pybots up` running already? Otherwise set `listen`",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::watch::channel(false);

    let token = uuid::Uuid::new_v4().to_string() + &uuid::Uuid::new_v4().to_string();
    let pages = web::routes(web::Web {
        store: coordinator.store.clone(),
        objects: coordinator.objects.clone(),
    });
    let routes = api::routes(coordinator.clone(), token.clone())
        .recover(api::rejected)
        .unify()
        .or(pages);
    let server = tokio::spawn(warp::serve(routes).incoming(listener).run());
    outln!("http://{address}/");

    let client = Client::new(&format!("http://{}", reach(address)), &token)?;
    let daemon = tokio::spawn(work(settings.clone(), host_id(&settings.data)?, client, stopped));
    tokio::select! {
        () = coordinator.run() => {}
        signal = signal() => tracing::info!(signal, "stopping; a second signal ends it at once"),
    }
    // whoever listened may be gone: that is what it is told
    let _ = stop.send(true);
    tokio::select! {
        _ = tokio::time::timeout(GRACE, daemon) => {}
        _ = signal() => {}
    }
    // last, so that the host could deliver what it had
    server.abort();
    Ok(ExitCode::SUCCESS)
}

/// The host of this process: works as soon as its engine answers.
async fn work(settings: Settings, id: String, client: Client, stopped: tokio::sync::watch::Receiver<bool>) {
    let runtime = tokio::select! {
        runtime = engine(&settings) => runtime,
        () = until(stopped.clone()) => return,
    };
    let supply = Arc::new(client.clone());
    let host = Host::new(id, runtime, supply, &settings);
    host::daemon(host, client, settings.slots, stopped).await;
}

/// What the engine of this machine runs.
pub fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        _ => "linux/other",
    }
}

/// Waits for an engine that does not answer, as the daemon would while it runs.
async fn engine(settings: &Settings) -> Arc<dyn Runtime> {
    let mut told = false;
    loop {
        match DockerRuntime::connect(&settings.engine.socket).await {
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

/// The address at which this very process reaches itself.
fn reach(address: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// The host's id, kept with the data: after a crash it finds what it had left on the engine.
pub fn host_id(data: &Path) -> Result<String> {
    let path = data.join("host-id");
    if let Ok(id) = std::fs::read_to_string(&path)
        && uuid::Uuid::parse_str(id.trim()).is_ok()
    {
        return Ok(id.trim().to_owned());
    }
    let id = crate::store::new_id();
    std::fs::write(&path, &id).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(id)
}

async fn until(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // an error means that the sender is gone, which is the end too
    let _ = stopped.wait_for(|stop| *stop).await;
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
