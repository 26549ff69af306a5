//! A host's line to the coordinator, on which requests come twice, late, out of order, or their answers get lost.

use super::plan::Trouble;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is done to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Plain,
    /// Connections break, and none is let in.
    Cut,
    Trouble(Trouble),
}

pub struct Proxy {
    pub port: u16,
    mode: watch::Sender<Mode>,
    /// Requests that something was done to.
    hits: Arc<AtomicUsize>,
}

/// Largest head of a request.
const HEAD_MOST: usize = 64 << 10;

impl Proxy {
    pub async fn start(coordinator: SocketAddr) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, watched) = watch::channel(Mode::Plain);
        let hits = Arc::new(AtomicUsize::new(0));
        let line = Line {
            coordinator,
            mode: watched,
            hits: hits.clone(),
        };
        tokio::spawn(async move {
            while let Ok((host, _)) = listener.accept().await {
                tokio::spawn(line.clone().until_cut(host));
            }
        });
        Self { port, mode, hits }
    }

    pub fn set(&self, mode: Mode) {
        let _ = self.mode.send(mode);
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Line {
    coordinator: SocketAddr,
    mode: watch::Receiver<Mode>,
    hits: Arc<AtomicUsize>,
}

impl Line {
    /// One connection, which a cut ends.
    async fn until_cut(self, host: TcpStream) {
        let mut mode = self.mode.clone();
        tokio::select! {
            // a connection that breaks off is what both sides have to bear
            _ = self.request(host) => {}
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => {
                self.hits.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// One request, and its answer; the connection ends with it.
    async fn request(&self, mut host: TcpStream) -> std::io::Result<()> {
        let Some(request) = read(&mut host).await? else {
            return Ok(());
        };
        let mode = *self.mode.borrow();
        if mode != Mode::Plain {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        match mode {
            Mode::Plain | Mode::Cut => {}
            Mode::Trouble(Trouble::Held) => {
                let wait = Duration::from_millis(fastrand::u64(0..3_000));
                tokio::time::sleep(wait).await;
            }
            Mode::Trouble(Trouble::Twice) => self.copy(request.clone(), Duration::ZERO),
            Mode::Trouble(Trouble::Again) => {
                self.copy(request.clone(), Duration::from_millis(fastrand::u64(500..6_000)));
            }
            Mode::Trouble(Trouble::Unanswered) => {
                let mut answer = Vec::new();
                self.send(&request).await?.read_to_end(&mut answer).await?;
                // one that came late has its answer after all
                if *self.mode.borrow() == mode {
                    return Ok(());
                }
                return host.write_all(&answer).await;
            }
        }
        let mut coordinator = self.send(&request).await?;
        let (mut from_host, mut to_host) = host.split();
        tokio::select! {
            copied = tokio::io::copy(&mut coordinator, &mut to_host) => copied.map(drop),
            // who asked is gone: then nobody waits for an answer
            _ = from_host.read_u8() => Ok(()),
        }
    }

    /// Sends it once more after a while, unless that trouble is over by then.
    fn copy(&self, request: Vec<u8>, wait: Duration) {
        let line = self.clone();
        tokio::spawn(async move {
            let mut mode = line.mode.clone();
            let copied = async {
                tokio::time::sleep(wait).await;
                let mut answer = Vec::new();
                line.send(&request).await?.read_to_end(&mut answer).await
            };
            tokio::select! {
                _ = copied => {}
                _ = mode.wait_for(|mode| *mode == Mode::Plain) => {}
            }
        });
    }

    async fn send(&self, request: &[u8]) -> std::io::Result<TcpStream> {
        let mut coordinator = TcpStream::connect(self.coordinator).await?;
        coordinator.write_all(request).await?;
        Ok(coordinator)
    }
}

/// A request with its body, changed so that its connection is for it alone. None: nothing came.
async fn read(host: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if request.len() > HEAD_MOST || host.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    while request.len() < head + length {
        if host.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    request.splice(head - 2..head - 2, b"connection: close\r\n".iter().copied());
    Ok(Some(request))
}
