//! Accepts connections, and serves each in its own task. Errors of a client or a lack of file descriptors do not end
//! the server.

use super::answer::Shared;
use super::house::{ConnectionPermit, House};
use super::open_files;
use super::patience::Patience;
use super::places::{ConnectionRefusal, Shares};
use super::tls::Tls;
use crate::config::HttpSettings;
use crate::store::presence::Presence;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// The most bytes of a request without its body.
const HEAD_MOST: usize = 32 << 10;

/// The wait after the process could not accept a connection.
const REST: Duration = Duration::from_millis(100);

/// The time between two log lines about the same problem.
const QUIET: Duration = Duration::from_secs(60);

/// The server for browsers, programs and hosts.
pub struct Server {
    shared: Shared,
    shares: Shares,
    tls: Option<Tls>,
}

impl Server {
    pub fn new(routes: BoxedFilter<(Response,)>, settings: &HttpSettings) -> Self {
        let shares = Shares {
            all: open_files::connections(settings.connections),
            of_one: settings.connections_per_address,
        };
        let shared = Shared {
            routes,
            patience: Patience::with_idle(Duration::from_secs(settings.idle.0)),
            settings: settings.clone(),
            presence: Presence::default(),
        };
        Self {
            shared,
            shares,
            tls: None,
        }
    }

    /// Makes the server respond with "unavailable" while the store is away, except to requests that need no store.
    pub fn watching(mut self, presence: Presence) -> Self {
        self.shared.presence = presence;
        self
    }

    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.shared.patience = patience;
        self
    }

    /// Makes the server use TLS only.
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves until the future is dropped. Connections that are open then go on until the process ends.
    pub async fn run(self, listener: TcpListener) {
        let house = House::new(self.shares, &self.shared.settings.proxies);
        let shared = Arc::new(self.shared);
        match &self.tls {
            None => accept(&house, &shared, None, &listener).await,
            Some(tls) => tokio::select! {
                () = accept(&house, &shared, Some(tls), &listener) => {}
                () = tls.follow() => {}
            },
        }
    }
}

/// Accepts connections until the future is dropped.
async fn accept(house: &Arc<House>, shared: &Arc<Shared>, tls: Option<&Tls>, listener: &TcpListener) {
    let mut trouble = Trouble::default();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_client(&error) => continue,
            Err(error) => {
                house.make_room();
                trouble.log(&format!("failed to take a connection: {error}"));
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        match house.enter(address.ip()) {
            Ok(place) => match tls.map(Tls::acceptor) {
                None => drop(tokio::spawn(serve(shared.clone(), place, stream))),
                Some(acceptor) => drop(tokio::spawn(serve_tls(shared.clone(), place, stream, acceptor))),
            },
            Err(refusal) => {
                let why = reason(refusal);
                trouble.log(&format!("a connection of {} was refused: {why}", address.ip()));
                // before the handshake, a client with TLS could not read the reason
                if tls.is_none() {
                    refuse(stream, why);
                }
            }
        }
    }
}

/// Logs problems, at most one a minute, with the number of problems that were left out since the last one.
#[derive(Default)]
struct Trouble {
    last: Option<Instant>,
    unsaid: u64,
}

impl Trouble {
    fn log(&mut self, what: &str) {
        if self.last.is_some_and(|last| last.elapsed() < QUIET) {
            self.unsaid += 1;
            return;
        }
        self.last = Some(Instant::now());
        let unsaid = std::mem::take(&mut self.unsaid);
        tracing::warn!(unsaid, "{what}");
    }
}

/// Returns whether the error means that the client was gone before its connection was accepted.
fn is_of_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

fn reason(refusal: ConnectionRefusal) -> &'static str {
    match refusal {
        ConnectionRefusal::OfOne => "its address holds too many connections (`http.connections_per_address`)",
        ConnectionRefusal::All => "all connections are in use (`http.connections`, and the limit of open files)",
    }
}

/// Responds to a client for which there is no place. Sends only what can be sent at once, because a refusal must cost
/// nothing.
fn refuse(stream: TcpStream, why: &str) {
    let body = format!("try again in a few seconds: {why}\n");
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 5\r\nconnection: close";
    let _ = stream.try_write(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

/// Limits the time in which the client has to take each part of a response.
fn timely(shared: &Shared, stream: TcpStream) -> Pin<Box<TimeoutStream<TcpStream>>> {
    // sends each line of a log at once
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(shared.patience.write));
    Box::pin(stream)
}

/// Serves one connection until it ends.
async fn serve(shared: Arc<Shared>, place: ConnectionPermit, stream: TcpStream) {
    let stream = timely(&shared, stream);
    converse(shared, place, stream).await;
}

/// Serves one TLS connection until it ends. The time limit of the handshake is that of a request's head.
async fn serve_tls(shared: Arc<Shared>, place: ConnectionPermit, stream: TcpStream, acceptor: TlsAcceptor) {
    let handshake = acceptor.accept(timely(&shared, stream));
    let handshake = tokio::time::timeout(shared.patience.head, handshake);
    let stream = tokio::select! {
        stream = handshake => stream,
        () = place.leaves.cancelled() => return,
    };
    match stream {
        Ok(Ok(stream)) => converse(shared, place, stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake came too slowly"),
    }
}

/// Responds to the requests on a connection until it ends.
async fn converse<S>(shared: Arc<Shared>, place: ConnectionPermit, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let head = shared.patience.head;
    let place = Arc::new(place);
    let leaves = place.leaves.clone();
    let service = service_fn(move |request| shared.clone().answer(place.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_header_size(HEAD_MOST)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(%error, "a connection ended");
        },
        () = leaves.cancelled() => {}
    }
}
