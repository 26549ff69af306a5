//! `pybots serve`: the coordinator. Hosts come to it over HTTP.

use super::up::{platform, signal};
use crate::config::Settings;
use crate::coordinator::Coordinator;
use crate::{api, web};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::task::JoinHandle;
use warp::Filter;

/// A coordinator that answers.
pub struct Serving {
    pub coordinator: Coordinator,
    pub address: SocketAddr,
    pub server: JoinHandle<()>,
}

/// Opens the store, and answers hosts and browsers from now on.
pub async fn start(settings: &Settings) -> Result<Serving> {
    let coordinator = Coordinator::open(settings.clone(), platform()).await?;
    let listener = tokio::net::TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "failed to listen on {}; does `pybots up` or `pybots serve` run already? Otherwise set `listen`",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    let pages = web::routes(web::Web {
        store: coordinator.store.clone(),
        objects: coordinator.objects.clone(),
    });
    let routes = api::routes(coordinator.clone())
        .recover(api::rejected)
        .unify()
        .or(pages);
    let server = tokio::spawn(warp::serve(routes).incoming(listener).run());
    Ok(Serving {
        coordinator,
        address,
        server,
    })
}

pub async fn run(settings: Settings) -> Result<ExitCode> {
    let serving = start(&settings).await?;
    outln!("http://{}/", serving.address);
    tokio::select! {
        () = serving.coordinator.run() => {}
        // what hosts have leased goes on without us
        signal = signal() => tracing::info!(signal, "stopping"),
    }
    serving.server.abort();
    Ok(ExitCode::SUCCESS)
}
