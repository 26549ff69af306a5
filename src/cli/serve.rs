//! `pybots serve`: runs the coordinator alone. Its hosts call it over HTTP.

use super::data_lock::{self, CoordinatorLock};
use crate::access;
use crate::clock::now;
use crate::config::Settings;
use crate::coordinator::Coordinator;
use crate::oidc::Provider;
use crate::runtime::platform;
use crate::server::{self, Server, Tls};
use crate::signal::stop_signal;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use tokio::task::JoinHandle;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// A coordinator whose server accepts connections.
pub struct Serving {
    pub coordinator: Coordinator,
    pub address: SocketAddr,
    /// The address at which people reach the pages.
    pub url: String,
    pub server: JoinHandle<()>,
    routes: BoxedFilter<(Response,)>,
    _lock: CoordinatorLock,
}

/// Opens and migrates the store, and starts the server for hosts and browsers. Prints the first operator's token at the
/// first start. `lock` is the lock on the data folder of the settings: it keeps other coordinators from the store.
pub async fn start(settings: &Settings, lock: CoordinatorLock) -> Result<Serving> {
    // first, because a wrong file is the most likely mistake of an operator
    let tls = match settings.http.tls() {
        Some((certificate, key)) => Some(Tls::open(certificate, key).await?),
        None => None,
    };
    if let Some(provider) = Provider::new(&settings.oidc, &settings.http.url) {
        provider
            .secret()
            .await
            .context("`oidc.client_secret_file` can't be used")?;
    }
    warn_of_readable_secrets(settings);
    let coordinator = Coordinator::open(settings.clone(), platform()).await?;
    let listener = tokio::net::TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "failed to listen on {}; is `pybots up` or `pybots serve` running already? If not, set `listen` to another address",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    greet_operator(&coordinator).await?;
    let routes = server::routes(coordinator.clone());
    let server = server(&coordinator, settings, &routes);
    let server = match tls {
        Some(tls) => server.with_tls(tls),
        None => server,
    };
    let server = tokio::spawn(server.run(listener));
    if !address.ip().is_loopback() && settings.http.names.is_empty() {
        tracing::info!(
            "only requests to an address are answered; set `http.names` to the names under which browsers and hosts call this coordinator"
        );
    }
    Ok(Serving {
        coordinator,
        address,
        url: format!("{}/", settings.http.own_url(address)),
        server,
        routes,
        _lock: lock,
    })
}

/// Warns about files with secrets that every user of this machine can read.
fn warn_of_readable_secrets(settings: &Settings) {
    for (setting, path) in [
        ("http.tls_key", &settings.http.tls_key),
        ("oidc.client_secret_file", &settings.oidc.client_secret_file),
        ("registry.password_file", &settings.registry.password_file),
    ] {
        let is_readable =
            std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o004 != 0);
        if is_readable {
            tracing::warn!(
                "every user of this machine can read {} (`{setting}`); `chmod o= {0}` takes that away",
                path.display()
            );
        }
    }
}

fn server(coordinator: &Coordinator, settings: &Settings, routes: &BoxedFilter<(Response,)>) -> Server {
    let server = Server::new(routes.clone(), &settings.http);
    server.watching(coordinator.store.presence())
}

impl Serving {
    /// Returns an address for this process itself, without TLS, because the certificate is only valid for the public
    /// name. If the server uses TLS, opens another listener on the loopback interface, which ends with the returned
    /// task.
    pub async fn for_this_process(&self, settings: &Settings) -> Result<(SocketAddr, Option<JoinHandle<()>>)> {
        if settings.http.tls().is_none() {
            return Ok((reach(self.address), None));
        }
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(server(&self.coordinator, settings, &self.routes).run(listener));
        Ok((address, Some(server)))
    }
}

/// Returns the address at which this process can reach its own server.
fn reach(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Prints the token of the first operator at the first start. It is not shown again.
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
    outln!("{}", serving.url);
    tokio::select! {
        () = serving.coordinator.run() => {}
        // hosts continue their jobs without the coordinator
        signal = stop_signal() => tracing::info!(signal, "stopping"),
    }
    serving.server.abort();
    Ok(ExitCode::SUCCESS)
}
