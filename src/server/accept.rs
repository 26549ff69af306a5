//! Takes connections, and serves each in a task of its own. Neither a client nor a full table of open files ends this.

use super::answer::Shared;
use super::house::{House, Place};
use super::open_files;
use super::patience::Patience;
use super::places::{Refusal, Shares};
use crate::config::HttpSettings;
use crate::store::presence::Presence;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// Bytes of a request without its body.
const HEAD_MOST: usize = 32 << 10;

/// The time to wait after the process could not take a connection.
const REST: Duration = Duration::from_millis(100);

/// The time between two lines in the log about the same trouble.
const QUIET: Duration = Duration::from_secs(60);

/// The server for browsers, programs and hosts.
pub struct Server {
    shared: Shared,
    shares: Shares,
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
        Self { shared, shares }
    }

    /// Answers "unavailable" while the store is away.
    pub fn watching(mut self, presence: Presence) -> Self {
        self.shared.presence = presence;
        self
    }

    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.shared.patience = patience;
        self
    }

    /// Serves until it is dropped. Connections end with the process.
    pub async fn run(self, listener: TcpListener) {
        let house = House::new(self.shares, &self.shared.settings.proxies);
        let shared = Arc::new(self.shared);
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
                Ok(place) => drop(tokio::spawn(serve(shared.clone(), place, stream))),
                Err(refusal) => {
                    let why = reason(refusal);
                    trouble.log(&format!("a connection of {} was refused: {why}", address.ip()));
                    refuse(stream, why);
                }
            }
        }
    }
}

/// Writes about trouble to the log, but not each time.
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

/// Whether the client was gone before its connection was taken.
fn is_of_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::OfOne => "its address holds too many connections (`http.connections_per_address`)",
        Refusal::All => "all connections are in use (`http.connections`, and the limit of open files)",
    }
}

/// Answers a client for which there is no place. What can't be sent at once is not sent: a refusal must cost nothing.
fn refuse(stream: TcpStream, why: &str) {
    let body = format!("try again in a few seconds: {why}\n");
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 5\r\nconnection: close";
    let _ = stream.try_write(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

/// Serves one connection to its end.
async fn serve(shared: Arc<Shared>, place: Place, stream: TcpStream) {
    // a line of a log goes out when it comes
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(shared.patience.write));
    let head = shared.patience.head;
    let place = Arc::new(place);
    let leaves = place.leaves.clone();
    let service = service_fn(move |request| shared.clone().answer(place.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_header_size(HEAD_MOST)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(%error, "a connection ended");
        },
        () = leaves.cancelled() => {}
    }
}
